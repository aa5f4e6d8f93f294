"""`initialize-potential`: starting values of membrane potentials."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from snnc.ir import Graph, Neuron, Ref
from snnc.transform import Pass, PassContext, PassResult
from snnc_passes._scales.affine import own_param


@dataclass(frozen=True, kw_only=True)
class InitializePotential(Pass):
    """Start every membrane potential at a fraction of its threshold, except `fixed` ones (S27).

    Half a threshold turns the truncation of the rate code into rounding, which is optimal for
    uniformly distributed inputs (Deng, Gu, "Optimal Conversion of Conventional Artificial Neural
    Networks to Spiking Neural Networks", 2021; Bu et al., "Optimized Potential Initialization for
    Low-latency Spiking Neural Networks", 2022).

    Attributes:
        fraction: of the threshold, at least 0 and below 1.
    """

    name = "initialize-potential"
    fraction: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.fraction < 1:
            raise ValueError(f"fraction={self.fraction} is not at least 0 and below 1")

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        """Set v_init of the neurons; integers are rounded half to even."""
        for node in graph.nodes:
            if isinstance(node.op, Neuron) and not node.op.fixed:
                start = self._start(graph, node.name, node.op)
                if start != node.op.v_init or isinstance(start, Ref):
                    graph.replace_op(node.name, replace(node.op, v_init=start))
        graph.prune_params()
        return PassResult(graph)

    def _start(self, graph: Graph, name: str, op: Neuron) -> Ref | float:
        if not isinstance(op.threshold, Ref):
            start = self.fraction * op.threshold
            return float(np.rint(start)) if graph.type_of(name).quantized else start
        threshold = graph.array(op.threshold)
        start = self.fraction * threshold.astype(np.float64)
        if np.issubdtype(threshold.dtype, np.integer):
            return own_param(graph, name, "v_init", np.rint(start).astype(threshold.dtype))
        return own_param(graph, name, "v_init", start)
