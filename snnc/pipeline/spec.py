"""One grammar for pipelines, targets and recipes: `name{opt=1 opt2=[a b] s='quoted text'},name2`.

An option is a field of a frozen dataclass, its name with `_` written `-`, its type the field's
annotation. A value may itself be `name{options}`, where the annotation says that it is a plugin
(`snnc.plugin_option.Plugin`) or one of several dataclasses with a `name`.
`format_spec(parse(text))` is canonical: options in the order of the fields, those at their default
left out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from typing import Any, NamedTuple, NoReturn, cast

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
from snnc.pipeline.words import Item, Option, SyntaxProblem, Words, read_items
from snnc.plugins import Registry, guess

EXPECTED = "written option=[value value]"
"""How `variations` are written."""


@dataclass(frozen=True, slots=True)
class OptionInfo:
    """Description of a plugin option: its name, its type in words, its default as text."""

    name: str
    type: str
    default: str | None

    def __str__(self) -> str:
        default = "required" if self.default is None else f"default {self.default}"
        return f"{self.name} ({self.type}, {default})"


class _Field(NamedTuple):
    """A field of a plugin's class as an option; `default` is `MISSING` for a required one."""

    name: str
    option: str
    hint: Hint
    default: Any

    def is_default(self, value: object) -> bool:
        return type(self.default) is type(value) and self.default == value


def _fields(cls: type) -> list[_Field]:
    """The options of a plugin's class: its fields, if it is a dataclass."""
    if not is_dataclass(cls):
        return []
    hints = hints_of(cls)
    return [
        _Field(
            field.name,
            field.name.replace("_", "-"),
            hints[field.name],
            field.default if field.default_factory is MISSING else field.default_factory(),
        )
        for field in fields(cls)
        if field.init
    ]


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


def variations(
    spec: Any, text: str, registry: Names, groups: Callable[[str], Names] = Registry
) -> tuple[str, dict[str, Any]]:
    """Copies of an object that differ in one option.

    Args:
        spec: an object that `parse` gave.
        text: `option=[value value ...]`, or `option=value`.
        registry, groups: as of `parse`.

    Returns the name of the field, and by the text of a value the copy with it. Raises as `parse`
    does.
    """
    whole = f"{spec.name}{{{text}}}"
    item, *more = _items(whole)
    if more or len(item.options) != 1:
        _fail(whole, item.name_span, "one option and its values are expected", EXPECTED)
    (option,) = item.options
    values = option.value.items if isinstance(option.value, Words) else (option.value,)
    if not values:
        _fail(whole, option.value.span, f"no values of {option.name!r} are given")
    builder = _Builder(whole, groups)
    copies = {
        whole[slice(*value.span)]: builder.changed(
            spec, replace(item, options=(replace(option, value=value),)), registry
        )
        for value in values
    }
    return option.name.replace("-", "_"), copies


def parse_recipe(text: str, recipes: Names, passes: Names) -> list[Any]:
    """Read one recipe; the passes that it stands for.

    Raises:
        SpecError, PluginError: as `parse`. Where an option of the recipe makes a pass refuse it,
            the caret is under the option.
    """
    recipe = parse_one(text, recipes)
    try:
        return parse(recipe.pipeline(), passes)
    except SpecError as error:
        (item,) = _items(text)
        if not item.options:
            raise
        reason = error.message.splitlines()[0]
        _fail_of(text, item, f"{recipes.noun} {item.name}", type(cast(object, recipe)), reason)


def format_spec(specs: object) -> str:
    """The canonical text of one object or of a sequence of them."""
    if isinstance(specs, list | tuple):
        return ",".join(format_spec(spec) for spec in cast(Sequence[object], specs))
    options = [
        f"{field.option}={format_value(value, field.hint, format_spec)}"
        for field in _fields(type(specs))
        if not field.is_default(value := getattr(specs, field.name))
    ]
    name: str = cast(Any, specs).name
    return f"{name}{{{' '.join(options)}}}" if options else name


def nested_plugins(spec: object) -> list[tuple[str, str]]:
    """(group, name) of every plugin that an option of `spec` holds, and of their options."""
    plugins: list[tuple[str, str]] = []
    for field in _fields(type(spec)):
        group, value = group_of(field.hint), getattr(spec, field.name)
        if group is not None and value is not None:
            plugins += [(group, value.name), *nested_plugins(value)]
    return plugins


def options_of(cls: type) -> tuple[OptionInfo, ...]:
    """Every option of a plugin's class, in the order of its fields."""
    return tuple(
        OptionInfo(
            field.option,
            describe(field.hint),
            None
            if field.default is MISSING
            else format_value(field.default, field.hint, format_spec),
        )
        for field in _fields(cls)
    )


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
        try:
            options = {field.option: field for field in _fields(cls)}
        except (NameError, TypeError) as error:
            reason = f"{kind}: the types of its options cannot be read: {error}"
            raise PluginError(reason) from error
        values = self._values(item, options, cls, kind)
        required = [f for f in options.values() if f.default is MISSING and f.name not in values]
        if required:
            missing = [field.option for field in required]
            reason = f"{kind} needs the option {', '.join(map(repr, missing))}"
            _fail(self.text, item.name_span, reason, _options_hint(kind, cls, missing))
        try:
            return cls(**values)
        except ValueError as error:
            _fail_of(self.text, item, kind, cls, str(error))

    def changed(self, spec: Any, item: Item, registry: Names) -> Any:
        """A copy of `spec` with the options of `item`. Raises `SpecError`, `PluginError`."""
        cls: type = spec.__class__
        kind = f"{registry.noun} {item.name}"
        values = self._values(item, {f.option: f for f in _fields(cls)}, cls, kind)
        try:
            return replace(spec, **values)
        except ValueError as error:
            _fail(self.text, _blamed(item, str(error)), f"{kind}: {error}")

    def _lookup(self, item: Item, registry: Names) -> type:
        try:
            return registry.get(item.name)
        except UsageError as error:
            _fail(self.text, item.name_span, error.message, error.hint)

    def _values(
        self, item: Item, options: dict[str, _Field], cls: type, kind: str
    ) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for option in item.options:
            field = options.get(option.name)
            if field is None:
                reason = f"unknown option {option.name!r} of {kind}"
                hint = guess(option.name, options) + _options_hint(kind, cls)
                _fail(self.text, option.name_span, reason, hint)
            if field.name in values:
                _fail(self.text, option.name_span, f"option {option.name!r} is given twice")
            values[field.name] = self._value(option, field.hint, kind, cls)
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
            _fail(self.text, span, reason, _options_hint(kind, cls, [option.name]))


def _blamed(item: Item, reason: str) -> tuple[int, int]:
    """Span to underline for a plugin's `ValueError`: the one option it names, else the name."""
    named = _named(reason, [option.name for option in item.options])
    for option in item.options:
        if [option.name] == named:
            return option.name_span[0], option.value.span[1]
    if len(item.options) == 1:
        return item.options[0].name_span[0], item.options[0].value.span[1]
    return item.name_span


def _named(reason: str, options: Iterable[str]) -> list[str]:
    """The options that a reason names."""
    words = reason.replace("_", "-").translate(dict.fromkeys(map(ord, ",=`:"), " ")).split()
    return [option for option in options if option in words]


def _options_hint(kind: str, cls: type, names: Collection[str] = ()) -> str:
    """The options of a plugin with their types and defaults; of `names` alone, if there are any."""
    options = options_of(cls)
    if not options:
        return f"{kind} has no options"
    chosen = [option for option in options if option.name in names]
    start = "" if chosen else f"options of {kind}: "
    return start + ", ".join(map(str, chosen or options))


def _fail_of(text: str, item: Item, kind: str, cls: type, reason: str) -> NoReturn:
    """Fail for options that a plugin refuses; the hint has those that the reason names."""
    names = _named(reason, [option.name for option in options_of(cls)])
    hint = _options_hint(kind, cls, names or [option.name for option in item.options])
    _fail(text, _blamed(item, reason), f"{kind}: {reason}", hint)


def _fail(text: str, span: tuple[int, int], reason: str, hint: str | None = None) -> NoReturn:
    start, stop = span
    shown = "".join(" " if char.isspace() else char for char in text)
    caret = " " * start + "^" * max(1, stop - start)
    raise SpecError(f"{reason}\n  {shown}\n  {caret}", hint=hint)
