"""One grammar for pipelines, targets and recipes: `name{opt=1 opt2=[a b] s='quoted text'},name2`.

An option is a field of a frozen dataclass, its name with `_` written `-`, its type the field's
annotation. `format_spec(parse(text))` is canonical: options in the order of the fields, those at
their default left out.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any, NoReturn, Protocol, cast

from snnc.errors import PluginError, SpecError, UsageError
from snnc.pipeline.values import Hint, ValueProblem, convert, describe, format_value, hints_of
from snnc.pipeline.words import Item, Option, SyntaxProblem, read_items


class Names(Protocol):
    """What a text is read against: a `snnc.plugins.Registry`, or anything with these three."""

    @property
    def noun(self) -> str: ...
    def names(self) -> list[str]: ...
    def get(self, name: str) -> Any: ...


@dataclass(frozen=True, slots=True)
class OptionInfo:
    """An option of a plugin, for people: its name, its type in words, its default as text."""

    name: str
    type: str
    default: str | None

    def __str__(self) -> str:
        default = "required" if self.default is None else f"default {self.default}"
        return f"{self.name} ({self.type}, {default})"


def parse(text: str, registry: Names) -> list[Any]:
    """Read a comma-separated list of specs; the empty text gives an empty list.

    Raises:
        SpecError: with the text, a caret under what is wrong, the reason and the right options.
        PluginError: a named plugin cannot be loaded.
    """
    return [_build(item, text, registry) for item in _items(text)]


def parse_one(text: str, registry: Names) -> Any:
    """Read exactly one spec. Raises as `parse` does."""
    items = _items(text)
    if not items:
        raise SpecError(f"no {registry.noun} given", hint=f"one of: {', '.join(registry.names())}")
    if items[1:]:
        _fail(text, items[1].span, f"one {registry.noun} expected, found {len(items)}")
    return _build(items[0], text, registry)


def format_spec(specs: object) -> str:
    """The canonical text of one object or of a sequence of them."""
    if isinstance(specs, list | tuple):
        return ",".join(format_spec(spec) for spec in cast(Sequence[object], specs))
    cls = type(specs)
    hints = hints_of(cls)
    options = [
        f"{_option_name(field.name)}={format_value(getattr(specs, field.name), hints[field.name])}"
        for field in _fields(cls)
        if not _is_default(field, getattr(specs, field.name))
    ]
    name: str = cast(Any, specs).name
    return f"{name}{{{' '.join(options)}}}" if options else name


def options_of(cls: type) -> tuple[OptionInfo, ...]:
    """Every option of a plugin's class, in the order of its fields."""
    hints = hints_of(cls)

    def info(field: Any) -> OptionInfo:
        default = _default(field)
        text = None if default is MISSING else format_value(default, hints[field.name])
        return OptionInfo(_option_name(field.name), describe(hints[field.name]), text)

    return tuple(info(field) for field in _fields(cls))


def _items(text: str) -> list[Item]:
    try:
        return read_items(text)
    except SyntaxProblem as problem:
        _fail(text, problem.span, problem.reason)


def _build(item: Item, text: str, registry: Names) -> Any:
    cls = _lookup(item, text, registry)
    kind = f"{registry.noun} {item.name}"
    hints = _safely(lambda: hints_of(cls), kind)
    fields_by_option = {_option_name(field.name): field for field in _fields(cls)}
    values: dict[str, Any] = {}
    for option in item.options:
        if option.name not in fields_by_option:
            _unknown_option(option, text, kind, cls)
        field = fields_by_option[option.name].name
        if field in values:
            _fail(text, option.name_span, f"option {option.name!r} is given twice")
        values[field] = _value(option, text, kind, hints[field], cls)
    missing = [
        name
        for name, field in fields_by_option.items()
        if _default(field) is MISSING and field.name not in values
    ]
    if missing:
        reason = f"{kind} needs the option {', '.join(map(repr, missing))}"
        _fail(text, item.span, reason, _options_hint(kind, cls))
    try:
        return cls(**values)
    except ValueError as error:
        span = _blamed(item, str(error))
        _fail(text, span, f"{kind}: {error}", _options_hint(kind, cls))


def _lookup(item: Item, text: str, registry: Names) -> type:
    try:
        return registry.get(item.name)
    except PluginError:
        raise
    except UsageError as error:
        _fail(text, item.span, error.message, error.hint)


def _safely(read: Callable[[], dict[str, Hint]], kind: str) -> dict[str, Hint]:
    try:
        return read()
    except (NameError, TypeError) as error:
        raise PluginError(f"{kind}: the types of its options cannot be read: {error}") from error


def _value(option: Option, text: str, kind: str, hint: Hint, cls: type) -> Any:
    try:
        return convert(option.value, hint)
    except ValueProblem as problem:
        reason = f"option {option.name!r} of {kind}: {problem.reason}"
        _fail(text, problem.span or option.value.span, reason, _options_hint(kind, cls))


def _unknown_option(option: Option, text: str, kind: str, cls: type) -> NoReturn:
    names = [info.name for info in options_of(cls)]
    close = difflib.get_close_matches(option.name, names, n=1)
    guess = f"did you mean {close[0]!r}? " if close else ""
    reason = f"unknown option {option.name!r} of {kind}"
    _fail(text, option.name_span, reason, guess + _options_hint(kind, cls))


def _blamed(item: Item, reason: str) -> tuple[int, int]:
    """Where to put the caret for a reason a plugin gave: the one option it names, else all."""
    words = reason.replace("_", "-").replace(",", " ").replace("=", " ").replace("`", " ").split()
    named = [option for option in item.options if option.name in words]
    if len(named) == 1:
        return named[0].name_span[0], named[0].value.span[1]
    if len(item.options) == 1:
        return item.options[0].name_span[0], item.options[0].value.span[1]
    return item.span


def _options_hint(kind: str, cls: type) -> str:
    options = options_of(cls)
    if not options:
        return f"{kind} has no options"
    return f"options of {kind}: " + ", ".join(map(str, options))


def _fail(text: str, span: tuple[int, int], reason: str, hint: str | None = None) -> NoReturn:
    start, stop = span
    shown = "".join(" " if char.isspace() else char for char in text)
    caret = " " * start + "^" * max(1, stop - start)
    raise SpecError(f"{reason}\n  {shown}\n  {caret}", hint=hint)


def _fields(cls: type) -> Sequence[Any]:
    return [field for field in fields(cls) if field.init]


def _option_name(field: str) -> str:
    return field.replace("_", "-")


def _default(field: Any) -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return field.default


def _is_default(field: Any, value: object) -> bool:
    default = _default(field)
    return default is not MISSING and type(default) is type(value) and default == value
