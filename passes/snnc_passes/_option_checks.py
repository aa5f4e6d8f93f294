"""Checks of a pass's options, with the messages that they are refused by."""

from __future__ import annotations

from snnc.transform import Pass


def one_of(options: Pass, option: str, choices: tuple[object, ...]) -> None:
    """Raise `ValueError` unless the value of an option is one of the choices."""
    value = getattr(options, option)
    if value not in choices:
        known = ", ".join(map(str, choices))
        raise ValueError(f"{_shown(option)}={value} is not one of: {known}")


def refuse_if(wrong: bool, options: Pass, option: str, why: str) -> None:
    """Raise `ValueError` about the number that an option is, if it is wrong."""
    if wrong:
        raise ValueError(f"{_shown(option)}={getattr(options, option):g} {why}")


def _shown(option: str) -> str:
    return option.replace("_", "-")
