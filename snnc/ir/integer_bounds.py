"""How large the integers of a quantised graph can become, proved from its weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.ir.elementwise import Add, Scale
from snnc.ir.encode import Encode
from snnc.ir.endpoints import Input
from snnc.ir.graph import Graph
from snnc.ir.kinds import Weighted
from snnc.ir.neuron import AnyNeuron
from snnc.ir.node import Node
from snnc.ir.pool import SumPool

LARGEST = 2**31 - 1
"""The largest integer of 32 bits."""
_SUMMED_IN_32_BITS = 1 << 24
"""So many bytes have a sum of less than 2^32."""


def magnitudes(graph: Graph) -> dict[str, int]:
    """A bound on |x| of every integer tensor (events and integer currents) of an `snn` graph."""
    types = graph.types()
    bounds: dict[str, int] = {}
    for node in graph.nodes:
        kind = types[node.name]
        if isinstance(node.op, Encode | AnyNeuron):
            if kind.levels:
                bounds[node.name] = kind.levels
        elif kind.quantized or kind.levels:
            bounds[node.name] = _magnitude(
                graph, node, [bounds[s] for s in graph.inputs_of(node.name)]
            )
    return bounds


def _magnitude(graph: Graph, node: Node, inputs: list[int]) -> int:
    op = node.op
    if isinstance(op, Input):
        return 0
    if isinstance(op, Add):
        return sum(inputs)
    if isinstance(op, SumPool):
        return inputs[0] * op.largest_weight()
    if isinstance(op, Weighted):
        rows = _sums_of_rows(graph.array(op.weight))
        bias = np.zeros(len(rows)) if op.bias is None else graph.array(op.bias)
        peaks = np.abs(bias.astype(np.float64)).reshape(len(rows), -1).max(1)
        return int((rows * inputs[0] + peaks).max())
    if isinstance(op, Scale):
        return int(_peak(graph, op.factor) * inputs[0]) + _peak(graph, op.bias)
    return max(inputs)


def _sums_of_rows(weight: NDArray[Any]) -> NDArray[np.float64]:
    """(C,) the sum of |weights| of each output channel."""
    rows = weight.reshape(len(weight), -1)
    if rows.dtype.kind != "i":
        return np.abs(rows.astype(np.float64)).sum(1)
    magnitudes = np.abs(rows).view(f"u{rows.itemsize}")  # that of -128 is 128 without a sign
    few = rows.itemsize == 1 and rows.shape[1] <= _SUMMED_IN_32_BITS
    return magnitudes.sum(1, dtype=np.uint32 if few else np.uint64).astype(np.float64)


def _peak(graph: Graph, value: object) -> int:
    if value is None:
        return 0
    return int(np.abs(np.asarray(graph.array(value), np.float64)).max())  # pyright: ignore[reportArgumentType]


def longest_window(graph: Graph, node: Node, current: int) -> int:
    """The longest window in which a potential of this integer population stays within 32 bits.

    `current` bounds its input. The potential starts at v_init and gains at most `current` a step.
    """
    op = node.op
    if not isinstance(op, AnyNeuron):
        return LARGEST
    rest = LARGEST - _peak(graph, op.v_init) - _peak(graph, op.threshold)
    return max(0, min(LARGEST, rest // max(1, current)))


def proved_window(graph: Graph) -> int:
    """The longest window in which no potential of an integer `snn` graph leaves 32 bits."""
    bounds = magnitudes(graph)
    windows = (
        longest_window(graph, node, bounds[source])
        for node in graph.nodes
        if isinstance(node.op, AnyNeuron)
        for source in graph.inputs_of(node.name)
    )
    return min(windows, default=LARGEST)
