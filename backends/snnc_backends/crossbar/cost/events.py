"""What is paid for in an inference: counts of events, by node.

Tile events come from the run itself (`Inference.activity`); the digital units follow from the graph
and the window. An event has the name of the entry `energy.NAME` of a technology table.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from math import prod

import numpy as np

from snnc.cost import Inference
from snnc.ir import (
    Add,
    AnyNeuron,
    CountMaxPool,
    Encode,
    Graph,
    Node,
    Pool,
    Readout,
    Scale,
    Weighted,
    array_of,
)
from snnc_backends.crossbar.mapping.layer_shapes import LayerShape

COMPONENTS: Mapping[str, str] = {
    "cell": "array",
    "row": "array",
    "sample": "converters",
    "conversion": "converters",
    "shift_add": "shift_and_add",
    "buffer_bit": "buffers",
    "membrane_access": "neurons",
    "neuron_update": "neurons",
    "leak_update": "neurons",
    "addition": "digital",
    "multiplication": "digital",
    "hop": "network",
    "link_bit": "input_output",
}
"""Per event the component of the chip that it belongs to."""
READOUT_BITS = 32
"""Bits of an output value, of a potential and of a packet."""

Counts = Mapping[str, Mapping[str, float]]
"""Per node, how often each event happens in an inference."""


def count_events(
    graph: Graph, shapes: Sequence[LayerShape], run: Inference, hops: Mapping[str, float]
) -> Counts:
    """All events of an inference, by node.

    Every neuron is updated at every step of the window, whether or not it gets an input; its
    potential is read and written once. A membrane that leaks is multiplied in the same pass.

    Args:
        hops: per weighted layer, packets times hops of what is sent to it; may be empty.
    """
    found: dict[str, dict[str, float]] = {}
    for shape in shapes:
        events = tile_events(shape, run.activity.get(shape.layer, {}))
        if hops:
            events["hop"] = hops.get(shape.layer, 0.0)
        found[shape.layer] = events
    for node in graph.nodes:
        for name, number in _digital(graph, node, run.timesteps):
            counts = found.setdefault(node.name, {})
            counts[name] = counts.get(name, 0.0) + number
    return {node.name: found[node.name] for node in graph.nodes if node.name in found}


def tile_events(shape: LayerShape, activity: Mapping[str, float]) -> dict[str, float]:
    """Events of the tiles of a layer and of its input buffer.

    A driven row reads all columns in use of its tile. The buffer is written with the events of the
    source and read with all rows at every position, whether or not they fired.
    """
    conversions = float(activity.get("conversions", 0))
    driven = float(activity.get("rows_driven", 0))
    word_lines = float(shape.rows.sum())
    wide = float(shape.rows @ shape.cols) / word_lines if word_lines else 0.0
    bits = shape.inputs + sum(map(len, shape.rows_of)) * shape.positions
    return {
        "row": driven,
        "cell": driven * wide,
        "sample": conversions,
        "conversion": conversions,
        "shift_add": conversions,
        "buffer_bit": float(shape.steps * shape.phases * bits),
    }


def skipped_conversions(shape: LayerShape, activity: Mapping[str, float]) -> float:
    """Columns that were not converted because no row of their tiles was driven."""
    if not activity.get("skipped_reads", 0):
        return 0.0
    return shape.all_conversions - float(activity.get("conversions", 0))


def _digital(graph: Graph, node: Node, timesteps: int) -> Iterator[tuple[str, float]]:
    """Events of the digital units of one node."""
    op, kind = node.op, graph.type_of(node.name)
    steps = 1 if kind.constant_in_time else timesteps
    updates = float(kind.size * steps)
    if isinstance(op, Encode):
        largest = max(op.hi, -op.lo)
        yield "multiplication", updates
        yield "link_bit", float(kind.size * (largest.bit_length() + (op.lo < 0)))
    elif isinstance(op, AnyNeuron):
        yield "membrane_access", 2 * updates
        yield "neuron_update", updates
        if bool(np.any(np.asarray(array_of(op.leak, graph.params)) != 1)):
            yield "leak_update", updates
    elif isinstance(op, Readout):
        yield "membrane_access", 2 * float(kind.size * timesteps)
        yield "addition", float(kind.size * timesteps)
        yield "link_bit", float(kind.size * READOUT_BITS)
    elif isinstance(op, Pool):
        yield from _pooling(graph, node, op, steps)
    elif isinstance(op, Add):
        yield "addition", updates * (len(node.inputs) - 1)
    elif isinstance(op, Scale):
        yield "multiplication", updates
    if isinstance(op, Weighted | Scale) and op.bias is not None:
        yield "addition", updates


def _pooling(graph: Graph, node: Node, op: Pool, steps: int) -> Iterator[tuple[str, float]]:
    """Additions or comparisons of a window, and the counters of a maximum of counts (S25)."""
    kind = graph.type_of(node.name)
    covered = kind.shape[0] * prod(sum(stop - start for start, stop in a) for a in op.windows)
    yield "addition", float((covered - kind.size) * steps)
    if isinstance(op, CountMaxPool) and not kind.constant_in_time:
        counters = graph.type_of(node.inputs[0]).size + kind.size
        yield "membrane_access", 2.0 * counters * steps


def by_component(
    counts: Mapping[str, float], prices: Mapping[str, float | None]
) -> dict[str, float]:
    """Energy in pJ per component: counts times prices; events without a price are left out."""
    sums: dict[str, float] = defaultdict(float)
    for event, number in counts.items():
        price = prices.get(event)
        if price is not None:
            sums[COMPONENTS[event]] += number * price
    return dict(sums)
