"""Populations that stand for one activation together: K neurons on one current."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

import numpy as np
from torch import Tensor

from snnc.ir import Concat, Graph, Neuron, Node, Op, Reshape, Scale, SumPool
from snnc.ir.walk import single_user_chain
from snnc_passes._affine import Floats, combine
from snnc_passes._events import scale_events_into_currents
from snnc_passes._thresholds import param

Value = TypeVar("Value", Tensor, Floats)


def staggered(start: Value, threshold: Value, copies: int) -> list[Value]:
    """Starting potentials of K neurons, a K-th of a threshold apart, whose mean is `start`.

    On one current their spikes add up to those of a neuron of threshold/K that may fire K times a
    step: sum over k of floor(x + k/K) = floor(K x) (Hermite's identity).
    """
    return [start + threshold * ((2 * k + 1 - copies) / (2 * copies)) for k in range(copies)]


def separate(graph: Graph, copies: Mapping[str, int]) -> None:
    """Make K populations of each of the given ones, with staggered starts and one sum of spikes.

    All take the current of the first, which keeps its name; behind their sum, a COUNT of 0..K, a
    `Scale` of 1/K keeps the value.

    Args:
        graph: edited in place.
        copies: by population, a `Neuron`: K, at least 2.
    """
    shapes = {name: graph.type_of(name).shape for name in copies}
    for name, count in copies.items():
        _separate(graph, name, count, shapes[name])
    scale_events_into_currents(graph)


def _separate(graph: Graph, name: str, copies: int, shape: tuple[int, ...]) -> None:
    node = graph.node(name)
    op = node.op
    assert isinstance(op, Neuron)
    threshold, start = (
        np.asarray(graph.array(value), np.float64) for value in (op.threshold, op.v_init)
    )
    last = graph.fresh(f"{name}.share")
    graph.insert_after(name, last, Scale(factor=1 / copies))
    members = [name]
    for _ in range(1, copies):
        other = graph.fresh(f"{name}.copy")
        members.append(graph.add(other, op, node.inputs, loc=node.loc, origins=node.origins))
    for member, value in zip(members, _starts(start, threshold, copies, shape), strict=True):
        graph.replace_op(member, replace(op, v_init=param(graph, member, "v_init", value)))
    joined, *following = _sum_of(shape, copies)
    source = graph.add(graph.fresh(f"{name}.group"), joined, members, loc=node.loc)
    for title, each in zip(("rows", "sum", "count"), following, strict=True):
        source = graph.add(graph.fresh(f"{name}.{title}"), each, [source], loc=node.loc)
    graph.set_input(last, 0, source)


def _starts(start: Floats, threshold: Floats, copies: int, shape: tuple[int, ...]) -> list[Floats]:
    """`staggered` for parameters of a sample of `shape`."""
    zeros = np.zeros_like(threshold)
    return [combine(np.add, start, own, shape) for own in staggered(zeros, threshold, copies)]


def _sum_of(shape: tuple[int, ...], copies: int) -> list[Op]:
    """The ops that add up K populations of `shape`, element by element."""
    if len(shape) == 1:
        axis, lead, rest = 0, 1, shape[0]
    else:
        axis, lead, rest = 1, shape[0], int(np.prod(shape[1:]))
    windows = (((0, copies),), tuple((i, i + 1) for i in range(rest)))
    return [
        Concat(axis=axis),
        Reshape(shape=(lead, copies, rest)),
        SumPool(windows=windows),
        Reshape(shape=shape),
    ]


def join(graph: Graph) -> dict[str, int]:
    """Undo `separate`: leave the first population of every group, with the mean of the starts.

    A `Scale` of K behind it keeps the value.

    Args:
        graph: edited in place; real values.

    Returns:
        K by population.
    """
    found: dict[str, int] = {}
    for node in graph.nodes:
        if isinstance(node.op, Concat) and (chain := _chain_of_group(graph, node)):
            found[node.inputs[0]] = len(node.inputs)
            _join(graph, node, chain)
    graph.prune_params()
    return found


def _chain_of_group(graph: Graph, node: Node) -> tuple[str, ...]:
    """The nodes from the concatenation of a group to its sum; none if it is no group."""
    members = node.inputs
    first = graph.node(members[0])
    expected = _sum_of(graph.type_of(first.name).shape, len(members))
    chain = single_user_chain(graph, node.name, Reshape, SumPool)[: len(expected)]
    if [graph.node(name).op for name in chain] != expected or len(set(members)) < len(members):
        return ()
    for member in members:
        op, alike = graph.node(member).op, graph.node(member).inputs == first.inputs
        alone = len(graph.users_of(member)) == 1
        if not (isinstance(op, Neuron) and isinstance(first.op, Neuron) and alike and alone):
            return ()
        if not np.array_equal(graph.array(op.threshold), graph.array(first.op.threshold)):
            return ()
    return chain


def _join(graph: Graph, node: Node, chain: tuple[str, ...]) -> None:
    first, *others = node.inputs
    shape = graph.type_of(first).shape
    op = graph.node(first).op
    assert isinstance(op, Neuron)
    total = np.zeros(())
    for member in node.inputs:
        own = graph.node(member).op
        assert isinstance(own, Neuron)
        total = combine(np.add, total, np.asarray(graph.array(own.v_init), np.float64), shape)
    start = param(graph, first, "v_init", np.asarray(total / len(node.inputs)))
    graph.replace_op(first, replace(op, v_init=start))
    whole = graph.fresh(f"{first}.whole")
    graph.insert_after(chain[-1], whole, Scale(factor=float(len(node.inputs))))
    graph.set_input(whole, 0, first)
    for name in (*reversed(chain), *others):
        graph.remove(name)
