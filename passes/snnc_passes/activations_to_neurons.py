"""`activations-to-neurons`: from stage `ann` to stage `snn`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from snnc.errors import UnsupportedError
from snnc.ir import (
    Add,
    Concat,
    Encode,
    Graph,
    MaxPool,
    Neuron,
    Node,
    Pad,
    Permute,
    Readout,
    Relu,
    Reshape,
    Scale,
    Slice,
    Stage,
    SumPool,
)
from snnc.transform import Pass, PassContext, PassResult

CARRIERS = (SumPool, MaxPool, Reshape, Permute, Slice, Pad, Concat)
"""Ops that hand spikes on as spikes or counts."""


@dataclass(frozen=True, kw_only=True)
class ActivationsToNeurons(Pass):
    """Replace every ReLU by a population of integrate-and-fire neurons (Cao et al. 2015).

    The input gets an `Encode` (the same value at every step), every output a `Readout`; a spike
    that enters a sum gets a `Scale`, which makes it a current. Thresholds are 1 until a later pass
    sets them. A max-pool of activations is refused: the maximum of spikes is not the spike of the
    maximum.

    Raises:
        UnsupportedError: naming every max-pool of activations.
    """

    name: ClassVar[str] = "activations-to-neurons"
    takes: ClassVar[Stage] = Stage.ANN
    gives: ClassVar[Stage] = Stage.SNN

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        analog = _encode_input(graph)
        _refuse_maxpools(graph, analog)
        _drop_repeated_relus(graph)
        neurons = [node.name for node in graph.nodes if isinstance(node.op, Relu)]
        for name in neurons:
            graph.replace_op(name, Neuron())
        graph.stage = Stage.SNN
        _scale_spikes_that_meet_currents(graph)
        _read_out(graph)
        return PassResult(graph, metrics={"neurons": len(neurons)})


def _encode_input(graph: Graph) -> set[str]:
    """Put the `Encode` behind the input and the max-pools on it; returns what stays analog."""
    last = graph.input
    analog = {last}
    while True:
        users = graph.users_of(last)
        if len(users) != 1 or not isinstance(graph.node(users[0][0]).op, MaxPool):
            break
        last = users[0][0]
        analog.add(last)
    graph.insert_after(last, graph.fresh(f"{graph.input}.encode"), Encode())
    return analog


def _refuse_maxpools(graph: Graph, analog: set[str]) -> None:
    pools = [n for n in graph.nodes if isinstance(n.op, MaxPool) and n.name not in analog]
    if not pools:
        return
    reason = "the maximum of spikes is not the spike of the maximum"
    lines = [f"{node.loc}: {node.name} (maxpool): {reason}" for node in pools]
    raise UnsupportedError(
        "\n".join(lines),
        hint="convert{maxpool=average} averages instead; best trained so",
    )


def _spiking(graph: Graph) -> set[str]:
    """Nodes whose result is made of activations alone: a ReLU, seen through pools and reshapes."""
    found: set[str] = set()
    for node in graph.nodes:
        sources = graph.inputs_of(node.name)
        carries = isinstance(node.op, CARRIERS) and all(source in found for source in sources)
        if carries or isinstance(node.op, Relu | Neuron):
            found.add(node.name)
    return found


def _drop_repeated_relus(graph: Graph) -> bool:
    """A ReLU of what is not negative changes nothing."""
    spiking = _spiking(graph)
    idle = [
        node.name
        for node in graph.nodes
        if isinstance(node.op, Relu) and graph.inputs_of(node.name)[0] in spiking
    ]
    for name in idle:
        graph.bypass(name)
    return bool(idle)


def _scale_spikes_that_meet_currents(graph: Graph) -> None:
    """Spikes that enter a sum, or a concat beside a current, become a current."""
    spiking = _spiking(graph)
    for node in graph.nodes:
        sources = graph.inputs_of(node.name)
        mixed = isinstance(node.op, Concat) and not all(source in spiking for source in sources)
        if not mixed and not isinstance(node.op, Add):
            continue
        for port, source in enumerate(sources):
            if source in spiking:
                new = graph.fresh(f"{node.name}.shortcut")
                graph.insert_before(node.name, port, new, Scale(factor=1.0))


def _read_out(graph: Graph) -> None:
    outputs = graph.outputs
    for name in outputs:
        stem = "readout" if len(outputs) == 1 else f"{name}.readout"
        node: Node = graph.node(name)
        readout = graph.add(
            graph.fresh(stem), Readout(), [name], loc=node.loc, origins=node.origins
        )
        graph.outputs = tuple(readout if o == name else o for o in graph.outputs)
