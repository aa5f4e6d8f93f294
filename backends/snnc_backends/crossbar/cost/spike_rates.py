"""Spike rates of a network from a file, and the activity of tiles to expect from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.cost import Inference
from snnc.errors import UsageError, one_line
from snnc.ir import Conv, CountMaxPool, Encode, Graph, Neuron, TwoSidedNeuron
from snnc.ir.walk import nearest_before
from snnc.jsontext import strict
from snnc_backends.crossbar.cost.technology_table import read_text
from snnc_backends.crossbar.mapping.layer_shapes import LayerShape

MAKERS = (Neuron, TwoSidedNeuron, Encode, CountMaxPool)
"""Ops whose results are events."""
DENSITY = 0.5
"""Fraction of the bits of an encoded input, or of an activation, that are taken to be 1."""
UNIFORM = 0.1
"""Rate of every population where none is known."""


def read_rates(path: Path) -> dict[str, float]:
    """The rates in a JSON file: {node: events per element and step}. Raises `UsageError`."""
    try:
        given = strict(read_text(path, "rates"))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"rates {path}: no readable JSON: {one_line(error)}") from None
    if not isinstance(given, dict):
        raise UsageError(f"rates {path}: a JSON object is expected", hint='{"conv1": 0.1, …}')
    for name, rate in given.items():
        number = isinstance(rate, int | float) and not isinstance(rate, bool)
        if not number or not isfinite(rate) or rate < 0:
            raise UsageError(f"rates {path}: {name!r} has no rate of 0 or more, but {rate!r}")
    return {name: float(rate) for name, rate in given.items()}


def complete(graph: Graph, rates: Mapping[str, float], path: object) -> dict[str, float]:
    """Rates of all populations, spiking encoders and pools of counts, by node.

    A pool of counts that is not named has the largest rate of what it pools.

    Raises `UsageError` for a population without a rate, and for a name that is none of these.
    """
    found: dict[str, float] = {}
    for name in _makers(graph):
        if name in rates:
            found[name] = rates[name]
        elif isinstance(graph.node(name).op, CountMaxPool):
            before = nearest_before(graph, name, *MAKERS)
            found[name] = max((found[each] for each in before if each in found), default=0.0)
        else:
            raise UsageError(f"rates {path}: no rate for {name}")
    unknown = [name for name in rates if name not in found]
    if unknown:
        raise UsageError(
            f"rates {path}: {unknown[0]!r} is no population of the network",
            hint=f"populations: {', '.join(list(found)[:12])}",
        )
    return found


def uniform(graph: Graph) -> dict[str, float]:
    """`UNIFORM` for everything that makes events."""
    return dict.fromkeys(_makers(graph), UNIFORM)


def _makers(graph: Graph) -> list[str]:
    return [
        node.name
        for node in graph.nodes
        if isinstance(node.op, MAKERS) and not graph.type_of(node.name).constant_in_time
    ]


def expected(
    graph: Graph, shapes: Sequence[LayerShape], rates: Mapping[str, float], timesteps: int
) -> Inference:
    """The counts to expect of an inference whose events are independent of each other.

    A row is driven with the rate of its source (bits of a count: the rate shared by its phases; of
    an encoded input that is constant in time: `DENSITY`), and a block is read if any of its rows
    is. Rows over padding are not driven.

    Args:
        rates: per population, spiking encoder and pool of counts, events per element and step.
    """
    activity = {shape.layer: _activity(graph, shape, rates) for shape in shapes}
    events = {name: rate * graph.type_of(name).size * timesteps for name, rate in rates.items()}
    return Inference(timesteps, activity, events)


def _activity(graph: Graph, shape: LayerShape, rates: Mapping[str, float]) -> Mapping[str, float]:
    chance = _chance(graph, shape, rates)
    inside, positions = _inside(graph, shape)
    drives = shape.phases * shape.steps

    def times(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """How often any of so many rows is driven."""
        return positions @ (1 - (1 - chance) ** np.outer(inside, rows)) * drives

    read, (rows, cols) = times(shape.rows), shape.converted
    return {
        "reads": float(read.sum()),
        "conversions": float((times(rows) if shape.analog_sums else read) @ cols),
        "skipped_reads": float(len(shape.parts) * shape.drives - read.sum()),
        "rows_driven": chance * float(inside @ positions) * float(shape.rows.sum()) * drives,
    }


def _chance(graph: Graph, shape: LayerShape, rates: Mapping[str, float]) -> float:
    """Chance that a row is driven in one phase."""
    kind = graph.type_of(shape.source)
    if kind.constant_in_time:
        return DENSITY / (2 if kind.signed else 1)
    makers: list[str] = [shape.source]
    if shape.source not in rates:
        makers = list(nearest_before(graph, shape.source, *MAKERS))
    events = sum(rates.get(name, 0.0) * graph.type_of(name).size for name in makers)
    return min(1.0, events / kind.size / shape.phases)


def _inside(graph: Graph, shape: LayerShape) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Parts of the rows that lie over the input, not over padding, and at how many positions."""
    op: Any = graph.node(shape.layer).op
    parts = np.ones(1)
    if isinstance(op, Conv):
        sizes, outs = graph.type_of(shape.source).shape[1:], graph.type_of(shape.layer).shape[1:]
        for axis, (size, out, taps) in enumerate(
            zip(sizes, outs, shape.matrix.kernel, strict=True)
        ):
            at = np.arange(out)[:, None] * op.stride[axis] - op.padding[axis][0]
            at = at + np.arange(taps) * op.dilation[axis]
            inside: NDArray[np.float64] = ((at >= 0) & (at < size)).mean(1)
            parts = (parts[:, None] * inside).ravel()
    found, counts = np.unique(parts, return_counts=True)
    return found, counts.astype(np.float64)
