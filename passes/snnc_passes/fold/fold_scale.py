"""Fold factors into weights."""

from __future__ import annotations

from dataclasses import dataclass

from snnc.ir import Graph, Node, Scale, Weighted
from snnc.ir.walk import rewrite
from snnc.transform import Pass, PassContext, PassResult
from snnc_passes._scales.affine import PASSABLE, affine_of, leads_to
from snnc_passes._scales.events import event_kinds
from snnc_passes._scales.fold_back import fold_back
from snnc_passes._scales.scale_propagation import ScalePropagation

TAKES_FACTOR = (Weighted, *PASSABLE)


@dataclass(frozen=True, kw_only=True)
class FoldScale(Pass):
    """Move factors past pools and rearrangements into the next weights, so that layers take spikes.

    Rueckauer et al. 2017, section 2.2.2 (weight normalisation): a factor of a layer's spikes scales
    the input channels of the next layer's weights. Consecutive Scales are merged; a Scale of a
    current is folded into the weights before it, also past sums, pools and rearrangements. A shift
    goes into the bias of the next layer, exact at its borders (S18). A Scale in front of a sum, a
    neuron or a readout is kept. The function stays the same; a quantised graph
    is not changed.

    Metrics: `left`, the Scales that remain.
    """

    name = "fold-scale"
    preserves_function = True

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        """Fold until nothing changes."""
        if not graph.quantized:
            shapes = {name: kind.shape for name, kind in graph.types().items()}
            scales = ScalePropagation(graph, shapes)
            rewrite(graph, lambda graph, node: _fold(graph, scales, node))
            graph.prune_params()
        left = sum(isinstance(node.op, Scale) for node in graph.nodes)
        return PassResult(graph, metrics={"left": left})


def _fold(graph: Graph, scales: ScalePropagation, node: Node) -> bool:
    """Fold one scale; returns whether anything changed."""
    op = node.op
    if not isinstance(op, Scale):
        return False
    if affine_of(graph, op).is_identity and node.inputs[0] not in event_kinds(graph):
        graph.bypass(node.name)
        return True
    return fold_back(graph, scales.shapes, node.name) or scales.propagate(
        node.name, lambda user: _takes(graph, user, op)
    )


def _takes(graph: Graph, user: str, op: Scale) -> bool:
    """Whether `user` can take the Scale; with a bias, only another Scale or a layer can."""
    if isinstance(graph.node(user).op, Scale):
        return True
    targets = TAKES_FACTOR if op.bias is None else (Weighted,)
    return leads_to(graph, user, targets)
