"""`fold-scale`: factors on spikes travel to the next weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from snnc.ir import (
    Concat,
    Graph,
    MaxPool,
    Op,
    Pad,
    Permute,
    Ref,
    Reshape,
    Scale,
    Slice,
    Stage,
    SumPool,
    broadcast_to_sample,
)
from snnc.transform import Pass, PassContext, PassResult
from snnc_passes.folding import Real, can_fold_input, fold_input
from snnc_passes.rounding import smallest

Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class FoldScale(Pass):
    """Move every `Scale` without bias downwards and fold it into the weights it meets.

    A factor commutes with slices, padding, reshapes, permutations and concatenations, with sum
    pooling where it is the same within a channel, and with max-pooling where it is also positive.
    At a convolution or linear layer it goes into the input channels of the weights. What ends at a
    sum, a neuron or a readout stays a `Scale`.
    """

    name: ClassVar[str] = "fold-scale"
    takes: ClassVar[Stage] = Stage.SNN
    gives: ClassVar[Stage] = Stage.SNN

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        before = graph.fingerprint()
        waiting = [node.name for node in graph.nodes if _is_factor(graph, node.name)]
        while waiting:
            name = waiting.pop(0)
            if name in graph:
                waiting.extend(_sink(graph, name))
        graph.prune_params()
        return PassResult(graph, changed=graph.fingerprint() != before)


def _is_factor(graph: Graph, name: str) -> bool:
    op = graph.node(name).op
    return isinstance(op, Scale) and op.bias is None


def _factor(graph: Graph, name: str) -> Real:
    op = graph.node(name).op
    if not isinstance(op, Scale):
        raise TypeError(name)
    return graph.array(op.factor).astype(np.float64)


def _sink(graph: Graph, name: str) -> list[str]:
    """Push one scale into each of its users that takes it; returns the scales this made."""
    (source,) = graph.inputs_of(name)
    factor = smallest(_factor(graph, name))
    made: list[str] = []
    for user, port in graph.users_of(name):
        if user not in graph or graph.inputs_of(user)[port] != name:
            continue  # moved together with another input of the same concat
        op = graph.node(user).op
        if can_fold_input(graph, user, factor):
            fold_input(graph, user, factor, None, origins=(user,))
            graph.set_input(user, port, source)
        elif isinstance(op, Scale):
            _merge(graph, user, factor)
            graph.set_input(user, port, source)
        elif isinstance(op, Concat):
            made += _behind_concat(graph, user, op)
        elif (moved := _moved(op, factor, graph.type_of(name).shape)) is not None:
            graph.set_input(user, port, source)
            made.append(_insert(graph, user, moved))
    if name in graph and not graph.users_of(name) and name not in graph.outputs:
        graph.remove(name)
    return made


def _merge(graph: Graph, user: str, factor: Real) -> None:
    """Scale(g, bias) behind Scale(f) is Scale(g f, bias)."""
    shape = graph.type_of(user).shape
    op = graph.node(user).op
    if not isinstance(op, Scale):
        raise TypeError(user)
    product = broadcast_to_sample(factor, shape) * broadcast_to_sample(_factor(graph, user), shape)
    product = smallest(np.broadcast_to(product, shape))
    graph.replace_op(user, replace(op, factor=_stored(graph, user, product)))


def _behind_concat(graph: Graph, user: str, op: Concat) -> list[str]:
    """Move the scales of all inputs of a concat behind it; nothing unless all are scales."""
    inputs = graph.inputs_of(user)
    if not all(_is_factor(graph, name) for name in inputs):
        return []
    shapes = [graph.type_of(name).shape for name in inputs]
    parts = [
        np.broadcast_to(broadcast_to_sample(_factor(graph, name), shape), shape)
        for name, shape in zip(inputs, shapes, strict=True)
    ]
    for port, name in enumerate(inputs):
        graph.set_input(user, port, graph.inputs_of(name)[0])
        if not graph.users_of(name) and name not in graph.outputs:
            graph.remove(name)
    return [_insert(graph, user, np.concatenate(parts, axis=op.axis))]


def _moved(op: Op, factor: Real, shape: Shape) -> Real | None:
    """The factor behind `op` that does what `factor` does before it; None where there is none."""
    if isinstance(op, SumPool | MaxPool):
        commutes = isinstance(op, SumPool) or bool(np.all(factor > 0))
        return factor if factor.ndim < 2 and commutes else None
    full = np.broadcast_to(broadcast_to_sample(factor, shape), shape)
    if isinstance(op, Reshape):
        return full.reshape(op.shape)
    if isinstance(op, Permute):
        return full.transpose(op.axes)
    if isinstance(op, Slice):
        return full[op.slices()]
    if isinstance(op, Pad):
        return np.pad(full, op.padding, mode="edge")
    return None


def _insert(graph: Graph, name: str, factor: Real) -> str:
    """Put a Scale behind `name`."""
    new = graph.fresh(f"{name}.scale")
    small = smallest(factor)
    return graph.insert_after(name, new, Scale(factor=_stored(graph, new, small)))


def _stored(graph: Graph, name: str, factor: Real) -> Ref | float:
    if factor.ndim == 0:
        return float(factor)
    return graph.own_param(name, "factor", factor.astype(np.float32))
