"""An imported graph must compute what the model computes: both are run on one random batch."""

from __future__ import annotations

import numpy as np
import torch

from snnc.errors import ModelError, UnsupportedError
from snnc.frontends.base import Reference
from snnc.frontends.importing import Imported
from snnc.interp import run_ann

SAMPLES = 2
TOLERANCE = 1e-3  # of the largest output; float32 rounding stays far below, mistakes far above


def check_same(imported: Imported, reference: Reference, hint: str | None = None) -> None:
    """Compare a graph on a standard normal batch with the model it was imported from.

    Args:
        reference: the model itself; it may give a softmax that the graph has not.
        hint: why the two may differ, as messages say it.

    Raises:
        ModelError: the model gives values that are not finite, or another number of outputs.
        UnsupportedError: the graph gives other values than the model.
    """
    graph, name = imported.graph, imported.name
    shape = (SAMPLES, *graph.type_of(graph.input).shape)
    x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    found = run_ann(graph, x, dtype=torch.float32)
    wanted = reference(x)
    if len(wanted) != len(graph.outputs):
        raise ModelError(f"{name} gives {len(wanted)} outputs, its graph {len(graph.outputs)}")
    for i, (output, expected) in enumerate(zip(graph.outputs, wanted, strict=True)):
        value = found[output].numpy()
        if i in imported.softmaxes:
            value = imported.softmaxes[i].apply(value)
        if not np.isfinite(expected).all():
            raise ModelError(f"{name} gives NaN or infinity on a standard normal input")
        if value.shape != expected.shape:
            raise UnsupportedError(
                f"{name}: {output} is {value.shape} in the graph, {expected.shape} in the model"
            )
        error = float(np.abs(value - expected).max())
        if not error <= TOLERANCE * max(float(np.abs(expected).max()), 1e-6):  # NaN is a difference
            raise UnsupportedError(
                f"{name}: the graph and the model differ by {error:.3g} at {output}",
                hint=hint,
            )
