"""One grammar for pipelines, targets and recipes: `name{opt=1 opt2=[a b] s='quoted text'},name2`.

An option is a field of a frozen dataclass, its name with `_` written `-`, its type the field's
annotation. A value may itself be `name{options}`, where the annotation says that it is a plugin
(`snnc.plugin_option.Plugin`) or one of several dataclasses with a `name`.
`format_spec(parse(text))` is canonical: options in the order of the fields, those at their default
left out.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any, NoReturn, cast

from snnc.errors import PluginError, SpecError, UsageError
from snnc.pipeline.names import Names, names_for
from snnc.pipeline.values import (
    Hint,
    ValueProblem,
    convert,
    describe,
    format_value,
    group_of,
    hints_of,
)
from snnc.pipeline.words import Item, Option, SyntaxProblem, read_items
from snnc.plugins import Registry


@dataclass(frozen=True, slots=True)
class OptionInfo:
    """Description of a plugin option: its name, its type in words, its default as text."""

    name: str
    type: str
    default: str | None

    def __str__(self) -> str:
        default = "required" if self.default is None else f"default {self.default}"
        return f"{self.name} ({self.type}, {default})"


def parse(text: str, registry: Names, groups: Callable[[str], Names] = Registry) -> list[Any]:
    """Read a comma-separated list of specs; the empty text gives an empty list.

    Args:
        text: the specs.
        registry: resolves their names.
        groups: gives the plugins of the group that an option names; default those installed.

    Raises:
        SpecError: with the text, a caret under the error, the reason and the valid options.
        PluginError: a named plugin cannot be loaded.
    """
    builder = _Builder(text, groups)
    return [builder.build(item, registry) for item in _items(text)]


def parse_one(text: str, registry: Names, groups: Callable[[str], Names] = Registry) -> Any:
    """Read exactly one spec. Raises as `parse` does."""
    items = _items(text)
    if not items:
        raise SpecError(f"no {registry.noun} given", hint=f"one of: {', '.join(registry.names())}")
    if items[1:]:
        _fail(text, items[1].name_span, f"one {registry.noun} expected, found {len(items)}")
    return _Builder(text, groups).build(items[0], registry)


def format_spec(specs: object) -> str:
    """The canonical text of one object or of a sequence of them."""
    if isinstance(specs, list | tuple):
        return ",".join(format_spec(spec) for spec in cast(Sequence[object], specs))
    cls = type(specs)
    hints = hints_of(cls)
    options = [
        f"{_option_name(field.name)}={format_value(value, hints[field.name], format_spec)}"
        for field in _fields(cls)
        if not _is_default(field, value := getattr(specs, field.name))
    ]
    name: str = cast(Any, specs).name
    return f"{name}{{{' '.join(options)}}}" if options else name


def nested_plugins(spec: object) -> list[tuple[str, str]]:
    """(group, name) of every plugin that an option of `spec` holds, and of their options."""
    hints = hints_of(type(spec))
    plugins: list[tuple[str, str]] = []
    for field in _fields(type(spec)):
        group, value = group_of(hints[field.name]), getattr(spec, field.name)
        if group is not None and value is not None:
            plugins += [(group, value.name), *nested_plugins(value)]
    return plugins


def options_of(cls: type) -> tuple[OptionInfo, ...]:
    """Every option of a plugin's class, in the order of its fields."""
    hints = hints_of(cls)

    def info(field: Any) -> OptionInfo:
        default = _default(field)
        text = None if default is MISSING else format_value(default, hints[field.name], format_spec)
        return OptionInfo(_option_name(field.name), describe(hints[field.name]), text)

    return tuple(info(field) for field in _fields(cls))


def _items(text: str) -> list[Item]:
    try:
        return read_items(text)
    except SyntaxProblem as problem:
        _fail(text, problem.span, problem.reason)


@dataclass(frozen=True)
class _Builder:
    """Builds objects from the items of one text; every error marks its position in that text."""

    text: str
    groups: Callable[[str], Names]

    def build(self, item: Item, registry: Names) -> Any:
        """The object that `item` describes. Raises `SpecError`, `PluginError`."""
        cls = self._lookup(item, registry)
        kind = f"{registry.noun} {item.name}"
        values = self._values(item, cls, kind)
        missing = [
            _option_name(field.name)
            for field in _fields(cls)
            if _default(field) is MISSING and field.name not in values
        ]
        if missing:
            reason = f"{kind} needs the option {', '.join(map(repr, missing))}"
            _fail(self.text, item.name_span, reason, _options_hint(kind, cls))
        try:
            return cls(**values)
        except ValueError as error:
            span = _blamed(item, str(error))
            _fail(self.text, span, f"{kind}: {error}", _options_hint(kind, cls))

    def _lookup(self, item: Item, registry: Names) -> type:
        try:
            return registry.get(item.name)
        except PluginError:
            raise
        except UsageError as error:
            _fail(self.text, item.name_span, error.message, error.hint)

    def _values(self, item: Item, cls: type, kind: str) -> dict[str, Any]:
        hints = _safely(lambda: hints_of(cls), kind)
        fields_by_option = {_option_name(field.name): field for field in _fields(cls)}
        values: dict[str, Any] = {}
        for option in item.options:
            if option.name not in fields_by_option:
                _unknown_option(option, self.text, kind, cls)
            field = fields_by_option[option.name].name
            if field in values:
                _fail(self.text, option.name_span, f"option {option.name!r} is given twice")
            values[field] = self._value(option, hints[field], kind, cls)
        return values

    def _value(self, option: Option, hint: Hint, kind: str, cls: type) -> Any:
        def nested(item: Item, hints: tuple[Hint, ...]) -> Any:
            noun = option.name.replace("-", " ")
            return self.build(item, names_for(item.name, noun, hints, self.groups))

        try:
            return convert(option.value, hint, nested)
        except ValueProblem as problem:
            reason = f"option {option.name!r} of {kind}: {problem.reason}"
            span = problem.span or option.value.span
            _fail(self.text, span, reason, _options_hint(kind, cls))


def _safely(read: Callable[[], dict[str, Hint]], kind: str) -> dict[str, Hint]:
    try:
        return read()
    except (NameError, TypeError) as error:
        raise PluginError(f"{kind}: the types of its options cannot be read: {error}") from error


def _unknown_option(option: Option, text: str, kind: str, cls: type) -> NoReturn:
    names = [info.name for info in options_of(cls)]
    close = difflib.get_close_matches(option.name, names, n=1)
    guess = f"did you mean {close[0]!r}? " if close else ""
    reason = f"unknown option {option.name!r} of {kind}"
    _fail(text, option.name_span, reason, guess + _options_hint(kind, cls))


def _blamed(item: Item, reason: str) -> tuple[int, int]:
    """Span to underline for a plugin's `ValueError`: the one option it names, else the name."""
    words = reason.replace("_", "-").translate(dict.fromkeys(map(ord, ",=`:"), " ")).split()
    named = [option for option in item.options if option.name in words]
    if len(named) == 1:
        return named[0].name_span[0], named[0].value.span[1]
    if len(item.options) == 1:
        return item.options[0].name_span[0], item.options[0].value.span[1]
    return item.name_span


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
