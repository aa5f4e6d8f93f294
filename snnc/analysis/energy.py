"""Estimate of the arithmetic energy from spike counts, for comparing networks.

    E_ann = E_mac * sum_l MAC_l
    E_snn = E_mac * (k * MAC_1 + T * MAC_c) + E_ac * sum_l n_l * MAC_l

MAC_l are the products of weighted layer l in one pass of the ANN. n_l is the number of spikes that
one input element of the layer sums over the whole window, mean over its elements: every spike is
one addition for each weight it meets. Without pools n_l is the number of spikes of one neuron; a
sum pool over 2x2 neurons, a sum of residual branches and a group of neurons have those of all they
sum, and a pool of counts as many as it emits. Layers that see the directly encoded input (MAC_1)
multiply real values: once if their result is kept (k = 1), or at every step (k = T); layers on the
current of another layer (MAC_c) do at every step.

Products with padding are counted, in MAC_l of both networks. A spike that a sum counts several
times (`SumPool.multiplicity`) is one addition. Memory, neurons, the counters of max pools,
shortcuts and the transport of spikes are not counted.

Sources: Rathi & Roy, "DIET-SNN", 2020, for the operations counted; Horowitz, "Computing's Energy
Problem", ISSCC 2014, for the energies of 32-bit floating point in 45 nm.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from snnc.ir import (
    Conv,
    CountMaxPool,
    Encode,
    Graph,
    Linear,
    Neuron,
    Node,
    Op,
    Rearrange,
    SumPool,
    TwoSidedNeuron,
    Weighted,
)

POPULATIONS = (Neuron, TwoSidedNeuron, Encode)
MAKERS = (*POPULATIONS, CountMaxPool)
"""Ops whose spikes are counted."""
Sums = Mapping[str, float]
"""By node of `MAKERS`, how many of its elements one element sums, mean over the elements."""


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
    layers = list(_layers(graph, MAKERS))
    kept = sum(layer.macs for layer in layers if layer.constant)
    every_step = sum(layer.macs for layer in layers if layer.real and not layer.constant)
    acs = sum(layer.additions(spikes_per_neuron) for layer in layers)
    return Energy(
        ann_pj=cost.mac * sum(layer.macs for layer in layers),
        once_pj=cost.mac * (kept + timesteps * every_step) + cost.ac * acs,
        every_step_pj=cost.mac * timesteps * (kept + every_step) + cost.ac * acs,
        macs=sum(layer.macs for layer in layers),
        acs=acs,
        cost=cost,
    )


def energy_of_layers(
    graph: Graph, spikes_per_neuron: Mapping[str, float], timesteps: int
) -> dict[str, float]:
    """`Energy.once_pj` of every weighted layer, in pJ; 32-bit floating point in 45 nm.

    Arguments are those of `energy`.
    """
    cost = OperationEnergy()
    return {
        layer.name: cost.mac * layer.macs * (1 if layer.constant else timesteps)
        if layer.real
        else cost.ac * layer.additions(spikes_per_neuron)
        for layer in _layers(graph, MAKERS)
    }


def synaptic_operations(graph: Graph) -> dict[str, float]:
    """Additions in an `snn` graph for one spike of every neuron, by population.

    Populations are neuron nodes and spiking encoders. Behind a pool of counts these are the
    additions of one spike of every element of the pool. Populations that feed no weighted layer are
    omitted.
    """
    operations: dict[str, float] = {}
    for layer in _layers(graph, POPULATIONS):
        for name, number in (layer.sums or {}).items():
            operations[name] = operations.get(name, 0.0) + number * layer.macs
    return operations


@dataclass(frozen=True)
class _Layer:
    """A weighted layer.

    Attributes:
        name: its node.
        macs: products of one pass.
        constant: whether its input is the same at every step.
        sums: what an element of its input sums; None where that is no sum of spikes.
    """

    name: str
    macs: int
    constant: bool
    sums: Sums | None

    @property
    def real(self) -> bool:
        """Whether it multiplies real values."""
        return self.sums is None

    def additions(self, spikes_per_neuron: Mapping[str, float]) -> float:
        """Over the whole window; none of real values."""
        sums = self.sums or {}
        return self.macs * sum(spikes_per_neuron[name] * number for name, number in sums.items())


def _layers(graph: Graph, makers: tuple[type[Op], ...]) -> Iterator[_Layer]:
    sums: dict[str, Sums | None] = {}
    for node in graph.nodes:
        sums[node.name] = _sums(graph, node, sums, makers)
        if isinstance(node.op, Conv | Linear):
            (source,) = node.inputs
            constant = graph.type_of(source).constant_in_time
            yield _Layer(node.name, _macs(graph, node), constant, sums[source])


def _sums(
    graph: Graph, node: Node, known: Mapping[str, Sums | None], makers: tuple[type[Op], ...]
) -> Sums | None:
    """The sums of a node's result; None where it holds real values that are no sums of spikes."""
    if graph.type_of(node.name).constant_in_time or isinstance(node.op, Weighted):
        return None
    if isinstance(node.op, makers):
        return {node.name: 1.0}
    sums: dict[str, float] = {}
    for source, factor in zip(node.inputs, _parts(graph, node), strict=True):
        taken = known[source]
        if taken is None:
            return None
        for name, number in taken.items():
            sums[name] = sums.get(name, 0.0) + factor * number
    return sums or None


def _parts(graph: Graph, node: Node) -> list[float]:
    """Per input, how many of its elements one element of the result sums, mean over these."""
    op = node.op
    if isinstance(op, SumPool):
        return [prod(float(np.mean([b - a for a, b in axis])) for axis in op.windows)]
    if not isinstance(op, Rearrange):
        return [1.0] * len(node.inputs)
    shapes = [graph.type_of(source).shape for source in node.inputs]
    moved = op.move([np.full(shape, number) for number, shape in enumerate(shapes)], -1)
    return [float(np.mean(moved == number)) for number in range(len(shapes))]


def multiplications(graph: Graph) -> int:
    """Multiplications by weights for one sample: one pass of an ANN, or one step of an SNN."""
    return sum(_macs(graph, node) for node in graph if isinstance(node.op, Conv | Linear))


def _macs(graph: Graph, node: Node) -> int:
    assert isinstance(node.op, Conv | Linear)
    weight = graph.array(node.op.weight)
    positions = graph.type_of(node.name).size // len(weight)
    return int(np.prod(weight.shape)) * positions
