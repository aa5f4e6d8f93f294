"""Build the user's module from a code reference and load its weights."""

from __future__ import annotations

import contextlib
import difflib
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from snnc.errors import ModelError, UsageError
from snnc.frontends.inference import float32_on_cpu
from snnc.frontends.input_shape import infer_shape
from snnc.frontends.loading import CodeReference, code_reference
from snnc.frontends.tracing import trace
from snnc.frontends.usercode import import_code, importable, user_error
from snnc.frontends.weights import load_weights
from snnc.ir import Graph


def load_graph(reference: str, weights: Path | None, input_shape: tuple[int, ...] | None) -> Graph:
    """Build the module that `reference` names and trace it; None infers the input shape."""
    with _user_code(reference) as code:
        module = _build(code, reference, weights)
        shape = infer_shape(module, reference) if input_shape is None else input_shape
        return trace(module, shape, name=reference)


def load_module(reference: str, weights: Path | None) -> nn.Module:
    """Build the module that `reference` names; on the CPU, in float32 and eval mode."""
    with _user_code(reference) as code:
        return _build(code, reference, weights).eval()


def _build(code: CodeReference, reference: str, weights: Path | None) -> nn.Module:
    factory = _attribute(import_code(code.source, is_file=code.is_file), code)
    module = factory if isinstance(factory, nn.Module) else _call(factory, reference)
    if not isinstance(module, nn.Module):
        raise ModelError(
            f"{reference} gave a {type(module).__name__}, not a torch module",
            hint="the factory returns an nn.Module",
        )
    module = float32_on_cpu(module)  # before the weights come, which would be rounded
    if weights is not None:
        load_weights(module, weights)
    return module


@contextlib.contextmanager
def _user_code(reference: str) -> Iterator[CodeReference]:
    """The folder of the user's code is importable within."""
    code = code_reference(reference)
    if code is None:
        raise UsageError(f"{reference} is not code:factory", hint="for example net.py:build")
    folder = Path(code.source).resolve().parent if code.is_file else Path.cwd()
    with importable(folder, forget=code.is_file):
        yield code


def _attribute(module: ModuleType, code: CodeReference) -> Any:
    value: Any = module
    for part in code.name.split("."):
        every_module_has_it = value is module and hasattr(ModuleType, part)
        if every_module_has_it or not hasattr(value, part):
            raise UsageError(f"{code.source} has no {part!r}", hint=_suggestion(module, part))
        value = getattr(value, part)
    return value


def _suggestion(module: ModuleType, name: str) -> str:
    own = [
        key
        for key, value in vars(module).items()
        if callable(value)
        and not key.startswith("_")
        and getattr(value, "__module__", None) == module.__name__
    ]
    if not own:
        return "it defines no function or class"
    close = difflib.get_close_matches(name, own, n=1)
    listed = "it has: " + ", ".join(own)
    return f"did you mean {close[0]!r}? {listed}" if close else listed


def _call(factory: Any, reference: str) -> Any:
    if not callable(factory):
        raise UsageError(f"{reference} is of type {type(factory).__name__}, not a factory")
    try:
        with contextlib.suppress(ValueError):  # no signature to check
            inspect.signature(factory).bind()
    except TypeError as error:
        raise UsageError(
            f"{reference} cannot be called without arguments: {error}",
            hint="write a function that builds the module with its options",
        ) from None
    try:
        return factory()
    except (Exception, SystemExit) as error:  # user code may raise anything
        raise user_error(f"{reference} failed", error) from error
