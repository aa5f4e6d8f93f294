"""Time of an inference: of every layer, along the longest path, and of the pipeline."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from snnc.ir import AnyNeuron, Graph
from snnc.ir.walk import longest_path
from snnc_backends.crossbar.chip import Chip
from snnc_backends.crossbar.cost.technology_table import Technology
from snnc_backends.crossbar.mapping.layer_shapes import LayerShape


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
    chip: Chip,
    technology: Technology,
    timesteps: int,
) -> Timing | None:
    """The times of a network; None where the technology has no `time.read`.

    A layer takes positions / copies * phases reads one after another in a step; its tiles work in
    parallel, time-multiplexed ones one layer after the other. A read takes as long as
    the array or as the conversions of its columns, whichever is longer. Skipped reads take their
    time: the figures hold for every input. Neurons, pooling and packets are taken to overlap with
    the reads.
    """
    read, conversion = (technology.value(f"time.{name}") for name in ("read", "conversion"))
    if read is None:
        return None
    layers: dict[str, float] = {}
    for shape in shapes:
        turns = -(-int(shape.cols.max(initial=0)) // technology.converters_per_tile)
        positions = -(-shape.positions // shape.copies)
        layers[shape.layer] = positions * shape.phases * max(read, turns * (conversion or 0.0))
    every = {s.layer: 0.0 if s.steps == 1 else layers[s.layer] for s in shapes}
    spent = {s.layer: layers[s.layer] * s.steps for s in shapes}
    step, path = _busiest(shapes, every, chip), _longest(graph, layers)
    waited = longest_path(graph, lambda n: n.op.wait if isinstance(n.op, AnyNeuron) else 0)
    later = timesteps - 1 + max((waited[name] for name in graph.outputs), default=0)
    return Timing(
        layers=layers,
        critical_path_ns=path,
        step_ns=step,
        latency_ns=path + later * step,
        sequential_ns=path + later * max(step, _longest(graph, every)),
        period_ns=_busiest(shapes, spent, chip),
    )


def _busiest(shapes: Sequence[LayerShape], spent: Mapping[str, float], chip: Chip) -> float:
    """The time of the tile with most to do, where every layer takes its time of `spent`."""
    tiles: defaultdict[int, float] = defaultdict(float)
    for shape in shapes:
        own = spent[shape.layer]
        for tile in shape.tiles:
            multiplexed = chip.packing == "time-multiplexed"
            tiles[tile] = tiles[tile] + own if multiplexed else max(tiles[tile], own)
    return max(tiles.values(), default=0.0)


def _longest(graph: Graph, layers: Mapping[str, float]) -> float:
    paths = longest_path(graph, lambda node: layers.get(node.name, 0.0))
    return max((paths[name] for name in graph.outputs), default=0.0)
