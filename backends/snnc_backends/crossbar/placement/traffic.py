"""How many packets the cores of a mapped network send to each other in an inference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from snnc.ir import AnyNeuron, CountMaxPool, Graph
from snnc_backends.crossbar.mapping.layer_shapes import LayerShape
from snnc_backends.crossbar.placement.packets import Fires, Spikes, fires, packets


@dataclass(frozen=True)
class Traffic:
    """Packets of an inference; see `packets` for who sends them.

    Attributes:
        layers: per weighted layer and sum of branches, (cores, cores): packets sent to it, from the
            core of the row to that of the column. The diagonal is zero. An event that a core needs
            for several layers is sent to the first.
        spikes, sums: packets that carry a spike; those that carry a sum or a current.
    """

    cores: int
    layers: Mapping[str, NDArray[np.float64]]
    spikes: float
    sums: float

    @property
    def total(self) -> NDArray[np.float64]:
        """(cores, cores), of all layers."""
        return sum(self.layers.values(), np.zeros((self.cores, self.cores)))


def traffic(
    graph: Graph,
    shapes: Sequence[LayerShape],
    core_of: Mapping[int, int],
    events: Mapping[str, float],
    timesteps: int,
) -> Traffic:
    """The packets of an inference; the elements of a node are taken to fire equally often.

    Args:
        core_of: per tile its core, 0..cores-1.
        events: per population and pool of counts, its events in an inference. A pool that is not
            named has those that it pools: what it gives is a count, and takes as many packets.
    """
    cores = max(core_of.values(), default=-1) + 1
    layers = {shape.layer: np.zeros((cores, cores)) for shape in shapes}
    size = sum(graph.type_of(node.name).size for node in graph.nodes if fires(node))
    mean = np.zeros(size + 1)  # the last is of what does not fire
    spikes = sums = 0.0
    for each in packets(graph, shapes, core_of, timesteps):
        if isinstance(each, Fires):
            _set_mean(mean, each, graph, events)
            continue
        flow = layers.setdefault(each.layer, np.zeros((cores, cores)))
        if isinstance(each, Spikes):
            sent = np.bincount(each.cores, mean[each.elements], cores)
            flow[:, each.target] += sent
            spikes += float(sent.sum())
        else:
            flow[each.core, each.target] += each.values * each.steps
            sums += each.values * each.steps
    return Traffic(cores, layers, spikes, sums)


def _set_mean(
    mean: NDArray[np.float64], each: Fires, graph: Graph, events: Mapping[str, float]
) -> None:
    """The events of each element; of a pool, the mean of the channel times how many it pools."""
    node, shape = each.node, graph.type_of(each.node.name).shape
    own = mean[each.first : each.first + prod(shape)]
    named = isinstance(node.op, AnyNeuron | CountMaxPool)
    if each.pooled is None or named or node.name in events:
        own[:] = events.get(node.name, 0.0) / max(1, prod(shape))
        return
    channels = mean[each.pooled].reshape(shape[0], -1)
    ratio = each.pooled.size / max(1, prod(shape))
    own.reshape(shape[0], -1)[:] = (channels.mean(1) * ratio)[:, None]
