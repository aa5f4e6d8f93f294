"""Values of options: from text to the type of a field, and back."""

from __future__ import annotations

import math
import types
from collections.abc import Callable
from dataclasses import is_dataclass
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from snnc.pipeline.words import Item, Span, Value, Word, Words, is_bare, quote
from snnc.plugin_option import Plugin

Hint = Any
"""A type annotation: int, float, bool, str, Literal, tuple, a plugin, or a union of them with None.

A plugin is `Annotated[…, Plugin(group)]` or a dataclass that has a `name`.
"""

Build = Callable[[Item, tuple[Hint, ...]], Any]
"""Builds the plugin that an item names, one of those that the annotations allow."""

_IN_WORDS = {"bool": "true or false", "int": "a whole number", "float": "a number"}


class ValueProblem(ValueError):
    """A value does not fit its option; `span` locates the error inside the value."""

    def __init__(self, reason: str, span: Span | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.span = span


def hints_of(cls: type) -> dict[str, Hint]:
    """The annotation of every field. Raises `NameError` if one cannot be resolved."""
    return get_type_hints(cls, include_extras=True)


def group_of(hint: Hint) -> str | None:
    """The group of an annotation that is marked with `Plugin`, else None."""
    marks = hint.__metadata__ if get_origin(hint) is Annotated else ()
    return next((mark.group for mark in marks if isinstance(mark, Plugin)), None)


def is_plugin(hint: Hint) -> bool:
    """Whether the value of a field annotated `hint` is an object that has options itself."""
    if group_of(hint) is not None:
        return True
    named = isinstance(getattr(hint, "name", None), str)
    return isinstance(hint, type) and is_dataclass(hint) and named


def describe(hint: Hint) -> str:
    """A type in the words of the command line: `int`, `a|b`, `[int …]`, `float|none`."""
    hint = _plain_hint(hint)
    if is_plugin(hint):
        group = group_of(hint)
        return hint.name if group is None else f"plugin of {group}"
    if hint is type(None):
        return "none"
    if _is_union(hint):
        return "|".join(describe(part) for part in get_args(hint))
    if get_origin(hint) is Literal:
        return "|".join(_plain(choice) for choice in get_args(hint))
    if get_origin(hint) is tuple:
        inner = get_args(hint)
        items = f"{describe(inner[0])} …" if _variadic(inner) else " ".join(map(describe, inner))
        return f"[{items}]"
    return getattr(hint, "__name__", str(hint))


def convert(value: Value, hint: Hint, build: Build) -> Any:
    """The Python value of `value` for a field annotated `hint`.

    Raises `ValueProblem`, and what `build` raises.
    """
    hint = _plain_hint(hint)
    if _is_union(hint):
        return _first_of(value, hint, build)
    if is_plugin(hint):
        return _convert_plugin(value, hint, (hint,), build)
    if get_origin(hint) is tuple:
        return _convert_list(value, hint, build)
    if not isinstance(value, Word):
        raise ValueProblem(f"{describe(hint)} expected, not {_shown(value)}", value.span)
    if get_origin(hint) is Literal:
        return _convert_choice(value, hint)
    if hint is str:
        return value.text
    if value.quoted:
        raise ValueProblem(f"{describe(hint)} expected, not quoted text", value.span)
    return _convert_plain(value, hint)


def format_value(value: object, hint: Hint, format_plugin: Callable[[object], str]) -> str:
    """The shortest text that `convert` reads back as `value`."""
    if isinstance(value, tuple):
        parts = cast(tuple[object, ...], value)
        inner = _element_hints(hint, len(parts))
        items = (format_value(v, h, format_plugin) for v, h in zip(parts, inner, strict=True))
        return f"[{' '.join(items)}]"
    if is_dataclass(value):
        return format_plugin(value)
    if isinstance(value, str):
        return value if is_bare(value) and _reads_as(value, hint, value) else quote(value)
    text = _plain(value)
    short = text.removesuffix(".0")
    return short if short != text and _reads_as(short, hint, value) else text


def _reads_as(text: str, hint: Hint, value: object) -> bool:
    def is_taken(item: Item, hints: tuple[Hint, ...]) -> Any:
        raise ValueProblem(f"{item.name} is the name of a plugin")

    try:
        read = convert(Word(text, False, (0, 0)), hint, is_taken)
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


def _convert_list(value: Value, hint: Hint, build: Build) -> tuple[Any, ...]:
    if not isinstance(value, Words):
        raise ValueProblem(f"a list {describe(hint)} expected, not {_shown(value)}", value.span)
    inner = get_args(hint)
    if not _variadic(inner) and len(inner) != len(value.items):
        raise ValueProblem(f"{len(inner)} values expected, not {len(value.items)}", value.span)
    hints = _element_hints(hint, len(value.items))
    return tuple(convert(item, each, build) for item, each in zip(value.items, hints, strict=True))


def _convert_plugin(value: Value, hint: Hint, choices: tuple[Hint, ...], build: Build) -> Any:
    if isinstance(value, Word) and not value.quoted:
        return build(Item(value.text, value.span, (), value.span), choices)
    if isinstance(value, Item):
        return build(value, choices)
    shown = "a list" if isinstance(value, Words) else "quoted text"
    raise ValueProblem(f"{describe(hint)} expected, not {shown}", value.span)


def _first_of(value: Value, hint: Hint, build: Build) -> Any:
    """`value` as the first type of a union that fits: plain types, then plugins, then text."""
    parts = [_plain_hint(part) for part in get_args(hint)]
    for part in parts:
        if part is str or is_plugin(part):
            continue
        try:
            return convert(value, part, build)
        except ValueProblem:
            continue
    plugins = tuple(part for part in parts if is_plugin(part))
    if plugins and (isinstance(value, Item) or (isinstance(value, Word) and not value.quoted)):
        return _convert_plugin(value, hint, plugins, build)
    if str in parts and isinstance(value, Word):
        return value.text
    shown = "this list" if isinstance(value, Words) else _shown(value)
    raise ValueProblem(f"{describe(hint)} expected, not {shown}", value.span)


def _shown(value: Value) -> str:
    if isinstance(value, Words):
        return "a list"
    return repr(value.text) if isinstance(value, Word) else f"{value.name}{{…}}"


def _element_hints(hint: Hint, count: int) -> tuple[Hint, ...]:
    hint = _plain_hint(hint)
    candidates = get_args(hint) if _is_union(hint) else (hint,)
    for candidate in map(_plain_hint, candidates):
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


def _plain_hint(hint: Hint) -> Hint:
    """`hint` without annotations other than `Plugin`."""
    if get_origin(hint) is Annotated and group_of(hint) is None:
        return get_args(hint)[0]
    return hint


def _is_union(hint: Hint) -> bool:
    return get_origin(hint) in (Union, types.UnionType)


def _plain(value: object) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, float) else str(value)
