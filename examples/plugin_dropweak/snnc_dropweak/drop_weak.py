"""The pass `drop-weak`: zero small weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snnc.ir import Conv, Graph, Linear
from snnc.transform import Pass, PassContext, PassResult


@dataclass(frozen=True, kw_only=True)
class DropWeak(Pass):
    """Zero every weight smaller than `below` times the largest of its layer.

    Metrics: `dropped`, the fraction of all weights that became zero.
    """

    name = "drop-weak"
    below: float = 0.01

    def __post_init__(self) -> None:
        if not 0 <= self.below <= 1:
            raise ValueError(f"below={self.below} is not a fraction between 0 and 1")

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        """Rewrite the weights of every convolution and linear layer."""
        dropped = total = 0
        for name in sorted({n.op.weight.name for n in graph if isinstance(n.op, Conv | Linear)}):
            weight = graph.params[name]
            magnitude = np.abs(weight.astype(np.float64))
            weak = (magnitude < self.below * magnitude.max()) & (weight != 0)
            graph.set_param(name, np.where(weak, 0, weight).astype(weight.dtype))
            dropped, total = dropped + int(weak.sum()), total + weight.size
        return PassResult(graph, metrics={"dropped": dropped / total if total else 0.0})
