"""Populations that stand for one activation together: K neurons on one current."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

import numpy as np
from torch import Tensor

from snnc.ir import Graph, Neuron, Scale
from snnc.ir.neuron_groups import NeuronGroup, neuron_groups, sum_of_group
from snnc_passes._scales.affine import Floats, combine
from snnc_passes._scales.events import scale_events_into_currents
from snnc_passes._scales.thresholds import param

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
    joined, *following = sum_of_group(shape, copies)
    source = graph.add(graph.fresh(f"{name}.group"), joined, members, loc=node.loc)
    for title, each in zip(("rows", "sum", "count"), following, strict=True):
        source = graph.add(graph.fresh(f"{name}.{title}"), each, [source], loc=node.loc)
    graph.set_input(last, 0, source)


def _starts(start: Floats, threshold: Floats, copies: int, shape: tuple[int, ...]) -> list[Floats]:
    """`staggered` for parameters of a sample of `shape`."""
    zeros = np.zeros_like(threshold)
    return [combine(np.add, start, own, shape) for own in staggered(zeros, threshold, copies)]


def join(graph: Graph) -> dict[str, int]:
    """Undo `separate`: leave the first population of every group, with the mean of the starts.

    A `Scale` of K behind it keeps the value.

    Args:
        graph: edited in place; real values.

    Returns:
        K by population.
    """
    found: dict[str, int] = {}
    for group in list(neuron_groups(graph)):
        found[group.members[0]] = len(group.members)
        _join(graph, group)
    graph.prune_params()
    return found


def _join(graph: Graph, group: NeuronGroup) -> None:
    first, *others = group.members
    shape = graph.type_of(first).shape
    op = graph.node(first).op
    assert isinstance(op, Neuron)
    total = np.zeros(())
    for member in group.members:
        own = graph.node(member).op
        assert isinstance(own, Neuron)
        total = combine(np.add, total, np.asarray(graph.array(own.v_init), np.float64), shape)
    start = param(graph, first, "v_init", np.asarray(total / len(group.members)))
    graph.replace_op(first, replace(op, v_init=start))
    whole = graph.fresh(f"{first}.whole")
    graph.insert_after(group.total, whole, Scale(factor=float(len(group.members))))
    graph.set_input(whole, 0, first)
    for name in (*reversed(group.chain), *others):
        graph.remove(name)
