"""Flags of a command, made from the fields of a dataclass of `snnc.options`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from typer.models import ArgumentInfo, OptionInfo

from snnc.options import Flag, flags
from snnc.writes import Writes

Given = dict[str, Any]
"""The options that were given, by field name, as values of the fields; defaults are left out
where `--help` shows none."""


FILES = ("ART", "DATA", "FILE", "MODEL", ".np", ".snnc")
"""In metavars of what names files."""


@dataclass(frozen=True)
class FlagsOf:
    """Annotation of a parameter that stands for all flags of a dataclass.

    Attributes:
        options: a dataclass with fields made by `snnc.options.option`.
        without: names of fields that this command does not take, or takes as parameters of its own.
        make: makes the parameter's value of the options that were given, its keyword arguments.
    """

    options: type
    without: tuple[str, ...] = ()
    make: Callable[..., Any] = dict

    def flags(self) -> dict[str, tuple[Flag, Any]]:
        """Flag and default by field name."""
        listed = flags(self.options)
        return {name: listed[name] for name in listed if name not in self.without}

    def parameters(self) -> list[inspect.Parameter]:
        """One parameter for each flag, as typer reads it."""
        return [_parameter(name, *known) for name, known in self.flags().items()]

    def given(self, values: Mapping[str, Any]) -> Any:
        """The parameter's value, made of what typer read. Raises `UsageError`."""
        read: Given = {}
        for name, (flag, _) in self.flags().items():
            value = values[name]
            if value is None or value == []:
                continue
            read[name] = value if flag.read is None else flag.read(flag.names[-1], value)
        return self.make(**read)


@dataclass(frozen=True)
class After:
    """Annotation of a parameter: `--help` lists its flags behind that of this field."""

    name: str


def typer_option(options: type, name: str) -> Any:
    """The option for one field of a dataclass, for verbs that take this one alone."""
    return _option(flags(options)[name][0])


def with_flags(command: Callable[..., None]) -> Callable[..., None]:
    """`command`, parameters annotated with `FlagsOf` replaced by one parameter for each flag.

    What `Writes` marks is compared with all that is read, before the command runs.
    """
    own = inspect.signature(command, eval_str=True).parameters.values()
    groups = {p.name: _metadata(p, FlagsOf) for p in own if _metadata(p, FlagsOf) is not None}

    signature = inspect.Signature(_arranged(own))

    def call(**values: Any) -> None:
        _require_own_places(signature.parameters, values)
        made = {name: group.given(values) for name, group in groups.items()}
        command(**made, **{p.name: values[p.name] for p in own if p.name not in groups})

    call.__signature__ = signature  # type: ignore[attr-defined]
    call.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
    call.__doc__ = command.__doc__
    return call


def _require_own_places(
    parameters: Mapping[str, inspect.Parameter], values: Mapping[str, Any]
) -> None:
    """Raise `UsageError` for a file that is written and is read, or written by another option."""
    given = {p: values[name] for name, p in parameters.items() if values[name] is not None}
    written = {p: _metadata(p, Writes) for p in given if _metadata(p, Writes) is not None}
    if not written:
        return
    from snnc.driver.own_places import require_own_places

    require_own_places(
        {_shown(p): (given[p], writes) for p, writes in written.items()},
        {_shown(p): each for p, each in given.items() if p not in written and _reads(p, each)},
    )


def _shown(parameter: inspect.Parameter) -> str:
    """The first flag of an option, or the name of an argument."""
    option = _metadata(parameter, OptionInfo)
    if option is not None:
        return option.default  # where typer puts the first flag of an annotation
    return _metadata(parameter, ArgumentInfo).metavar


def _reads(parameter: inspect.Parameter, value: Any) -> bool:
    """Whether a value may name files: the metavar tells, or there are options in braces."""
    known = _metadata(parameter, OptionInfo) or _metadata(parameter, ArgumentInfo)
    files = isinstance(value, Path) or any(word in (known.metavar or "") for word in FILES)
    return files or (isinstance(value, str) and "{" in value)


def _arranged(own: Iterable[inspect.Parameter]) -> list[inspect.Parameter]:
    """Parameters in the order of `--help`."""
    listed: list[inspect.Parameter] = []
    for parameter in own:
        group, after = _metadata(parameter, FlagsOf), _metadata(parameter, After)
        keyword = parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        names = [each.name for each in listed]
        place = len(names) if after is None else names.index(after.name) + 1
        listed[place:place] = [keyword] if group is None else group.parameters()
    return listed


def _parameter(name: str, flag: Flag, default: Any) -> inspect.Parameter:
    shown = isinstance(default, str | int) and not flag.default_varies
    kind = flag.kind if shown else flag.kind | None
    marks = () if flag.writes is None else (flag.writes,)
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default if shown else None,
        annotation=Annotated[kind, _option(flag), *marks],
    )


def _option(flag: Flag) -> Any:
    return typer.Option(*flag.names, metavar=flag.metavar, help=flag.help)


def _metadata(parameter: inspect.Parameter, kind: type) -> Any:
    """The annotation of this kind of a parameter, or None."""
    matching = [each for each in get_args(parameter.annotation)[1:] if isinstance(each, kind)]
    return matching[0] if matching else None
