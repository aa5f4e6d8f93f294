"""Values of options: from text to the type of a field, and back."""

from __future__ import annotations

import math
import types
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from snnc.pipeline.words import Span, Word, Words, is_bare, quote

Hint = Any
"""A type annotation: int, float, bool, str, Literal, tuple, or a union of them with None."""

_IN_WORDS = {"bool": "true or false", "int": "a whole number", "float": "a number"}


class ValueProblem(ValueError):
    """Why a value does not fit its option; `span` narrows the place inside the value."""

    def __init__(self, reason: str, span: Span | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.span = span


def hints_of(cls: type) -> dict[str, Hint]:
    """The annotation of every field. Raises `NameError` if one cannot be resolved."""
    return get_type_hints(cls)


def describe(hint: Hint) -> str:
    """A type in the words of the command line: `int`, `a|b`, `[int …]`, `float|none`."""
    if hint is type(None):
        return "none"
    if _is_union(hint):
        return "|".join(describe(part) for part in get_args(hint))
    if get_origin(hint) is Literal:
        return "|".join(_plain(choice) for choice in get_args(hint))
    if get_origin(hint) is tuple:
        inner = get_args(hint)
        each = f"{describe(inner[0])} …" if _variadic(inner) else " ".join(map(describe, inner))
        return f"[{each}]"
    return getattr(hint, "__name__", str(hint))


def convert(value: Word | Words, hint: Hint) -> Any:
    """The Python value of `value` for a field annotated `hint`. Raises `ValueProblem`."""
    if _is_union(hint):
        return _first_of(value, hint)
    if get_origin(hint) is tuple:
        return _convert_list(value, hint)
    if isinstance(value, Words):
        raise ValueProblem(f"{describe(hint)} expected, not a list", value.span)
    if get_origin(hint) is Literal:
        return _convert_choice(value, hint)
    if hint is str:
        return value.text
    if value.quoted:
        raise ValueProblem(f"{describe(hint)} expected, not quoted text", value.span)
    return _convert_plain(value, hint)


def format_value(value: object, hint: Hint) -> str:
    """The shortest text that `convert` reads back as `value`."""
    if isinstance(value, tuple):
        parts = cast(tuple[object, ...], value)
        inner = _element_hints(hint, len(parts))
        each = (format_value(v, h) for v, h in zip(parts, inner, strict=True))
        return f"[{' '.join(each)}]"
    if isinstance(value, str):
        return value if is_bare(value) and _reads_as(value, hint, value) else quote(value)
    text = _plain(value)
    short = text.removesuffix(".0")
    return short if short != text and _reads_as(short, hint, value) else text


def _reads_as(text: str, hint: Hint, value: object) -> bool:
    try:
        read = convert(Word(text, False, (0, 0)), hint)
    except ValueProblem:
        return False
    return type(read) is type(value) and read == value


def _convert_plain(word: Word, hint: Hint) -> Any:
    if hint is type(None) and word.text == "none":
        return None
    if hint is bool and word.text in ("true", "false"):
        return word.text == "true"
    if hint in (int, float):
        number = _number(word.text, hint)
        if number is not None:
            return number
    expected = _IN_WORDS.get(describe(hint), describe(hint))
    raise ValueProblem(f"{expected} expected, not {word.text!r}", word.span)


def _number(text: str, kind: type[int] | type[float]) -> int | float | None:
    try:
        number = kind(text)
    except ValueError:
        return None
    return None if isinstance(number, float) and math.isnan(number) else number


def _convert_choice(word: Word, hint: Hint) -> Any:
    choices: tuple[Any, ...] = get_args(hint)
    for choice in choices:
        if _plain(choice) == word.text and (isinstance(choice, str) or not word.quoted):
            return choice
    reason = f"one of {', '.join(map(_plain, choices))} expected, not {word.text!r}"
    raise ValueProblem(reason, word.span)


def _convert_list(value: Word | Words, hint: Hint) -> tuple[Any, ...]:
    if isinstance(value, Word):
        raise ValueProblem(f"a list {describe(hint)} expected, not {value.text!r}", value.span)
    inner = get_args(hint)
    if not _variadic(inner) and len(inner) != len(value.items):
        raise ValueProblem(f"{len(inner)} values expected, not {len(value.items)}", value.span)
    hints = _element_hints(hint, len(value.items))
    return tuple(convert(item, each) for item, each in zip(value.items, hints, strict=True))


def _first_of(value: Word | Words, hint: Hint) -> Any:
    for part in sorted(get_args(hint), key=lambda part: part is str):  # str takes anything: last
        try:
            return convert(value, part)
        except ValueProblem:
            continue
    shown = repr(value.text) if isinstance(value, Word) else "this list"
    raise ValueProblem(f"{describe(hint)} expected, not {shown}", value.span)


def _element_hints(hint: Hint, count: int) -> tuple[Hint, ...]:
    candidates = get_args(hint) if _is_union(hint) else (hint,)
    for candidate in candidates:
        if get_origin(candidate) is not tuple:
            continue
        inner = get_args(candidate)
        if _variadic(inner):
            return (inner[0],) * count
        if len(inner) == count:
            return inner
    raise TypeError(f"{count} values for an option of type {describe(hint)}")


def _variadic(inner: tuple[Hint, ...]) -> bool:
    return len(inner) == 2 and inner[1] is Ellipsis


def _is_union(hint: Hint) -> bool:
    return get_origin(hint) in (Union, types.UnionType)


def _plain(value: object) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, float) else str(value)
