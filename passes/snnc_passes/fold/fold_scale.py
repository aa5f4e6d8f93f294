"""Fold factors into weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from snnc.ir import Add, Graph, Node, Op, Rearrange, Scale, Shape, SumPool, Weighted
from snnc.ir.walk import rewrite, used_once
from snnc.transform import Pass, PassContext, PassResult
from snnc_passes._affine import (
    PASSABLE,
    Affine,
    affine_of,
    fold_into_outputs,
    leads_to,
    pulled,
    pulled_before_sums,
)
from snnc_passes._events import event_kinds
from snnc_passes._scale_propagation import ScalePropagation

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
    return _fold_back(graph, scales.shapes, node, op) or scales.propagate(
        node.name, lambda user: _takes(graph, user, op)
    )


def _takes(graph: Graph, user: str, op: Scale) -> bool:
    """Whether `user` can take the Scale; with a bias, only another Scale or a layer can."""
    if isinstance(graph.node(user).op, Scale):
        return True
    targets = TAKES_FACTOR if op.bias is None else (Weighted,)
    return leads_to(graph, user, targets)


def _fold_back(graph: Graph, shapes: Mapping[str, Shape], node: Node, op: Scale) -> bool:
    """Fold into the layers before, also past sums, pools and rearrangements, if none is shared."""
    (source,) = graph.inputs_of(node.name)
    layers = _layers_before(graph, shapes, source, affine_of(graph, op))
    if layers is None:
        return False
    for name, affine in layers:
        fold_into_outputs(graph, name, affine)
        graph.replace_op(name, graph.node(name).op, origins=[node.name, *node.origins])
    graph.bypass(node.name)
    return True


def _layers_before(
    graph: Graph, shapes: Mapping[str, Shape], source: str, affine: Affine
) -> list[tuple[str, Affine]] | None:
    """The layers that `source` is computed from, each with what `affine` behind it becomes there.

    None if a result on the way has other users, or a layer or an op cannot take it.
    """
    if not used_once(graph, source):
        return None
    op, inputs = graph.node(source).op, graph.inputs_of(source)
    if isinstance(op, Weighted):
        fits = affine.factor.shape in ((), shapes[source][:1])
        return [(source, affine)] if fits else None
    if isinstance(op, Add):  # the shift is added once
        parts = [affine, *(Affine(affine.factor) for _ in inputs[1:])]
    else:
        parts = [_before(op, affine, shapes[inputs[0]])] if len(inputs) == 1 else [None]
    layers: list[tuple[str, Affine]] = []
    for name, part in zip(inputs, parts, strict=False):
        found = None if part is None else _layers_before(graph, shapes, name, part)
        if found is None:
            return None
        layers += found
    return layers


def _before(op: Op, affine: Affine, shape: Shape) -> Affine | None:
    """The map before `op`, whose input has `shape`, that equals `affine` behind it; else None."""
    if isinstance(op, Rearrange):
        return pulled(op, affine, shape)
    return pulled_before_sums(op, affine, shape) if isinstance(op, SumPool) else None
