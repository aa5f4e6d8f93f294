"""Functions that take the fields of a dataclass as keyword arguments."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from dataclasses import Field, fields
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

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

    The function raises `TypeError` for an unknown or a missing argument, like any other.
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
            return function(model, options(**bound.arguments))  # type: ignore[call-arg]

        call.__signature__ = signature  # type: ignore[attr-defined]
        call.__doc__ = f"{inspect.getdoc(function)}\n\nOptions:\n{_described(options)}\n"
        return call

    return decorate


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
