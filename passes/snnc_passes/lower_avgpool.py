"""`lower-avgpool`: an average is a sum of spikes and a factor."""

from __future__ import annotations

from dataclasses import dataclass
from math import lcm, prod
from typing import ClassVar

from snnc.errors import PassError
from snnc.ir import AvgPool, Graph, Node, Scale, Stage, SumPool
from snnc.transform import Pass, PassContext, PassResult

LARGEST_DIVISOR = 4096


@dataclass(frozen=True, kw_only=True)
class LowerAvgpool(Pass):
    """Replace every `AvgPool` by a `SumPool` and a `Scale` of 1/divisor.

    Where the divisor depends on the position (padding not counted, ceil mode, uneven adaptive
    bins), the sum counts each position lcm/divisor times and the factor is 1/lcm, so that spikes
    stay integers. An lcm above 4096 is refused: the counts would need too many bits.
    """

    name: ClassVar[str] = "lower-avgpool"
    takes: ClassVar[Stage] = Stage.ANN
    gives: ClassVar[Stage] = Stage.ANN

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        pools = [node for node in graph.nodes if isinstance(node.op, AvgPool)]
        for node in pools:
            _lower(graph, node)
        return PassResult(graph, changed=bool(pools), metrics={"lowered": len(pools)})


def _lower(graph: Graph, node: Node) -> None:
    op = node.op
    if not isinstance(op, AvgPool):
        raise TypeError(node.name)
    common = [lcm(*axis) for axis in op.divisors]
    divisor = prod(common)
    if divisor > LARGEST_DIVISOR:
        raise PassError(
            f"{node.name} at {node.loc} averages by up to {divisor} (limit {LARGEST_DIVISOR})",
            hint="use a pooling whose windows have few different sizes",
        )
    pairs = zip(common, op.divisors, strict=True)
    multiplicity = tuple(tuple(n // d for d in axis) for n, axis in pairs)
    uneven = any(m != 1 for axis in multiplicity for m in axis)
    pool = SumPool(windows=op.windows, multiplicity=multiplicity if uneven else None)
    graph.replace_op(node.name, pool)
    if divisor != 1:
        graph.insert_after(node.name, graph.fresh(f"{node.name}.scale"), Scale(factor=1 / divisor))
