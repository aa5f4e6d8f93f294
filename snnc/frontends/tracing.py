"""Tracing of a torch module with torch.fx; every node records the user's line and module."""

from __future__ import annotations

import inspect
import os
import sys
import traceback
from collections.abc import Sequence
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from snnc.errors import Loc, ModelError, UnsupportedError, UsageError
from snnc.frontends.canonicalize import canonicalize
from snnc.frontends.check import check_same
from snnc.frontends.inference import as_function, inference, require_values
from snnc.frontends.shapes import observe
from snnc.frontends.torch_operations import is_known
from snnc.ir import Graph

TORCH_DIR = os.path.dirname(torch.__file__) + os.sep
OWN_DIR = os.path.dirname(__file__) + os.sep
_DIFFERS = "the module overwrites tensors in place, or is random in eval mode"


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
    _check_finite(module, name)
    with inference(module) as prepared, torch.no_grad():
        traced = symbolic(prepared, name)
        seen = observe(prepared, traced, shape, name)
        imported = canonicalize(prepared, traced, seen, shape, name)
        check_same(imported, as_function(prepared, name), _DIFFERS)
    return imported.graph


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


def _check_finite(module: nn.Module, name: str) -> None:
    bad = [
        key
        for key, value in module.state_dict().items()
        if isinstance(value, Tensor)
        and value.is_floating_point()
        and not bool(torch.isfinite(value).all())
    ]
    if bad:
        more = f" and {len(bad) - 5} more" if bad[5:] else ""
        raise ModelError(
            f"{name}: NaN or infinity in {', '.join(bad[:5])}{more}",
            hint="the training diverged, or the file is damaged",
        )


class LocTracer(fx.Tracer):
    """An fx tracer whose nodes know the user's line (`meta["loc"]`) and module (`meta["path"]`)."""

    def __init__(self) -> None:
        super().__init__()
        self._paths: list[str] = [""]

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Modules of torch are leaves; the user's modules are traced through."""
        return is_known(m) or super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        """Record the path of the module while it is called."""
        self._paths.append(self.path_of_module(m))
        try:
            return super().call_module(m, forward, args, kwargs)
        finally:
            self._paths.pop()

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        """Record the line of user code that created the node."""
        node = super().create_node(*args, **kwargs)
        file, line = _users_line(sys._getframe(1))
        path = node.target if node.op == "call_module" else self._paths[-1]
        node.meta["path"] = self._paths[-1]
        node.meta["loc"] = Loc(file, line, str(path) or None)
        return node


def _users_line(frame: FrameType | None) -> tuple[str | None, int | None]:
    while frame is not None:
        file = frame.f_code.co_filename
        if frame.f_code is symbolic.__code__:
            return None, None  # torch called the module itself: nn.Sequential
        if not file.startswith((TORCH_DIR, OWN_DIR)):
            return shown_path(file), frame.f_lineno
        frame = frame.f_back
    return None, None


def shown_path(file: str) -> str:
    """The path relative to the current folder if it lies below it."""
    here = os.getcwd() + os.sep
    return file.removeprefix(here)


def symbolic(module: nn.Module, name: str) -> fx.Graph:
    """The traced operations. Raises `UnsupportedError` with the user's line."""
    tracer = LocTracer()
    _check_arguments(module, name)
    try:
        return tracer.trace(module, _constant_arguments(module) or None)
    except Exception as error:  # the user's forward may raise anything
        raise _not_traceable(error, name) from error


def _check_arguments(module: nn.Module, name: str) -> None:
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = list(inspect.signature(module.forward).parameters.values())
    needed = [p for p in parameters if p.default is p.empty and p.kind in plain]
    if len(needed) > 1 or not parameters or parameters[0].kind not in plain:
        shown = ", ".join(map(str, parameters))
        raise UnsupportedError(
            f"{name} cannot be traced: forward({shown}) does not take exactly one input",
            hint="give every argument but the first a default",
        )


def _constant_arguments(module: nn.Module) -> dict[str, Any]:
    """The arguments of `forward` after the first, which keep their defaults: `augment=False`."""
    _, *others = inspect.signature(module.forward).parameters.values()
    return {p.name: p.default for p in others if p.default is not p.empty}


_EXPLAINED = (
    ("cannot be iterated", "iterates over a tensor", "index it, or use torch.chunk"),
    ("item assignment", "writes into part of a tensor", "build it with torch.cat or torch.where"),
    (
        "control flow",
        "control flow depends on the values or the shape of a tensor",
        "decide with attributes of the module, which are fixed when it is built",
    ),
    (
        "interpreted as an integer",
        "a loop or a number depends on the shape of a tensor",
        "use a number that is fixed when the module is built",
    ),
)


def _not_traceable(error: Exception, name: str) -> UnsupportedError:
    frames = traceback.extract_tb(error.__traceback__)
    user = [f for f in frames if not f.filename.startswith((TORCH_DIR, OWN_DIR, "<"))]
    loc = Loc(shown_path(user[-1].filename), user[-1].lineno) if user else Loc()
    text = str(error)
    for sign, reason, remedy in _EXPLAINED:
        if sign in text:
            return UnsupportedError(f"{name} cannot be traced\n  {loc}: {reason}", hint=remedy)
    first = text.strip().splitlines()[0] if text.strip() else ""
    return UnsupportedError(
        f"{name} cannot be traced\n  {loc}: {type(error).__name__}: {first}",
        hint="the forward of the module must not look at the values of its input",
    )
