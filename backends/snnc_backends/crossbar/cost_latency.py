"""Time of an inference: of every layer, along the longest path, and of the pipeline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from snnc.ir import Graph, Neuron
from snnc.ir.walk import longest_path
from snnc_backends.crossbar.chip import Chip
from snnc_backends.crossbar.layer_shapes import LayerShape
from snnc_backends.crossbar.technology_table import Technology
from snnc_backends.crossbar.tiling import Tile


@dataclass(frozen=True)
class Timing:
    """Times in ns.

    Attributes:
        layers: per weighted layer, its time in one step.
        critical_path_ns: one step through all layers: the longest path; branches are parallel.
        step_ns: the time between two steps in a pipeline of layers: its slowest layer.
        latency_ns: of one inference in that pipeline.
        sequential_ns: of one inference where a step begins after the last has left.
        period_ns: between two inferences in a full pipeline.
    """

    layers: Mapping[str, float]
    critical_path_ns: float
    step_ns: float
    latency_ns: float
    sequential_ns: float
    period_ns: float


def timing(
    graph: Graph,
    shapes: Sequence[LayerShape],
    tiles: Sequence[Tile],
    chip: Chip,
    technology: Technology,
    timesteps: int,
) -> Timing | None:
    """The times of a network; None where the technology has no `time.read`.

    A layer takes positions / copies * phases reads one after another in a step; its tiles work in
    parallel. A read takes as long as the array or as the conversions of its columns, whichever is
    longer. Skipped reads take their time: the figures hold for every input. Neurons, pooling and
    packets are taken to overlap with the reads.
    """
    read, conversion = (technology.value(f"time.{name}") for name in ("read", "conversion"))
    if read is None:
        return None
    copies = _copies(tiles)
    layers: dict[str, float] = {}
    once: dict[str, float] = {}
    for shape in shapes:
        columns = min(shape.matrix.outputs, chip.outputs_per_tile) * len(chip.columns)
        converted = -(-columns // technology.converters_per_tile) * (conversion or 0.0)
        positions = -(-shape.positions // copies.get(shape.layer, 1))
        layers[shape.layer] = positions * shape.phases * max(read, converted)
        if shape.steps == 1:
            once[shape.layer] = layers[shape.layer]
    step = max((t for name, t in layers.items() if name not in once), default=0.0)
    path = _longest(graph, layers)
    later = _longest(graph, {n: t for n, t in layers.items() if n not in once})
    waited = longest_path(graph, lambda n: n.op.wait if isinstance(n.op, Neuron) else 0)
    steps = timesteps + max((waited[name] for name in graph.outputs), default=0)
    return Timing(
        layers=layers,
        critical_path_ns=path,
        step_ns=step,
        latency_ns=path + (steps - 1) * step,
        sequential_ns=path + (steps - 1) * later,
        period_ns=max(timesteps * step, max(once.values(), default=0.0)),
    )


def _longest(graph: Graph, layers: Mapping[str, float]) -> float:
    paths = longest_path(graph, lambda node: layers.get(node.name, 0.0))
    return max((paths[name] for name in graph.outputs), default=0.0)


def _copies(tiles: Sequence[Tile]) -> dict[str, int]:
    """How often each layer is programmed: the copies of its least copied part."""
    parts = Counter((t.layer, t.group, t.first_row, t.first_col) for t in tiles)
    copies: dict[str, int] = {}
    for (layer, *_), number in parts.items():
        copies[layer] = min(number, copies.get(layer, number))
    return copies
