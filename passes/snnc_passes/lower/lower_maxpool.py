"""Bring max pools into the order in which spikes compute them: ReLU, maximum, factor (S25)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from snnc.ir import (
    Graph,
    Identity,
    Input,
    Maximum,
    MaxPool,
    Node,
    Relu,
    Scale,
    Shape,
    Slice,
    Stage,
)
from snnc.transform import Pass, PassContext, PassResult
from snnc_passes._analog import never_negative
from snnc_passes._max_pools import exchange, makers_of, only_user, pools_of_activations
from snnc_passes._scales.affine import affine_of, leads_to
from snnc_passes._scales.fold_back import fold_back
from snnc_passes._scales.scale_propagation import ScalePropagation, sink_past_maxima
from snnc_passes.lower._leaky_pools import leaky_behind, mirror_again, split_leaky_pool


@dataclass(frozen=True, kw_only=True)
class LowerMaxpool(Pass):
    """Let every max pool take activations: what is behind it moves before it, factors behind it.

    max(relu(x)) = relu(max(x)): a ReLU directly behind a max pool moves before it. So does a Scale
    with factors that are not negative between the two (a batch norm), and is folded into the layer
    before it. max(f x + b) = f max(x) + b for f >= 0: a Scale before a max pool, such as a batch
    norm behind a ReLU, moves behind it, through rearrangements too, if it is the same for all
    elements of a window. Windows of one element become slices. Pools of the input are kept.

    A leaky activation max(x, 0) + a min(x, 0) with a >= 0 before or behind a max pool rises with x.
    So its maximum is (1 - a) max(relu(x)) + a max(x): a max pool of each, of which the second takes
    a linear activation, two-sided spikes (S29).

    Metrics: `relus`, `slices`, `scales`, `leaky`, what was moved or replaced.
    """

    name = "lower-maxpool"
    takes = Stage.ANN
    gives = Stage.ANN
    preserves_function = True

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        """Reorder, until every max pool takes activations."""
        slices = sum(_to_slice(graph, node) for node in graph.nodes)
        pools = [pool.name for pool in pools_of_activations(graph)]
        relus = sum(_relu_first(graph, pool) for pool in reversed(pools))
        scales = 0
        if pools:
            scales = sink_past_maxima(graph, ScalePropagation(graph, _shapes(graph)))
        left = [graph.node(pool) for pool in pools if pool in graph]
        for node in left:
            mirror_again(graph, node.name)
            _scale_before_leaky(graph, node.name)
        leaky = sum(split_leaky_pool(graph, node) for node in left)
        activations = _activate(graph)
        graph.prune_params()
        metrics = {
            "relus": relus,
            "slices": slices,
            "scales": scales,
            "leaky": leaky,
            "activations": activations,
        }
        return PassResult(graph, metrics=metrics)


def _to_slice(graph: Graph, node: Node) -> bool:
    """Replace a max pool whose windows have one element, evenly spaced; whether it was one."""
    op = node.op
    if not isinstance(op, MaxPool) or any(b - a > 1 for axis in op.windows for a, b in axis):
        return False
    starts = [np.array([a for a, _ in axis]) for axis in op.windows]
    steps = [int(each[1] - each[0]) if len(each) > 1 else 1 for each in starts]
    even = all(
        step > 0 and np.all(np.diff(each) == step) for each, step in zip(starts, steps, strict=True)
    )
    if not even:
        return False
    channels = graph.type_of(node.inputs[0]).shape[0]
    graph.replace_op(
        node.name,
        Slice(
            starts=(0, *(int(each[0]) for each in starts)),
            stops=(channels, *(int(each[-1]) + 1 for each in starts)),
            steps=(1, *steps),
        ),
    )
    return True


def _relu_first(graph: Graph, pool: str) -> bool:
    """Move a ReLU that follows a pool, behind a Scale or not, before it; whether there was one."""
    second = only_user(graph, pool)
    scale = None
    if second is not None and _commutes(graph, second, graph.type_of(pool).shape):
        scale, second = second, only_user(graph, second)
    if second is None or not isinstance(graph.node(second).op, Relu):
        return False
    if scale is not None:
        exchange(graph, pool, scale)
        fold_back(graph, _shapes(graph), scale)
    exchange(graph, pool, second)
    return True


def _scale_before_leaky(graph: Graph, pool: str) -> None:
    """Move a Scale between a pool and a leaky activation before the pool."""
    scale = only_user(graph, pool)
    if scale is None or not _commutes(graph, scale, graph.type_of(pool).shape):
        return
    if leaky_behind(graph, scale) is not None:
        exchange(graph, pool, scale)
        fold_back(graph, _shapes(graph), scale)


def _shapes(graph: Graph) -> dict[str, Shape]:
    """The shape of a sample of every node."""
    return {name: kind.shape for name, kind in graph.types().items()}


def _commutes(graph: Graph, name: str, shape: Shape) -> bool:
    """Whether a node is a Scale per channel without negative factors."""
    op = graph.node(name).op
    if not isinstance(op, Scale):
        return False
    affine = affine_of(graph, op)
    arrays = [affine.factor, *([] if affine.bias is None else [affine.bias])]
    per_channel = all(a.ndim == 0 or a.shape == shape[:1] for a in arrays)
    return per_channel and bool(np.all(affine.factor >= 0))


def _activate(graph: Graph) -> int:
    """Put activations between max pools and the values that are none; returns their number."""
    added = 0
    while pooled := next(_pooled_values(graph), None):
        node = graph.node(pooled)
        op = Relu() if pooled in never_negative(graph) else Identity()
        users = node.users
        new = graph.add(graph.fresh(f"{pooled}.spikes"), op, [pooled], loc=node.loc)
        for user, port in users:
            if leads_to(graph, user, (Maximum,)):
                graph.set_input(user, port, new)
        added += 1
    return added


def _pooled_values(graph: Graph) -> Iterator[str]:
    """The nodes whose values max pools take beside or in place of those of activations.

    A pool of the input alone takes it before it is encoded.
    """
    for pool in pools_of_activations(graph):
        makers = makers_of(graph, pool.inputs[0])
        for name in makers:
            op = graph.node(name).op
            alone = isinstance(op, Input) and len(makers) == 1
            if not alone and not isinstance(op, Relu | Identity):
                yield name
