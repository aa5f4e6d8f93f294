"""The check that a plugin's options, written as text, read back as the same plugin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from snnc.pipeline import format_spec, parse_one


@dataclass(frozen=True)
class _Only:
    """A registry of one class, so that a plugin can be read from text without installation."""

    noun: str
    cls: Any

    def names(self) -> list[str]:
        return [self.cls.name]

    def get(self, name: str) -> Any:
        assert name == self.cls.name, f"the {self.noun} {self.cls.name} is written as {name}"
        return self.cls


def assert_round_trip(plugin: Any, noun: str) -> None:
    """Assert that a plugin's text reads back as an equal plugin with the same text.

    Args:
        plugin: the object, a frozen dataclass with a `name`.
        noun: what it is, e.g. "pass".
    """
    text = format_spec(plugin)
    read = parse_one(text, _Only(noun, type(plugin)))
    assert read == plugin, f"{text!r} reads back as {read!r}, not as {plugin!r}"
    assert format_spec(read) == text
