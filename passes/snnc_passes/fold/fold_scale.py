"""Fold factors into weights."""

from __future__ import annotations

from dataclasses import dataclass

from snnc.ir import Graph, Node, Scale, SumPool, Weighted
from snnc.transform import Pass, PassContext, PassResult
from snnc_passes._affine import PASSABLE, affine_of, fold_into_outputs
from snnc_passes._events import event_kinds
from snnc_passes._scale_propagation import Sinker

TAKES_FACTOR = (Weighted, *PASSABLE)


@dataclass(frozen=True, kw_only=True)
class FoldScale(Pass):
    """Sink factors past pools and rearrangements into the next weights, so that layers take spikes.

    Rueckauer et al. 2017, section 2.2.2 (weight normalisation): a factor of a layer's spikes is one
    of the next layer's input channels. Consecutive Scales become one, a Scale of a current goes
    into the weights that made it. What ends at a sum, a neuron or a readout stays a Scale. Never
    changes what the graph computes; a quantised graph is left as it is.

    Metrics: `left`, the Scales that remain.
    """

    name = "fold-scale"

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        """Fold until nothing moves."""
        if not graph.quantized:
            sinker = Sinker(graph, {name: kind.shape for name, kind in graph.types().items()})
            while any(_fold(graph, sinker, node.name) for node in graph.nodes):
                pass
            graph.prune_params()
        left = sum(isinstance(node.op, Scale) for node in graph.nodes)
        return PassResult(graph, metrics={"left": left})


def _fold(graph: Graph, sinker: Sinker, name: str) -> bool:
    """Fold one scale; whether anything changed."""
    if name not in graph or not isinstance(op := graph.node(name).op, Scale):
        return False
    affine = affine_of(graph, op)
    if affine.is_identity and graph.inputs_of(name)[0] not in event_kinds(graph):
        graph.bypass(name)
        return True
    return _fold_back(graph, graph.node(name), op) or sinker.sink(
        name, lambda user: _takes(graph, user, op)
    )


def _takes(graph: Graph, user: str, op: Scale) -> bool:
    """A factor goes anywhere it can; a factor with a shift only into the next Scale."""
    target = graph.node(user).op
    return isinstance(target, Scale) or (op.bias is None and isinstance(target, TAKES_FACTOR))


def _fold_back(graph: Graph, node: Node, op: Scale) -> bool:
    """Into the layer that made the current, past a pool of it, where nobody else uses either."""
    (source,) = graph.inputs_of(node.name)
    if len(graph.users_of(source)) > 1:
        return False
    if isinstance(graph.node(source).op, SumPool) and op.bias is None:
        (source,) = graph.inputs_of(source)
        if len(graph.users_of(source)) > 1:
            return False
    if not fold_into_outputs(graph, source, affine_of(graph, op)):
        return False
    graph.replace_op(source, graph.node(source).op, origins=[node.name, *node.origins])
    graph.bypass(node.name)
    return True
