"""Functions that take the fields of a dataclass as keyword arguments."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import Field, fields
from functools import wraps
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from snnc.errors import UsageError
from snnc.options import MEANING

First = TypeVar("First")
P = ParamSpec("P")
R = TypeVar("R")
Options = TypeVar("Options")
WIDTH = 100


def keywords_of(
    options: Callable[P, Options],
) -> Callable[[Callable[[First, Options], R]], Callable[Concatenate[First, P], R]]:
    """Let a function of (model, options) be called as (model, field=value, …).

    Args:
        options: a dataclass. Its fields are listed in the function's signature, for
            type checkers too, and in its documentation.

    The function raises `TypeError` for an unknown or a missing argument, like any other, and
    `UsageError` for a value of another type.
    """

    def decorate(function: Callable[[First, Options], R]) -> Callable[Concatenate[First, P], R]:
        first, _ = inspect.signature(function).parameters.values()
        parameters = [first, *inspect.signature(options).parameters.values()]
        signature = inspect.Signature(
            parameters, return_annotation=inspect.signature(function).return_annotation
        )

        @wraps(function)
        def call(*args: Any, **given: Any) -> R:
            try:
                bound = signature.bind(*args, **given)
            except TypeError as error:
                raise TypeError(f"{function.__name__}() {error}") from None
            model = bound.arguments.pop(first.name)
            _check_kinds(options, bound.arguments)
            return function(model, options(**bound.arguments))  # type: ignore[call-arg]

        call.__signature__ = signature  # type: ignore[attr-defined]
        call.__doc__ = f"{inspect.getdoc(function)}\n\nOptions:\n{_described(options)}\n"
        return call

    return decorate


def _is_several(value: object) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, str)


KINDS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "str": (lambda v: isinstance(v, str), "a text"),
    "Path": (lambda v: isinstance(v, Path), "a path"),
    "bool": (lambda v: isinstance(v, bool), "True or False"),
    "int": (lambda v: isinstance(v, Integral) and not isinstance(v, bool), "a whole number"),
    "None": (lambda v: v is None, "None"),
    "ModelSource": (
        lambda v: type(v).__name__ == "ModelSource",
        "a snnc.driver.ModelSource(model=...)",
    ),
    "float": (lambda v: isinstance(v, Real) and not isinstance(v, bool), "a number"),
    "Sequence[int]": (_is_several, "several numbers"),
    "Sequence[float]": (_is_several, "several numbers"),
    "Sequence[str]": (_is_several, "several texts"),
}
"""By type in the annotation of a field, whether a value is of it, and its name in messages."""


def _check_kinds(options: Any, given: Mapping[str, Any]) -> None:
    """Raise `UsageError` for a value of none of the types of its field, where all are `KINDS`."""
    listed: tuple[Field[Any], ...] = fields(options)
    for field in listed:
        parts = str(field.type).split(" | ")
        if field.name not in given or not all(part in KINDS for part in parts):
            continue
        value = given[field.name]
        if not any(KINDS[part][0](value) for part in parts):
            simple = isinstance(value, str | int | float)
            shown = repr(value) if simple else f"of type {type(value).__name__}"
            expected = " or ".join(KINDS[part][1] for part in parts)
            meaning = field.metadata.get(MEANING)
            raise UsageError(f"{field.name} is {shown}; it takes {expected}", hint=meaning)


def _described(options: Any) -> str:
    """One paragraph for each field with a meaning."""
    listed: tuple[Field[Any], ...] = fields(options)
    return "\n".join(
        textwrap.fill(
            f"{f.name}: {f.metadata[MEANING]}",
            WIDTH,
            initial_indent=" " * 4,
            subsequent_indent=" " * 8,
        )
        for f in listed
        if MEANING in f.metadata
    )
