"""What is computed beside the tiles: the digital unit of every other operation."""

from __future__ import annotations

from math import prod
from typing import Any

from snnc.ir import (
    Add,
    CountMaxPool,
    Encode,
    Graph,
    Maximum,
    Neuron,
    Node,
    Pool,
    Readout,
    Scale,
    TensorType,
    TwoSidedNeuron,
    Weighted,
)


def digital_units(graph: Graph) -> dict[str, dict[str, Any]]:
    """Per node with digital work: {"unit", "operations", "per", "layer"}.

    `operations`: additions of a bias, of an `Add` and of a pool of sums, comparisons of a maximum,
    multiplications of a factor, updates of neurons, of the sums of a readout and of an encoder.
    They are those of one step (`per` is step) or, where the input is constant in time, of one
    inference. `layer`: the weighted layer before it, with which it is placed; "" for none. Batch
    norms are in weights, biases and factors.
    """
    units: dict[str, dict[str, Any]] = {}
    home: dict[str, str] = {}
    for node in graph.nodes:
        before = next((home[source] for source in node.inputs if home[source]), "")
        home[node.name] = node.name if isinstance(node.op, Weighted) else before
        kind = graph.type_of(node.name)
        found = _unit(graph, node, kind)
        if found:
            unit, operations = found
            per = "inference" if kind.constant_in_time else "step"
            entry = {"unit": unit, "operations": operations, "per": per}
            units[node.name] = {**entry, "layer": home[node.name]}
    return units


def _unit(graph: Graph, node: Node, kind: TensorType) -> tuple[str, int] | None:
    match node.op:
        case Weighted(bias=bias):
            return ("bias", kind.size) if bias is not None else None
        case Pool() as pool:
            return "maximum" if isinstance(pool, Maximum) else "sum", _covered(pool, kind)
        case Add():
            return "addition", (len(node.inputs) - 1) * kind.size
        case Scale():
            return "factor", kind.size
        case Neuron() | TwoSidedNeuron():
            return "neurons", kind.size
        case Encode():
            return "encoder", kind.size
        case Readout():
            return "readout", graph.type_of(node.inputs[0]).size
        case _:
            return None


def _covered(op: Pool, kind: TensorType) -> int:
    """Additions or comparisons of two numbers: inputs of all windows, less one of each window."""
    sizes = [sum(stop - start for start, stop in axis) for axis in op.windows]
    return kind.shape[0] * prod(sizes) - kind.size


def count_maxpools(graph: Graph) -> dict[str, dict[str, int]]:
    """Per CountMaxPool with a state, the digital unit that it takes beside the tiles (S25).

    `counters`: one for every input and one for every window; `levels`: most a counter grows in a
    step, so that it has T * levels + 1 values; `comparisons`: of two counts, in one step.
    """
    units: dict[str, dict[str, int]] = {}
    for node in graph.nodes:
        kind = graph.type_of(node.name)
        if not isinstance(node.op, CountMaxPool) or kind.constant_in_time:
            continue
        inputs = graph.type_of(node.inputs[0]).size
        units[node.name] = {
            "counters": inputs + kind.size,
            "levels": kind.levels,
            "comparisons": _covered(node.op, kind),
        }
    return units
