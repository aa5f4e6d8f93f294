"""Fold a normalisation into the layers after it."""

from __future__ import annotations

from dataclasses import dataclass

from snnc.ir import Graph, Node, Scale, Stage, Weighted
from snnc.ir.walk import rewrite
from snnc.transform import Pass, PassContext, PassResult
from snnc_passes._scales.affine import leads_to
from snnc_passes._scales.events import event_kinds
from snnc_passes._scales.scale_propagation import ScalePropagation


@dataclass(frozen=True, kw_only=True)
class FoldNormalization(Pass):
    """Fold a Scale with bias (input normalisation, an unfolded batch norm) into the next layers.

    weight * (f x + b) = (weight * f) x + weight * b. A convolution pads with zeros after the
    normalisation, so `weight * b` differs at the border: it becomes a bias map of the output's
    shape. A Scale is moved past pools, rearrangements and concatenations of activations; where no
    convolution or linear layer follows, it is moved to the next Scale, or kept.

    Metrics: `folded`, the Scales that were folded for at least one user.
    """

    name = "fold-normalization"
    takes = Stage.ANN
    gives = Stage.ANN
    preserves_function = True

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        """Fold scales, the last first, until nothing changes."""
        scales = ScalePropagation(graph, {name: kind.shape for name, kind in graph.types().items()})

        def wanted(user: str) -> bool:
            merged_later = isinstance(graph.node(user).op, Scale)  # by fold-scale
            leads = leads_to(graph, user, (Weighted, Scale))
            return leads and not merged_later and _takes(graph, user)

        def sink(graph: Graph, node: Node) -> bool:
            return isinstance(node.op, Scale) and scales.propagate(node.name, wanted)

        folded = rewrite(graph, sink, backwards=True)
        graph.prune_params()
        return PassResult(graph, metrics={"folded": folded})


def _takes(graph: Graph, name: str) -> bool:
    """Whether a Scale may move behind `name`: no concatenation that holds currents as well."""
    if graph.node(name).op.arity == 1:
        return True
    kinds = event_kinds(graph)
    sources = [graph.node(source) for source in graph.inputs_of(name)]
    return all((n.inputs[0] if isinstance(n.op, Scale) else n.name) in kinds for n in sources)
