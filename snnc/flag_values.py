"""Values of flags that are lists of numbers, from text."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from snnc.errors import UsageError

T = TypeVar("T")


def integers(flag: str, text: str) -> tuple[int, ...]:
    """`1,2,4` as a tuple; empty for no text. Raises `UsageError`."""
    return _separated(int, flag, text, "whole numbers", "1,2,4")


def numbers(flag: str, text: str) -> tuple[float, ...]:
    """`0.5,0.4` as a tuple; empty for no text. Raises `UsageError`."""
    return _separated(float, flag, text, "numbers", "0.485,0.456,0.406")


def _separated(
    kind: Callable[[str], T], flag: str, text: str, what: str, example: str
) -> tuple[T, ...]:
    try:
        return tuple(kind(part) for part in text.split(",") if text)
    except ValueError:
        hint = f"{what} with commas between, e.g. {example}"
        raise UsageError(f"{flag} {text}: not {what}", hint=hint) from None


def shape(flag: str, text: str) -> tuple[int, ...]:
    """`3,32,32` as a tuple. Raises `UsageError`."""
    sizes = integers(flag, text)
    if not sizes or min(sizes) < 1:
        raise UsageError(f"{flag} {text}: sizes are positive", hint="e.g. 3,32,32")
    return sizes


def ratio(flag: str, text: str) -> float:
    """`8/255` or `0.03` as a number. Raises `UsageError`."""
    parts = text.split("/")
    try:
        values = [float(part) for part in parts]
        return values[0] / values[1] if len(values) == 2 else float(text)
    except (ValueError, ZeroDivisionError):
        raise UsageError(f"{flag} {text}: not a number", hint="e.g. 8/255 or 0.03") from None


def words(flag: str, text: str) -> tuple[str, ...]:
    """`a,b` as a tuple. Raises `UsageError` for no text."""
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    if not found:
        raise UsageError(f"{flag}: nothing is named")
    return found
