"""Replace average pooling by sum pooling and a factor (S3)."""

from __future__ import annotations

from dataclasses import dataclass
from math import lcm, prod

from snnc.errors import PassError
from snnc.ir import AvgPool, Graph, Node, Scale, Stage, SumPool
from snnc.transform import Pass, PassContext, PassResult

LARGEST_LCM = 4096


@dataclass(frozen=True, kw_only=True)
class LowerAvgpool(Pass):
    """Replace average pooling by an integer SumPool and a Scale.

    If all outputs have the same divisor d, the Scale is 1/d. Otherwise (borders that do not count
    padding, ceil mode, uneven adaptive pooling) every output is counted lcm/divisor times and the
    Scale is 1/lcm, with lcm the least common multiple of the divisors; above 4096 it is refused.

    Metrics: `lowered`, the pools that were replaced.
    """

    name = "lower-avgpool"
    takes = Stage.ANN
    gives = Stage.ANN
    preserves_function = True

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        """Lower every AvgPool. Raises `PassError` if the lcm of divisors is above 4096."""
        lowered = 0
        for node in graph.nodes:
            if isinstance(node.op, AvgPool):
                _lower(graph, node, node.op)
                lowered += 1
        return PassResult(graph, metrics={"lowered": lowered})


def _lower(graph: Graph, node: Node, op: AvgPool) -> None:
    least = [lcm(*axis) for axis in op.divisors]
    uneven = any(len(set(axis)) > 1 for axis in op.divisors)
    if uneven and prod(least) > LARGEST_LCM:
        raise PassError(
            f"{node.name} at {node.loc}: the least common multiple of its divisors is "
            f"{prod(least)}, above {LARGEST_LCM}",
            hint="use a pooling whose windows all have the same size",
        )
    multiplicity = tuple(
        tuple(common // divisor for divisor in axis)
        for common, axis in zip(least, op.divisors, strict=True)
    )
    graph.replace_op(
        node.name, SumPool(windows=op.windows, multiplicity=multiplicity if uneven else None)
    )
    if prod(least) > 1:
        new = graph.fresh(f"{node.name}.scale")
        graph.insert_after(node.name, new, Scale(factor=1 / prod(least)))
