"""Whether kernels in float32 give the spikes of the reference, proved from the graph.

The reference computes graphs of real values in float64. Where all values of a tensor are whole
multiples of a power of two, and few enough for the 24 bits of float32, neither rounds, whatever the
order of a sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.ir import (
    Add,
    AnyNeuron,
    Graph,
    Maximum,
    Node,
    Readout,
    Rearrange,
    Ref,
    Scale,
    Signal,
    SumPool,
    TwoSidedNeuron,
    Weighted,
)
from snnc_backends.cpu.number_types import EXACT, LARGEST, THREE_DIGITS

_UNITS = range(-126, 103)
"""Exponents of units whose multiples up to `EXACT` are neither subnormal nor infinite."""


@dataclass(frozen=True)
class Exactness:
    """What is proved of a graph.

    Attributes:
        window: the longest window in which every spike equals that of the reference; 0 for none.
        node: the first node that may differ; None where none does.
        reason: what is rounded there, "" where nothing is.
    """

    window: int
    node: Node | None = None
    reason: str = ""


@dataclass(frozen=True)
class _Grid:
    """Values are whole multiples of 2^unit, and at most `bound` in magnitude."""

    unit: int
    bound: float


class _RoundsError(Exception):
    """Values are not on a grid that float32 holds."""


def exactness(graph: Graph) -> Exactness:
    """What is proved of an `snn` graph, in a walk that ends at the first node that may differ."""
    if graph.quantized:
        return Exactness(LARGEST)
    types, window = graph.types(), LARGEST
    grids: dict[str, _Grid] = {}
    for node in graph.nodes:
        kind = types[node.name]
        if kind.signal is Signal.ANALOG or isinstance(node.op, Readout):
            continue
        inputs = [grids[name] for name in graph.inputs_of(node.name) if name in grids]
        try:
            if isinstance(node.op, AnyNeuron):
                window = min(window, _window(graph, node.op, inputs[0]))
            grids[node.name] = (
                _Grid(0, kind.levels) if kind.levels else _current(graph, node.op, inputs)
            )
        except _RoundsError as error:
            return Exactness(0, node, str(error))
    return Exactness(window)


def _current(graph: Graph, op: Any, inputs: list[_Grid]) -> _Grid:
    """The grid of a real current."""
    if not inputs:
        raise _RoundsError("gives real values, whose sums are rounded")
    unit, bound = min(each.unit for each in inputs), max(each.bound for each in inputs)
    if isinstance(op, Add):
        bound = sum(each.bound for each in inputs)
    elif isinstance(op, SumPool):
        bound *= op.largest_weight()
    elif isinstance(op, Weighted):
        weight = _values(graph, op.weight)
        rows = np.abs(weight).reshape(len(weight), -1).sum(1)
        unit, bound = unit + _unit(weight), bound * float(rows.max())
        unit, bound = _with(graph, op.bias, unit, bound)
        _checked(unit, bound)
        if float(np.abs(weight).max()) > THREE_DIGITS * 2.0 ** _unit(weight):
            raise _RoundsError("has weights of more than three digits of 8 bits")
    elif isinstance(op, Scale):
        factor = _values(graph, op.factor)
        unit, bound = unit + _unit(factor), bound * float(np.abs(factor).max())
        unit, bound = _with(graph, op.bias, unit, bound)
    elif not isinstance(op, Rearrange | Maximum):
        raise _RoundsError("is not known to be exact")
    return _checked(unit, bound)


def _with(graph: Graph, bias: Any, unit: int, bound: float) -> tuple[int, float]:
    """Unit and bound with a bias added."""
    if bias is None:
        return unit, bound
    values = _values(graph, bias)
    return min(unit, _unit(values)), bound + float(np.abs(values).max())


def _checked(unit: int, bound: float) -> _Grid:
    if unit not in _UNITS or bound > EXACT * 2.0**unit:
        raise _RoundsError("has sums of real values that take more than the 24 bits of float32")
    return _Grid(unit, bound)


def _window(graph: Graph, op: Any, current: _Grid) -> int:
    """The steps in which the potentials of a population stay within 24 bits."""
    if np.any(_values(graph, op.leak) != 1):
        raise _RoundsError("has a leak, whose products with real potentials are rounded")
    threshold, start = _values(graph, op.threshold), _values(graph, op.v_init)
    half = 1 if isinstance(op, TwoSidedNeuron) else 0  # fires at half a threshold
    unit = min(current.unit, _unit(threshold) - half, _unit(start))
    rest = EXACT * 2.0**unit - float(np.abs(threshold).max()) - float(np.abs(start).max())
    steps = min(rest / max(current.bound, 2.0**unit), LARGEST)
    if unit not in _UNITS or steps < 1:
        raise _RoundsError("has real potentials that take more than the 24 bits of float32")
    return int(steps)


def _values(graph: Graph, value: Ref | float) -> NDArray[np.float64]:
    return np.atleast_1d(np.asarray(graph.array(value), np.float64))


def _unit(values: NDArray[np.float64]) -> int:
    """The largest exponent of a power of two that all values are whole multiples of."""
    mantissa, exponent = np.frexp(values[values != 0])
    if not mantissa.size:
        return 0
    whole = np.ldexp(mantissa, 53).astype(np.int64)
    zeros = np.frexp((whole & -whole).astype(np.float64))[1] - 1
    return int((exponent - 53 + zeros).min())
