"""The layers of a graph that a crossbar cannot map."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from snnc.errors import Loc
from snnc.ir import (
    AnyNeuron,
    Encode,
    Graph,
    Node,
    Pool,
    Readout,
    Rearrange,
    Signal,
    Weighted,
    problems,
)
from snnc.ir.walk import ancestors
from snnc.target import Diagnostic
from snnc_backends.crossbar.chip import Chip
from snnc_backends.crossbar.cores import DoesNotFit
from snnc_backends.crossbar.mapping.mapping import require_room


def check(graph: Graph, chip: Chip) -> list[Diagnostic]:
    """Every problem of this graph, with the line of the model, the reason and the remedy.

    Whether an integer graph fits on the chip is asked where nothing else is wrong.
    """
    broken = problems(graph)
    if not broken and not any(isinstance(graph.node(n).op, Readout) for n in graph.outputs):
        broken = ["the graph has no readout"]
    if broken:
        remedy = "give a graph that a pipeline has taken to stage snn"
        return [Diagnostic("graph", "graph", Loc(), reason, remedy) for reason in broken]
    found = [
        Diagnostic(node.op.mnemonic, node.name, node.loc, reason, remedy)
        for node in graph.nodes
        if isinstance(node.op, Weighted)
        for reason, remedy in _problems(graph, node, node.op, chip.weight_bits)
    ]
    return found or list(_too_large(graph, chip))


def _too_large(graph: Graph, chip: Chip) -> Iterator[Diagnostic]:
    """The layer for which the chip has too little of something."""
    if not graph.quantized:
        return
    try:
        require_room(graph, chip)
    except DoesNotFit as error:
        node = graph.node(error.layer)
        remedy = error.remedy or chip.room
        yield Diagnostic(node.op.mnemonic, node.name, node.loc, error.reason, remedy)


def _problems(
    graph: Graph, node: Node, op: Weighted, weight_bits: int
) -> Iterator[tuple[str, str]]:
    (source,) = graph.inputs_of(node.name)
    if graph.type_of(source).signal is Signal.CURRENT and not _is_encoded(graph, source):
        yield (
            f"weighs the current of {source}, which has no bits to drive rows with",
            "put linear-bottlenecks before activations-to-neurons",
        )
    weight = np.asarray(graph.array(op.weight))
    if np.issubdtype(weight.dtype, np.integer):
        largest = max(int(weight.max(initial=0)), -int(weight.min(initial=0)))
        if largest >= 1 << (weight_bits - 1):
            needed = largest.bit_length() + 1
            yield (
                f"weights up to {largest} need {needed} bits, the target has {weight_bits}",
                f"quantize to {weight_bits} bits, or choose weight-bits={needed}",
            )


def _is_encoded(graph: Graph, name: str) -> bool:
    """Whether `name` is the encoded input or spikes, rearranged or pooled at most."""

    def ends(node: Node) -> bool:
        return not isinstance(node.op, Rearrange | Pool)

    start = graph.node(name)
    sources = [name] if ends(start) else ancestors(graph, name, until=ends)
    nodes = (graph.node(source) for source in sources)
    return all(isinstance(node.op, Encode | AnyNeuron) for node in nodes if ends(node))
