"""Replace max pooling by average pooling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from snnc.ir import AvgPool, Graph, MaxPool, Relu, Stage
from snnc.transform import Pass, PassContext, PassResult
from snnc_passes._analog import before_encode
from snnc_passes._max_pools import exchange, only_user


@dataclass(frozen=True, kw_only=True)
class ReplaceMaxpool(Pass):
    """Replace max pooling by average pooling. This changes the function and costs accuracy.

    Average pooling needs no counters (Cao, Chen, Khosla, "Spiking Deep Convolutional Neural
    Networks for Energy-Efficient Object Recognition", 2015); `lower-maxpool` and
    `activations-to-neurons` keep the maximum. A ReLU directly after a max pool is moved before it
    first: max(relu(x)) = relu(max(x)). Pools of the input are kept, since they are computed before
    encoding.

    Metrics: `replaced`, the number of pools.
    """

    name = "replace-maxpool"
    takes = Stage.ANN
    gives = Stage.ANN
    by: Literal["average"] = "average"

    def __post_init__(self) -> None:
        if self.by != "average":
            raise ValueError(f"by={self.by} is not one of: average")

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        """Replace every MaxPool that is not before the encoder."""
        analog = before_encode(graph)
        pools = [n for n in graph.nodes if isinstance(n.op, MaxPool) and n.name not in analog]
        for node in pools:
            _relu_first(graph, node.name)
            assert isinstance(node.op, MaxPool)
            counts = tuple(tuple(b - a for a, b in axis) for axis in node.op.windows)
            graph.replace_op(node.name, AvgPool(windows=node.op.windows, divisors=counts))
        return PassResult(graph, metrics={"replaced": len(pools)})


def _relu_first(graph: Graph, pool: str) -> None:
    """Exchange `pool` and a ReLU that is its only user."""
    relu = only_user(graph, pool)
    if relu is not None and isinstance(graph.node(relu).op, Relu):
        exchange(graph, pool, relu)
