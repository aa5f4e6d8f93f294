"""Fold a normalisation into the layers behind it."""

from __future__ import annotations

from dataclasses import dataclass

from snnc.ir import Graph, Scale, Stage, Weighted
from snnc.transform import Pass, PassContext, PassResult
from snnc_passes._affine import leads_to
from snnc_passes._scale_propagation import Sinker


@dataclass(frozen=True, kw_only=True)
class FoldNormalization(Pass):
    """Fold a Scale with bias (normalised inputs, batch norm before activation) into what follows.

    weight * (f x + b) = (weight * f) x + weight * b. Where a convolution pads, its padding is zero
    after the normalisation, so that `weight * b` differs at the border: it becomes a bias map of
    the output's shape. A Scale passes pools and rearrangements on its way; for users other than
    convolutions and linear layers it is kept.

    Metrics: `folded`, scales that were folded at least in part.
    """

    name = "fold-normalization"
    takes = Stage.ANN
    gives = Stage.ANN

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        """Fold scales, the last first, until nothing moves."""
        sinker = Sinker(graph, {name: kind.shape for name, kind in graph.types().items()})

        def wanted(user: str) -> bool:
            return leads_to(graph, user, (Weighted,)) and not _concatenates(graph, user)

        folded, moving = 0, True
        while moving:
            scales = [node.name for node in graph.nodes if isinstance(node.op, Scale)]
            moving = any(sinker.sink(name, wanted) for name in reversed(scales))
            folded += moving
        graph.prune_params()
        return PassResult(graph, metrics={"folded": folded})


def _concatenates(graph: Graph, name: str) -> bool:
    """Whether `name` is a concatenation: it takes more than one scale, which may differ in kind."""
    return graph.node(name).op.arity is None
