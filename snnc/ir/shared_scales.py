"""Which channels of the layers and populations of a group share one scale (S19)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from snnc.ir.graph import Graph
from snnc.ir.kinds import Rearrange
from snnc.ir.node import Node
from snnc.ir.populations import Group
from snnc.ir.types import Shape

Classes = NDArray[np.int64]


def shared_channels(
    graph: Graph, group: Group, shapes: Mapping[str, Shape]
) -> Mapping[str, Classes]:
    """Per population and layer of a group (C,), the class of each of its channels, from 0 on.

    Channels whose integers are added, or become one channel, are of one class. Where nothing moves
    elements between a layer and its population, that is channel i of both; a concatenation keeps
    the channels of every branch apart. `shapes`: of a sample of every node.
    """
    last = {layer.name for layer in group.contributors if not layer.signs}
    first: dict[str, int] = {}
    pairs: list[NDArray[np.int64]] = []
    count, pending = 0, [*group.populations]
    while pending:
        name = pending.pop()
        if name in first:
            continue
        first[name] = count
        count += _channels(shapes[name])
        if name not in last:
            pending += graph.inputs_of(name)
    for name, start in first.items():
        if name not in last:
            node = graph.node(name)
            sources = [first[source] + _own(shapes[source]) for source in node.inputs]
            pairs += _linked(node, start + _own(shapes[name]), sources, shapes)
    classes = _joined(count, pairs)
    wanted = {*group.populations, *(layer.name for layer in group.contributors)}
    return {name: classes[first[name] + _own(shapes[name])] for name in wanted}


def _channels(shape: Shape) -> int:
    return shape[0] if shape else 1


def _own(shape: Shape) -> NDArray[np.int64]:
    return np.arange(_channels(shape))


def _linked(
    node: Node,
    own: NDArray[np.int64],
    sources: Sequence[NDArray[np.int64]],
    shapes: Mapping[str, Shape],
) -> list[NDArray[np.int64]]:
    """Pairs (n, 2) of a channel of a node and one of its inputs that has elements in it."""
    if not isinstance(node.op, Rearrange):
        return [np.stack([own, source], axis=1) for source in sources]
    wide = [
        np.broadcast_to(ids.reshape(-1, *(1,) * (len(shapes[name]) - 1)), shapes[name])
        for ids, name in zip(sources, node.inputs, strict=True)
    ]
    moved = node.op.move(wide, -1).reshape(len(own), -1)
    links = [
        np.stack(np.broadcast_arrays(at, np.unique(row)), axis=1)
        for at, row in zip(own, moved, strict=True)
    ]
    found = np.concatenate(links)
    return [found[found[:, 1] >= 0]]


def _joined(count: int, pairs: Sequence[NDArray[np.int64]]) -> Classes:
    """(count,) the connected parts of a graph of so many nodes, numbered from 0 on."""
    edges = np.concatenate([np.zeros((0, 2), np.int64), *pairs])
    labels = np.arange(count)
    while True:
        least = labels[edges].min(axis=1)
        before = labels.copy()
        for end in edges.T:
            np.minimum.at(labels, end, least)
        labels = labels[labels]
        if np.array_equal(labels, before):
            return np.unique(labels, return_inverse=True)[1].reshape(-1)
