"""Energy of the arithmetic, counted from spikes: an estimate to compare networks by.

    E_ann = E_mac * sum_l MAC_l
    E_snn = E_mac * k * MAC_1 + E_ac * sum_l r_l * MAC_l

MAC_l are the products of weighted layer l in one pass of the ANN; r_l is the number of spikes per
neuron over the whole window of the populations that feed it, before any pooling. Layers that see
the directly encoded input (MAC_1) multiply real values: once if their result is kept (k = 1), or at
every step (k = T). Memory, neurons, shortcuts and the transport of spikes are not counted.

Source: how the papers on spiking networks trained from ANNs count (Rathi & Roy, "DIET-SNN", 2020);
energies of 32-bit floating point in 45 nm: Horowitz, "Computing's Energy Problem", ISSCC 2014.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from snnc.ir import Conv, Encode, Graph, Linear, Neuron, Node


@dataclass(frozen=True)
class OperationEnergy:
    """What one operation costs, in pJ.

    Attributes:
        mac: a product and its addition.
        ac: an addition.
    """

    mac: float = 4.6
    ac: float = 0.9


@dataclass(frozen=True)
class Energy:
    """Energy of one inference.

    Attributes:
        ann_pj: of the ANN.
        once_pj: of the spiking network, its first layer computed once.
        every_step_pj: the same, the first layer computed at every step.
        macs: of one pass of the ANN.
        acs: additions caused by spikes.
        cost: of an operation.
    """

    ann_pj: float
    once_pj: float
    every_step_pj: float
    macs: int
    acs: float
    cost: OperationEnergy

    def report(self) -> dict[str, Any]:
        """JSON-able, keys as in docs/report.md."""
        return {
            "ann_energy_pj": self.ann_pj,
            "energy_pj": self.once_pj,
            "energy_first_layer_every_step_pj": self.every_step_pj,
            "mac_per_inference": self.macs,
            "ac_per_inference": self.acs,
            "mac_pj": self.cost.mac,
            "ac_pj": self.cost.ac,
        }


def energy(
    graph: Graph,
    spikes_per_neuron: Mapping[str, float],
    timesteps: int,
    cost: OperationEnergy | None = None,
) -> Energy:
    """Energy of one inference of an `snn` graph.

    Args:
        spikes_per_neuron: per neuron node, and per spiking encoder, the mean number of spikes of
            one of its elements over the window.
        timesteps: the window T.
        cost: of an operation; None for 45 nm.
    """
    cost = cost or OperationEnergy()
    layers = [(_macs(graph, node), _is_analog(graph, node)) for node in _weighted(graph)]
    analog = sum(macs for macs, is_analog in layers if is_analog)
    total = sum(macs for macs, _ in layers)
    acs = sum(spikes_per_neuron[name] * n for name, n in synaptic_operations(graph).items())
    return Energy(
        ann_pj=cost.mac * total,
        once_pj=cost.mac * analog + cost.ac * acs,
        every_step_pj=cost.mac * analog * timesteps + cost.ac * acs,
        macs=total,
        acs=acs,
        cost=cost,
    )


def synaptic_operations(graph: Graph) -> dict[str, float]:
    """Additions in an `snn` graph for one spike of every neuron, by population.

    Populations are neuron nodes and spiking encoders; where several feed a layer, its MACs are
    shared out by their sizes. Those that feed no weighted layer are left out.
    """
    found: dict[str, float] = {}
    for node in _weighted(graph):
        if _is_analog(graph, node):
            continue
        sizes = {name: graph.type_of(name).size for name in _sources(graph, node)}
        for name, size in sizes.items():
            share = _macs(graph, node) * size / sum(sizes.values())
            found[name] = found.get(name, 0.0) + share
    return found


def _weighted(graph: Graph) -> list[Node]:
    return [node for node in graph.nodes if isinstance(node.op, Conv | Linear)]


def multiplications(graph: Graph) -> int:
    """Products of weights in one pass of one sample through the graph, or in one step of it."""
    return sum(_macs(graph, node) for node in _weighted(graph))


def _macs(graph: Graph, node: Node) -> int:
    assert isinstance(node.op, Conv | Linear)
    weight = graph.array(node.op.weight)
    positions = graph.type_of(node.name).size // len(weight)
    return int(np.prod(weight.shape)) * positions


def _sources(graph: Graph, node: Node) -> Iterator[str]:
    """Populations and encoders whose events reach a layer without another population between."""
    for name in graph.inputs_of(node.name):
        each = graph.node(name)
        if isinstance(each.op, Encode | Neuron) or not graph.inputs_of(name):
            yield name
        else:
            yield from _sources(graph, each)


def _is_analog(graph: Graph, node: Node) -> bool:
    """Whether a layer sees the directly encoded input."""
    ops = [graph.node(name).op for name in _sources(graph, node)]
    return not all(
        isinstance(op, Neuron) or (isinstance(op, Encode) and not op.code_class.constant)
        for op in ops
    )
