"""Estimate of the arithmetic energy from spike counts, for comparing networks.

    E_ann = E_mac * sum_l MAC_l
    E_snn = E_mac * k * MAC_1 + E_ac * sum_l r_l * MAC_l

MAC_l are the products of weighted layer l in one pass of the ANN; r_l is the number of spikes per
neuron over the whole window of the populations that feed it, before sums are pooled; behind a
maximum of counts, of that. Layers that see the directly encoded input (MAC_1) multiply real values:
once if their result is kept (k = 1), or at every step (k = T). Memory, neurons, the counters of max
pools, shortcuts and the transport of spikes are not counted.

Sources: Rathi & Roy, "DIET-SNN", 2020, for the operations counted; Horowitz, "Computing's Energy
Problem", ISSCC 2014, for the energies of 32-bit floating point in 45 nm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from snnc.ir import (
    AnyNeuron,
    Conv,
    CountMaxPool,
    Encode,
    Graph,
    Input,
    Linear,
    Neuron,
    Node,
    Op,
    TwoSidedNeuron,
)
from snnc.ir.walk import nearest_before

POPULATIONS = (Encode, Neuron, TwoSidedNeuron, Input)


@dataclass(frozen=True)
class OperationEnergy:
    """Energy of one operation, in pJ.

    Attributes:
        mac: a multiply-accumulate.
        ac: an addition.
    """

    mac: float = 4.6
    ac: float = 0.9


@dataclass(frozen=True)
class Energy:
    """Energy of one inference.

    Attributes:
        ann_pj: energy of the ANN, in pJ.
        once_pj: energy of the spiking network with its first layer computed once, in pJ.
        every_step_pj: the same with the first layer computed at every step.
        macs: multiply-accumulates of one pass of the ANN.
        acs: additions caused by spikes.
        cost: energy of one operation.
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
        spikes_per_neuron: per neuron node, spiking encoder and CountMaxPool the mean number of
            spikes of one of its elements over the window.
        timesteps: the window T.
        cost: energy of one operation; None for 32-bit floating point in 45 nm.
    """
    cost = cost or OperationEnergy()
    layers = [(_macs(graph, node), _is_analog(graph, node)) for node in _weighted(graph)]
    analog = sum(macs for macs, is_analog in layers if is_analog)
    total = sum(macs for macs, _ in layers)
    operations = _operations(graph, (*POPULATIONS, CountMaxPool))
    acs = sum(spikes_per_neuron[name] * n for name, n in operations.items())
    return Energy(
        ann_pj=cost.mac * total,
        once_pj=cost.mac * analog + cost.ac * acs,
        every_step_pj=cost.mac * analog * timesteps + cost.ac * acs,
        macs=total,
        acs=acs,
        cost=cost,
    )


def energy_of_layers(graph: Graph, spikes_per_neuron: Mapping[str, float]) -> dict[str, float]:
    """`Energy.once_pj` of every weighted layer, in pJ; 32-bit floating point in 45 nm."""
    cost, makers = OperationEnergy(), (*POPULATIONS, CountMaxPool)
    return {
        node.name: cost.mac * _macs(graph, node)
        if _is_analog(graph, node)
        else cost.ac * sum(spikes_per_neuron[n] * k for n, k in _shares(graph, node, makers))
        for node in _weighted(graph)
    }


def synaptic_operations(graph: Graph) -> dict[str, float]:
    """Additions in an `snn` graph for one spike of every neuron, by population.

    Populations are neuron nodes and spiking encoders. The MACs of a layer fed by several are split
    in proportion to their sizes. Populations that feed no weighted layer are omitted.
    """
    return _operations(graph, POPULATIONS)


def _operations(graph: Graph, makers: tuple[type[Op], ...]) -> dict[str, float]:
    """`synaptic_operations`, by the nearest nodes of the kinds `makers` before a layer."""
    operations: dict[str, float] = {}
    for node in _weighted(graph):
        if _is_analog(graph, node):
            continue
        for name, share in _shares(graph, node, makers):
            operations[name] = operations.get(name, 0.0) + share
    return operations


def _shares(graph: Graph, node: Node, makers: tuple[type[Op], ...]) -> list[tuple[str, float]]:
    """The populations that feed a layer, and their parts of its MACs."""
    sources = nearest_before(graph, node.name, *makers)
    sizes = {name: graph.type_of(name).size for name in sources}
    whole = sum(sizes.values())
    return [(name, _macs(graph, node) * size / whole) for name, size in sizes.items()]


def _weighted(graph: Graph) -> list[Node]:
    return [node for node in graph.nodes if isinstance(node.op, Conv | Linear)]


def multiplications(graph: Graph) -> int:
    """Multiplications by weights for one sample: one pass of an ANN, or one step of an SNN."""
    return sum(_macs(graph, node) for node in _weighted(graph))


def _macs(graph: Graph, node: Node) -> int:
    assert isinstance(node.op, Conv | Linear)
    weight = graph.array(node.op.weight)
    positions = graph.type_of(node.name).size // len(weight)
    return int(np.prod(weight.shape)) * positions


def _is_analog(graph: Graph, node: Node) -> bool:
    """Whether the directly encoded input reaches a layer."""
    ops = [graph.node(name).op for name in nearest_before(graph, node.name, *POPULATIONS)]
    return not all(
        isinstance(op, AnyNeuron) or (isinstance(op, Encode) and not op.code_class.constant)
        for op in ops
    )
