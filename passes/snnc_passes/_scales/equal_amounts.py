"""Events that must stand for one amount, element by element.

Those of one window of a max pool are compared by their counts (S25). Integer weights take spikes
and no currents, so the factor of a spike must fold into them: a convolution takes one factor per
channel, a pool one per window.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from snnc.errors import PassError
from snnc.ir import (
    AnyNeuron,
    Conv,
    Encode,
    Graph,
    Maximum,
    Node,
    Op,
    Pool,
    Rearrange,
    Scale,
    Weighted,
)
from snnc.ir.populations import integrates
from snnc.ir.walk import ancestors
from snnc_passes._max_pools import feeds
from snnc_passes._scales.affine import Floats, full, window_extremes

Takers = tuple[type[Op], ...]


def refuse_unequal(graph: Graph, amounts: Mapping[str, Floats]) -> None:
    """Raise `PassError` naming every max pool that would compare unequal amounts per event.

    Args:
        graph: an `snn` graph, without scales between populations and max pools.
        amounts: per population, what one of its events stands for, (), (C,) or of the sample's
            shape; 1 for those that are not listed, and for encoders.
    """
    problems = [
        f"{node.name} at {node.loc} pools {_populations(graph, node)}"
        for node, _, _ in _unequal(graph, amounts, (Maximum,))
    ]
    if problems:
        raise PassError(
            "spikes of unequal value in one window of a max pool cannot be compared by their "
            "counts:\n  " + "\n  ".join(problems),
            hint="pool before elements are rearranged, or give these activations one bound",
        )


def of_one_amount(graph: Graph, *, integers: bool) -> dict[str, NDArray[np.int64]]:
    """Per population with channels that must get one threshold with others, of it or of another.

    Args:
        integers: whether integer weights take the spikes; else only max pools count.

    Returns:
        (C,) the class of every channel; channels of one class, of whatever population, must get one
        threshold.
    """
    channels: dict[str, NDArray[np.int64]] = {}
    count = 0
    for node in graph.nodes:
        if integrates(node.op):
            own = graph.type_of(node.name).shape[0]
            channels[node.name] = np.arange(count, count + own)
            count += own
    classes = np.arange(count)
    takers = (Maximum, Weighted) if integers else (Maximum,)
    while pairs := _met(graph, {name: classes[own] for name, own in channels.items()}, takers):
        for low, high in pairs:
            classes[classes == classes[high]] = classes[low]
    sizes = np.bincount(classes, minlength=count)
    found = {name: classes[own] for name, own in channels.items()}
    return {name: own for name, own in found.items() if np.any(sizes[own] > 1)}


def _met(
    graph: Graph, classes: Mapping[str, NDArray[np.int64]], takers: Takers
) -> set[tuple[int, int]]:
    """Pairs of different classes of channels in one window, or one channel of a convolution."""
    encoders = {n.name: np.array(-1.0) for n in graph.nodes if isinstance(n.op, Encode)}
    amounts = encoders | {name: own.astype(np.float64) for name, own in classes.items()}
    pairs: set[tuple[int, int]] = set()
    for _, low, high in _unequal(graph, amounts, takers):
        unequal = (low < high) & (low >= 0)
        pairs.update(zip(low[unequal].astype(int), high[unequal].astype(int), strict=True))
    return pairs


def with_equal_amounts(
    graph: Graph, values: Mapping[str, Floats], *, integers: bool
) -> dict[str, Floats]:
    """Thresholds, (C,) or one value, of which channels of one amount get the largest.

    Populations that are never active, and so are not in `values`, are given it too. `integers` is
    that of `of_one_amount`.
    """
    together = of_one_amount(graph, integers=integers)
    largest: dict[int, float] = {}
    for name, classes in together.items():
        wide = np.broadcast_to(values.get(name, 0.0), classes.shape)
        for each, value in zip(classes.tolist(), wide.tolist(), strict=True):
            largest[each] = max(value, largest.get(each, 0.0))
    result = dict(values)
    for name, classes in together.items():
        op = graph.node(name).op
        if isinstance(op, AnyNeuron) and not op.fixed:
            shared = np.array([largest[each] for each in classes.tolist()])
            if np.all(shared > 0):
                result[name] = shared
    return result


def _unequal(
    graph: Graph, amounts: Mapping[str, Floats], takers: Takers
) -> Iterator[tuple[Node, Floats, Floats]]:
    """What takes unequal amounts, with the smallest and the largest of a window or channel.

    Pools that lead to `takers`, so also sums before max pools; convolutions, if `takers` hold them.
    A `Scale` has one factor for elements of one amount, and passes on what it takes.
    """
    known: dict[str, Floats] = {}
    for node in graph.nodes:
        shape = graph.type_of(node.name).shape
        if integrates(node.op) or isinstance(node.op, Encode):
            known[node.name] = full(np.asarray(amounts.get(node.name, 1.0), np.float64), shape)
        elif all(source in known for source in node.inputs) and node.inputs:
            sources = [known[source] for source in node.inputs]
            if isinstance(node.op, Rearrange):
                known[node.name] = node.op.move(sources, np.nan)
            elif isinstance(node.op, Scale):
                known[node.name] = sources[0]
            elif isinstance(node.op, Pool | Conv):
                low, high = _extremes(node.op, sources[0])
                if isinstance(node.op, Pool):
                    known[node.name] = np.where(np.isfinite(high), high, np.nan)
                equal = np.all((low == high) | (low == np.inf))
                taken = isinstance(node.op, takers) or feeds(graph, node.name, takers)
                if not equal and taken:
                    yield node, low, high


def _extremes(op: Pool | Conv, values: Floats) -> tuple[Floats, Floats]:
    """The smallest and the largest amount of every window, or of every channel of a convolution.

    Infinite where all are zeros (NaN).
    """
    silent = np.isnan(values)
    lows, highs = np.where(silent, np.inf, values), np.where(silent, -np.inf, values)
    if isinstance(op, Conv):
        return (
            lows.reshape(len(values), -1).min(axis=1),
            highs.reshape(len(values), -1).max(axis=1),
        )
    return window_extremes(op, lows)[0], window_extremes(op, highs)[1]


def _populations(graph: Graph, node: Node) -> str:
    """The populations before a pool, in words."""
    found = ancestors(graph, node.name, until=lambda n: not isinstance(n.op, Pool | Rearrange))
    makers = [n for n in found if not isinstance(graph.node(n).op, Pool | Rearrange)]
    return " and ".join(makers)
