"""The options `bits` and `rounding` of recipes."""

from __future__ import annotations

from typing import Literal, get_args

Rounding = Literal["nearest", "data"]


def check_integers(bits: int | None, rounding: str) -> None:
    """Raise `ValueError` for options that `to_integers` does not know."""
    if bits is not None and not 2 <= bits <= 8:
        raise ValueError(f"bits must be 2 to 8, or none, not {bits}")
    if rounding not in get_args(Rounding):
        raise ValueError(f"rounding must be {' or '.join(get_args(Rounding))}, not {rounding}")
    if bits is None and rounding != "nearest":
        raise ValueError(f"rounding={rounding} is of integers: give bits")


def to_integers(bits: int | None, rounding: Rounding) -> list[str]:
    """`quantize` as the last pass of a pipeline, or none for real values."""
    if bits is None:
        return []
    rounded = "" if rounding == "nearest" else f" rounding={rounding}"
    return [f"quantize{{bits={bits}{rounded}}}"]
