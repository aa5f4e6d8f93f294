"""`replace-maxpool`: another pooling where max-pooling has no spiking form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from snnc.ir import AvgPool, Graph, MaxPool, Stage
from snnc.transform import Pass, PassContext, PassResult


@dataclass(frozen=True, kw_only=True)
class ReplaceMaxpool(Pass):
    """Replace every max-pool by the average over the same windows. This changes the network.

    Accuracy falls unless the network is trained again; a max-pool on the input itself is left.
    """

    name: ClassVar[str] = "replace-maxpool"
    takes: ClassVar[Stage] = Stage.ANN
    gives: ClassVar[Stage] = Stage.ANN
    by: Literal["average"] = "average"

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        pools = [
            node
            for node in graph.nodes
            if isinstance(node.op, MaxPool) and graph.inputs_of(node.name)[0] != graph.input
        ]
        for node in pools:
            if isinstance(node.op, MaxPool):
                windows = node.op.windows
                divisors = tuple(tuple(stop - start for start, stop in axis) for axis in windows)
                graph.replace_op(node.name, AvgPool(windows=windows, divisors=divisors))
        if pools:
            ctx.log.warning("%d max-pools became average pools: a different network", len(pools))
        return PassResult(graph, changed=bool(pools), metrics={"replaced": len(pools)})
