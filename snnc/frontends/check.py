"""Check that an imported graph computes what the model computes, on one random batch."""

from __future__ import annotations

import numpy as np
import torch

from snnc.errors import ModelError, UnsupportedError
from snnc.frontends.base import Reference
from snnc.frontends.calling import as_reference
from snnc.frontends.importing import Imported
from snnc.interp import run_ann
from snnc.output_function import applied

SAMPLES = 2
TOLERANCE = 1e-3  # relative to the largest output; well above float32 rounding


def check_same(imported: Imported, reference: Reference, hint: str | None = None) -> None:
    """Compare a graph on a standard normal batch with the model it was imported from.

    Args:
        imported: the graph, and the softmaxes that were dropped from its outputs.
        reference: the model itself.
        hint: hint of the error if the two differ.

    Raises:
        ModelError: an output of the model is not finite or no array of floats, or the number of
            outputs differs.
        UnsupportedError: shapes or values of an output differ.
    """
    graph, name = imported.graph, imported.name
    shape = (SAMPLES, *graph.type_of(graph.input).shape)
    x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    values = run_ann(graph, x, dtype=torch.float32)
    targets = as_reference(reference, name)(x)
    if len(targets) != len(graph.outputs):
        raise ModelError(f"{name} gives {len(targets)} outputs, its graph {len(graph.outputs)}")
    for i, (output, expected) in enumerate(zip(graph.outputs, targets, strict=True)):
        value = values[output].numpy()
        value = applied(graph.meta, value, i)
        if i in imported.softmaxes:
            value = imported.softmaxes[i].apply(value)
        if not np.isfinite(expected).all():
            raise ModelError(f"{name} gives NaN or infinity on a standard normal input")
        if value.shape != expected.shape:
            raise UnsupportedError(
                f"{name}: {output} is {value.shape} in the graph, {expected.shape} in the model",
                hint=hint,
            )
        error = float(np.abs(value - expected).max())
        if not error <= TOLERANCE * max(float(np.abs(expected).max()), 1e-6):  # NaN is a difference
            raise UnsupportedError(
                f"{name}: the graph and the model differ by {error:.3g} at {output}",
                hint=hint,
            )
