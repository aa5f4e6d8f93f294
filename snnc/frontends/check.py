"""The traced graph must compute what the module computes: both are run on one random batch."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from snnc.errors import ModelError, UnsupportedError
from snnc.frontends.softmax import Tail
from snnc.interp import run_ann
from snnc.ir import Graph

SAMPLES = 2
TOLERANCE = 1e-3  # of the largest output; float32 rounding stays far below, mistakes far above


def check_same(module: nn.Module, graph: Graph, tails: Mapping[int, Tail], name: str) -> None:
    """Compare on a standard normal batch.

    Raises:
        ModelError: the module gives values that are not finite.
        UnsupportedError: the graph gives other values than the module.
    """
    generator = torch.Generator().manual_seed(0)
    shape = graph.type_of(graph.input).shape
    x = torch.randn(SAMPLES, *shape, generator=generator)
    got = run_ann(graph, x, dtype=torch.float32)
    result = module(x.clone())
    wanted = [result] if isinstance(result, Tensor) else list(result)
    for i, (output, expected) in enumerate(zip(graph.outputs, wanted, strict=True)):
        value = tails[i].apply(got[output]) if i in tails else got[output]
        if not bool(torch.isfinite(expected).all()):
            raise ModelError(f"{name} gives NaN or infinity on a standard normal input")
        error = float((value - expected).abs().max())
        if error > TOLERANCE * max(float(expected.abs().max()), 1e-6):
            raise UnsupportedError(
                f"{name}: the traced graph and the module differ by {error:.3g} at {output}",
                hint="the module overwrites tensors in place, or is random in eval mode",
            )
