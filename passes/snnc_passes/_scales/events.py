"""Which values of a spiking graph are events, and which are currents."""

from __future__ import annotations

from typing import Literal

from snnc.ir import (
    Add,
    AnyNeuron,
    Encode,
    Graph,
    Identity,
    Input,
    Pool,
    Readout,
    Rearrange,
    Relu,
    Scale,
    Stage,
)
from snnc.ir.populations import integrates

EventKind = Literal["spike", "direct"]


def event_kinds(graph: Graph) -> dict[str, EventKind]:
    """Per node with events, their kind; nodes with currents or analog values are left out.

    Of an `ann` graph it is what they become: activations spikes, the input direct values.
    "spike": neurons and random or latency encoders. "direct": a direct encoder, whose values are
    real currents until `quantize` turns them into counts.
    """
    kinds: dict[str, EventKind] = {}
    for node in graph.nodes:
        sources: set[EventKind | None] = {kinds.get(s) for s in graph.inputs_of(node.name)}
        if isinstance(node.op, AnyNeuron | Relu | Identity):
            kinds[node.name] = "spike"
        elif isinstance(node.op, Input) and graph.stage is Stage.ANN:
            kinds[node.name] = "direct"
        elif isinstance(node.op, Encode):
            kinds[node.name] = "direct" if node.op.code_class.constant else "spike"
        elif isinstance(node.op, Pool | Rearrange) and len(sources) == 1:
            (kind,) = sources
            if kind is not None:
                kinds[node.name] = kind
    return kinds


def scale_events_into_currents(graph: Graph) -> int:
    """Insert `Scale(1)` where events enter a sum, neuron, readout or concatenation with currents.

    An identity shortcut thus becomes a current that can be added. Returns the number inserted.
    """
    inserted = 0
    for node in graph.nodes:
        joins = isinstance(node.op, Rearrange) and node.op.arity is None
        if not (joins or isinstance(node.op, Add | Readout) or integrates(node.op)):
            continue
        kinds = event_kinds(graph)
        sources = graph.inputs_of(node.name)
        if joins and len({kinds.get(source) for source in sources}) == 1:
            continue
        for port, source in enumerate(sources):
            if source in kinds:
                new = graph.fresh(f"{source}.current")
                graph.insert_before(node.name, port, new, Scale(factor=1.0))
                inserted += 1
    return inserted
