"""`initialize-potential`: where every membrane potential starts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from snnc.ir import Graph, Neuron, Ref
from snnc.transform import Pass, PassContext, PassResult


@dataclass(frozen=True, kw_only=True)
class InitializePotential(Pass):
    """Start every potential at `fraction` of its threshold: v_init = fraction * threshold.

    One half makes a rate round to the nearest instead of downwards (Bu et al. 2022, "Optimized
    potential initialization").
    """

    name: ClassVar[str] = "initialize-potential"
    fraction: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.fraction < 1:
            raise ValueError(f"fraction must be in [0, 1), not {self.fraction}")

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        before = graph.fingerprint()
        for node in graph.nodes:
            if isinstance(node.op, Neuron):
                v_init = self._v_init(graph, node.name, node.op)
                graph.replace_op(node.name, replace(node.op, v_init=v_init))
        graph.prune_params()
        return PassResult(graph, changed=graph.fingerprint() != before)

    def _v_init(self, graph: Graph, name: str, op: Neuron) -> Ref | float:
        value = self.fraction * graph.array(op.threshold).astype(np.float64)
        if value.ndim == 0:
            return float(value)
        return graph.set_param(f"{name}.v_init", value.astype(np.float32))
