"""Tracing of a torch module with torch.fx; every node records the user's line and module."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from snnc.errors import ModelError, SnncError, UnsupportedError, UsageError
from snnc.frontends.canonicalize import canonicalize
from snnc.frontends.check import check_same
from snnc.frontends.exporting import export
from snnc.frontends.hooks import hooks_of
from snnc.frontends.inference import as_function, check_finite, inference, require_values
from snnc.frontends.shapes import BATCHES, Traced, named_tensors, observe
from snnc.frontends.tracer import LocTracer
from snnc.frontends.untraceable import UntraceableError, untraceable
from snnc.ir import Graph


def trace(module: Any, example: Any, *, name: str | None = None) -> Graph:
    """The graph of `module`, at stage `ann`; see `snnc.frontends.trace`.

    `name` is what error messages call the module; default its class.
    """
    if isinstance(module, torch.jit.ScriptModule):
        raise ModelError(
            "a TorchScript module cannot be traced", hint="give the module it was made from"
        )
    if not isinstance(module, nn.Module):
        raise UsageError(f"a {type(module).__name__} is no torch module")
    name = type(module).__name__ if name is None else name
    shape = sample_shape(example)
    require_values(module)
    check_finite(module.state_dict(), name)
    with inference(module) as prepared, torch.no_grad():
        with _hooks_named(prepared):
            imported = canonicalize(_operations(prepared, shape, name), shape, name)
        check_same(imported, as_function(prepared, name), _why_different(prepared))
    return imported.graph


def _operations(module: nn.Module, shape: tuple[int, ...], name: str) -> Traced:
    """The operations as torch.fx traces them; where it cannot, as torch.export does."""
    try:
        traced, other = (symbolic(module, name, torch.zeros(n, *shape)) for n in BATCHES)
    except UntraceableError as failure:
        return export(module, shape, name, failure)
    return Traced(traced, observe(traced, other, name), named_tensors(module), module)


def sample_shape(example: Any) -> tuple[int, ...]:
    """The shape of one sample, from itself or from a batch. Raises `UsageError`."""
    if isinstance(example, Tensor | np.ndarray):
        if example.ndim < 2:
            raise UsageError("the example has no axis of samples", hint="a batch (N, *shape)")
        return tuple(int(n) for n in example.shape[1:])
    if isinstance(example, Sequence) and all(isinstance(n, int) for n in example) and example:
        return tuple(example)
    raise UsageError(
        f"{example!r} is neither the shape of a sample nor a batch", hint="for example (3, 32, 32)"
    )


@contextlib.contextmanager
def _hooks_named(module: nn.Module) -> Iterator[None]:
    """Add the hooks of the module to the hint of an error of its shapes, which they may change."""
    try:
        yield
    except ModelError as error:
        if not hooks_of(module):
            raise
        hints = [error.hint, _why_different(module)]
        raise ModelError(error.message, hint="\n".join(filter(None, hints))) from error


def _why_different(module: nn.Module) -> str:
    """The likely reasons why a traced graph computes something else than its module."""
    hooks = hooks_of(module)
    if hooks:
        return f"its hooks are not compiled; remove {', '.join(hooks)}"
    return "the module overwrites tensors in place, or is random in eval mode"


def symbolic(module: nn.Module, name: str, example: Tensor) -> fx.Graph:
    """The traced operations, computed along for the batch `example`.

    Raises:
        UntraceableError: the code cannot be traced; with the user's line.
        ModelError: the module does not take such a batch.
    """
    traced, failure = trace_as_far(module, name, example)
    if failure is not None:
        raise failure
    return traced


def trace_as_far(
    module: nn.Module, name: str, example: Tensor | None
) -> tuple[fx.Graph, SnncError | None]:
    """The operations up to the one that cannot be traced, and the error of that one.

    Without `example` no shape is known. Attributes that the code sets, and what it keeps in dicts,
    lists and sets of the modules, are restored.
    """
    tracer = LocTracer(name, example)
    _check_arguments(module, name)
    try:
        with _restored(module):
            return tracer.trace(module, _constant_arguments(module) or None), None
    except SnncError as error:
        return tracer.graph, error
    except Exception as error:  # the user's forward may raise anything
        failure = untraceable(error, name)
        failure.__cause__ = error
        return tracer.graph, failure


@contextlib.contextmanager
def _restored(module: nn.Module) -> Iterator[None]:
    """Give the attributes of all modules back the values, and their containers the contents."""
    attributes = {part: dict(vars(part)) for part in module.modules()}
    values = [value for own in attributes.values() for value in own.values()]
    dicts = [(each, dict(each)) for each in values if type(each) is dict]
    lists = [(each, list(each)) for each in values if type(each) is list]
    sets = [(each, set(each)) for each in values if type(each) is set]
    try:
        yield
    finally:
        for part, own in attributes.items():
            vars(part).clear()
            vars(part).update(own)
        for kept, contents in (*dicts, *sets):
            kept.clear()
            kept.update(contents)
        for kept, contents in lists:
            kept[:] = contents


def _check_arguments(module: nn.Module, name: str) -> None:
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = list(inspect.signature(module.forward).parameters.values())
    needed = [p for p in parameters if p.default is p.empty and p.kind in plain]
    if len(needed) > 1:
        names = ", ".join(p.name for p in needed)
        raise UnsupportedError(
            f"{name} cannot be traced: forward takes {len(needed)} inputs ({names}); a network "
            "takes one",
            hint="join them by torch.cat along dim=1 and split them in forward, or give every "
            "argument but the first a default",
        )
    if not parameters or parameters[0].kind not in plain:
        shown = ", ".join(map(str, parameters))
        raise UnsupportedError(
            f"{name} cannot be traced: forward({shown}) does not take exactly one input",
            hint="give every argument but the first a default",
        )


def _constant_arguments(module: nn.Module) -> dict[str, Any]:
    """The arguments of `forward` after the first, which keep their defaults: `augment=False`."""
    _, *others = inspect.signature(module.forward).parameters.values()
    return {p.name: p.default for p in others if p.default is not p.empty}
