"""Let weighted layers take events, where they take the values of linear layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from snnc.ir import (
    Graph,
    Identity,
    Input,
    Node,
    Op,
    Pool,
    Rearrange,
    Relu,
    Scale,
    Shape,
    Stage,
    Weighted,
)
from snnc.ir.walk import descendants, rewrite
from snnc.transform import Pass, PassContext, PassResult
from snnc_passes._scales.affine import Affine, Floats, affine_of, pushed
from snnc_passes._scales.fold_back import fold_back
from snnc_passes.lower._like_amounts import activate_many_events
from snnc_passes.lower._merged_layers import merge_into_next

MOVING = (Pool, Rearrange, Scale)
"""Ops that pass events on, so that a layer behind them takes those of their inputs."""
FIRING = (Relu, Identity, Input)
"""Ops whose values become events."""


@dataclass(frozen=True, kw_only=True)
class LinearBottlenecks(Pass):
    """Let weighted layers take events, where they take the values of linear layers and sums.

    A layer behind another without an activation between, as behind the linear bottlenecks of
    MobileNet-v2 (Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", 2018),
    takes a current (S6). A current has no bounded integers, and cannot drive the rows of a
    crossbar. So either

    - both layers become one, where one of them is pointwise (a linear layer, or a convolution of
      one position) and the product of their weights has neither more weights nor more
      multiplications than both; or
    - the values get a linear activation, which becomes a population of two-sided neurons (S29).

    The activation stands in front of the layers only: a sum (an inverted residual block adds the
    bottleneck to its input), another activation and an output still take the current itself, which
    is exact.

    The input of the network, and the counts of a large pool, get one too where a layer takes them
    in one concatenation with spikes, or its result is added to that of a layer of spikes: integer
    weights of one scale cannot serve amounts of such different size.

    Before that, factors of currents go into the layers they are computed from (`fold_back`). One
    that cannot, since those have other users or it differs within a channel, is a layer itself: it
    takes events, and its result is a current.

    Real values need none of this: the pass does nothing unless a later pass makes integers, as
    `quantize` does, which targets that run integers only bring along.

    Attributes:
        always: whether it works for real values too.

    Metrics: `merged`, pairs of layers that became one; `populations`, linear activations put in.
    """

    name = "linear-bottlenecks"
    takes = Stage.ANN
    gives = Stage.ANN
    preserves_function = True
    always: bool = False

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        """Merge or put in; what takes events already is left as it is."""
        if not (self.always or ctx.integers):
            return PassResult(graph, metrics={"merged": 0, "populations": 0})
        _fold_factors(graph)
        merged = rewrite(graph, merge_into_next)
        shapes = {name: kind.shape for name, kind in graph.types().items()}
        found = [node for node in graph.nodes if _is_current(graph, shapes, node)]
        currents = [node for node in found if any(_takers(graph, node))]
        for node in currents:
            _activate(graph, node)
        populations = len(currents) + activate_many_events(graph)
        graph.prune_params()
        return PassResult(graph, metrics={"merged": merged, "populations": populations})


def _fold_factors(graph: Graph) -> None:
    """Fold the factors of currents into the layers before them, where those can take them."""
    shapes = {name: kind.shape for name, kind in graph.types().items()}

    def fold(graph: Graph, node: Node) -> bool:
        return isinstance(node.op, Scale) and fold_back(graph, shapes, node.name)

    rewrite(graph, fold)


def _is_current(graph: Graph, shapes: Mapping[str, Shape], node: Node) -> bool:
    """Whether the values of a node are currents, even where it takes events."""
    if isinstance(node.op, Scale):
        return _stays(graph, shapes, node.name, affine_of(graph, node.op).factor)
    return not isinstance(node.op, (*MOVING, *FIRING))


def _stays(graph: Graph, shapes: Mapping[str, Shape], name: str, factor: Floats) -> bool:
    """Whether `factor`, of the values of `name`, reaches a layer that it cannot be folded into.

    A layer takes one factor for all, or one per channel of its input.
    """
    if factor.ndim == 0:
        return False
    for user, _ in graph.users_of(name):
        op = graph.node(user).op
        if isinstance(op, Weighted) and factor.shape != shapes[name][:1]:
            return True
        if not isinstance(op, MOVING):
            continue
        behind = _behind(op, factor, shapes[name])
        if behind is None:
            if _leads_to_events(graph, graph.node(user)):
                return True
        elif _stays(graph, shapes, user, behind):
            return True
    return False


def _behind(op: Op, factor: Floats, shape: Shape) -> Floats | None:
    """The factor of the result of an op; None where that depends on more than one input."""
    if isinstance(op, Scale):
        return factor
    after = None if op.arity is None else pushed(op, Affine(factor), shape)
    return None if after is None else after.factor


def _takers(graph: Graph, node: Node) -> Iterator[tuple[str, int]]:
    """The users of a node, and their ports, that need events or lead to one that does."""
    for user, port in node.users:
        if _leads_to_events(graph, graph.node(user)):
            yield user, port


def _leads_to_events(graph: Graph, node: Node) -> bool:
    if not isinstance(node.op, MOVING):
        return isinstance(node.op, Weighted)
    behind = descendants(graph, node.name, until=lambda n: not isinstance(n.op, MOVING))
    reached = (graph.node(name) for name in (node.name, *behind))
    return any(isinstance(n.op, Weighted) or _weighs(graph, n) for n in reached)


def _weighs(graph: Graph, node: Node) -> bool:
    """Whether a node is a factor, not only a sign or a bias."""
    return isinstance(node.op, Scale) and bool(
        np.any(np.abs(affine_of(graph, node.op).factor) != 1)
    )


def _activate(graph: Graph, node: Node) -> None:
    """Let the takers of a node take a linear activation of it."""
    takers = list(_takers(graph, node))
    new = graph.add(graph.fresh(f"{node.name}.spikes"), Identity(), [node.name], loc=node.loc)
    for user, port in takers:
        graph.set_input(user, port, new)
