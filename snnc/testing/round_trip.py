"""The options of every plugin are text and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from snnc.pipeline import format_spec, parse_one


@dataclass(frozen=True)
class _Only:
    """A registry that knows one class, so that an uninstalled plugin can be read from text."""

    noun: str
    cls: Any

    def names(self) -> list[str]:
        return [self.cls.name]

    def get(self, name: str) -> Any:
        assert name == self.cls.name, f"the {self.noun} {self.cls.name} writes itself as {name}"
        return self.cls


def assert_round_trip(plugin: Any, noun: str) -> None:
    """Assert that a plugin's text reads back as the same plugin, and is then the same text.

    Args:
        plugin: the object, a frozen dataclass with a `name`.
        noun: what it is, e.g. "pass".
    """
    text = format_spec(plugin)
    read = parse_one(text, _Only(noun, type(plugin)))
    assert read == plugin, f"{text!r} reads back as {read!r}, not as {plugin!r}"
    assert format_spec(read) == text
