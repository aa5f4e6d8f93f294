"""From models to graphs of stage `ann`. Importing this package does not import torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnc.frontends.base import Frontend, Reference
from snnc.frontends.calling import as_reference
from snnc.frontends.loading import find_frontend

if TYPE_CHECKING:
    from torch import nn

    from snnc.ir import Graph
    from snnc.plugins import Registry

__all__ = ["Frontend", "Reference", "load", "reference", "trace"]


def load(
    reference: str,
    *,
    weights: str | Path | None = None,
    input_shape: tuple[int, ...] | None = None,
    allow: Sequence[str] = (),
    registry: Registry | None = None,
) -> Graph:
    """The graph of the model that `reference` names, at stage `ann`.

    Args:
        reference: `net.py:factory`, `pkg.mod:factory`, or a file that an installed frontend reads.
        weights: file of the parameters (safetensors, or a state dict saved by torch).
        input_shape: shape of one sample, channels first; None to infer it if it is unique.
        allow: user classes that a pickled module may contain.
        registry: frontends to choose from instead of the installed ones.

    Raises:
        UsageError: the reference or one of its flags is wrong or missing.
        ModelError: the model or its weights cannot be used.
        UnsupportedError: the model has operations snnc cannot compile; lists all of them.
    """
    frontend = find_frontend(reference, registry)
    path = None if weights is None else Path(weights)
    return frontend.load(reference, weights=path, input_shape=input_shape, allow=tuple(allow))


def reference(
    model: str,
    *,
    weights: str | Path | None = None,
    allow: Sequence[str] = (),
    registry: Registry | None = None,
) -> Reference:
    """The model that `model` names, as its own framework runs it; arguments as for `load`.

    Raises `UsageError` or `ModelError`; the function raises `ModelError` for outputs that are no
    batches.
    """
    frontend = find_frontend(model, registry)
    path = None if weights is None else Path(weights)
    return as_reference(frontend.reference(model, weights=path, allow=tuple(allow)), model)


def trace(module: nn.Module, example: Any = None) -> Graph:
    """The graph of a torch module, at stage `ann`.

    Args:
        module: traced in eval mode; not modified.
        example: the shape of one sample, channels first, or a batch (N, *shape); None to infer it
            if it is unique.

    Raises:
        UsageError: no shape can be inferred, or `example` is neither a shape nor a batch.
        ModelError: the module does not take such an input, or holds values that are not finite.
        UnsupportedError: the module has operations snnc cannot compile; lists all of them.
    """
    from snnc.frontends.input_shape import infer_shape
    from snnc.frontends.tracing import trace as trace_module

    shape = infer_shape(module, type(module).__name__) if example is None else example
    return trace_module(module, shape)
