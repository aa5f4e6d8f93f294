"""The fraction of samples a pruned network classifies as the labels, or as the network before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from snnc.errors import PassError
from snnc.ir import Graph
from snnc.training import FastInterpreter
from snnc.transform import Batches, PassContext
from snnc_passes._samples import first, first_labels

STEPS = 64
"""Sparsities that are told apart."""


@dataclass(frozen=True)
class Judged:
    """Samples with the classes that are wanted.

    Attributes:
        measure: "accuracy" for labels of the data, "agreement" for the network before pruning.
        x: (N, *shape).
        wanted: (N,) classes.
        before: fraction that the network had right before pruning.
    """

    measure: str
    x: list[NDArray[np.float32]]
    wanted: NDArray[np.intp]
    before: float

    @classmethod
    def of(cls, graph: Graph, data: Batches, samples: int, ctx: PassContext) -> Judged:
        """The first samples of the data. Raises `PassError` for outputs that are no classes."""
        shape = graph.type_of(graph.outputs[0]).shape
        if len(shape) != 1 or shape[0] < 2:
            raise PassError(
                f"the output has shape {shape}; a budget in points is for classes",
                hint="give sparsity or threshold",
            )
        x = list(first(data, samples))
        own = _classes(graph, x, ctx)
        labels = list(first_labels(data, samples))
        if any(y is None or y.dtype.kind not in "iu" or y.ndim != 1 for y in labels):
            return cls("agreement", x, own, 1.0)
        wanted = np.concatenate([y for y in labels if y is not None]).astype(np.intp)
        return cls("accuracy", x, wanted, float(np.mean(own == wanted)))

    def right(self, graph: Graph, ctx: PassContext) -> float:
        """The fraction of samples that a network has right."""
        return float(np.mean(_classes(graph, self.x, ctx) == self.wanted))


def _classes(graph: Graph, x: list[NDArray[np.float32]], ctx: PassContext) -> NDArray[np.intp]:
    interpreter, done = FastInterpreter(graph, device=ctx.device), 0
    found: list[NDArray[Any]] = []
    with torch.no_grad():
        for each in x:
            ids = np.arange(done, done + len(each))
            outputs = interpreter.snn(each, ctx.timesteps, sample_ids=ids).outputs
            found.append(outputs[graph.outputs[0]].cpu().numpy().argmax(1))
            done += len(each)
    return np.concatenate(found)


def largest_within(
    judged: Judged, pruned: Callable[[float], Graph], points: float, ctx: PassContext
) -> float:
    """The largest sparsity that loses at most so many points, by bisection over `STEPS`.

    Raises:
        PassError: not even a sparsity of 1 / `STEPS` is within the budget.
    """
    low, high = 0, STEPS
    with ctx.progress("sparsity", STEPS.bit_length() - 1) as advance:
        while high - low > 1:
            middle = (low + high) // 2
            lost = 100 * (judged.before - judged.right(pruned(middle / STEPS), ctx))
            low, high = (middle, high) if lost <= points else (low, middle)
            advance(1)
    if not low:
        raise PassError(
            f"a sparsity of 1/{STEPS} loses more than {points:g} points of {judged.measure}",
            hint="a larger budget, or more samples",
        )
    return low / STEPS
