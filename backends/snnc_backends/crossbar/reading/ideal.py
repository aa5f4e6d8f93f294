"""An ideal chip at the speed of the CPU backend.

With ideal cells and converters the sum over slices, phases and row blocks is the integer current of
the layer (docs/crossbar.md). So the kernels of the CPU backend compute it, and a kernel beside
every weighted layer counts what its events drive.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.ir import Graph
from snnc.native.cache import open_cache
from snnc.target import RunResult
from snnc_backends.cpu.check import check
from snnc_backends.cpu.kernels import DTYPES, PLAIN, Conv, Depthwise, Windows
from snnc_backends.cpu.lower import lower
from snnc_backends.cpu.plan import ALIGNMENT, TALLY, Plan, Step, Tensor
from snnc_backends.cpu.program import CpuProgram, compiled, in_memory
from snnc_backends.crossbar.chip import Chip
from snnc_backends.crossbar.mapping.matrices import WeightMatrix, placed_matrices
from snnc_backends.crossbar.mapping.tiling import (
    WordLines,
    converted_lines,
    placed_rows,
    word_lines,
)
from snnc_backends.crossbar.reading.activity import Activity
from snnc_backends.crossbar.reading.driven_rows import DrivenRows
from snnc_backends.crossbar.reading.placed_rows import PlacedRows


@dataclass(frozen=True)
class Counter:
    """A layer whose events are counted.

    Attributes:
        layer: its node.
        tally: the tensor with its counts.
        kernel: what counts.
        tables: the arrays of the kernel.
        tiles: that a position and a phase may read.
        worth: factors that make [tiles read, columns converted, rows driven in tiles] of the
            counts of `DrivenRows`; None for those of `PlacedRows`, which are that.
        converting: only its conversions count: it counts all row blocks as one.
    """

    layer: str
    tally: str
    kernel: DrivenRows | PlacedRows
    tables: Mapping[str, NDArray[Any]]
    tiles: int
    worth: tuple[int, int] | None
    converting: bool = False

    def activity(self, counts: NDArray[np.float64], runs: int) -> Activity:
        """From the counts of `runs` steps of samples."""
        kernel = self.kernel
        whole = [int(count) for count in counts]
        if self.worth is not None:
            (blocks, rows), (tiles, columns) = whole, self.worth
            whole = [blocks * tiles, blocks * columns, rows * tiles]
        positions = kernel.out_height * kernel.out_width
        phases = kernel.bits * (2 if kernel.signed else 1)
        reads, conversions, driven = whole
        skipped = runs * positions * phases * self.tiles - reads
        return Activity(reads, conversions, skipped, driven)


class IdealProgram:
    """A network on an ideal chip: the results of the CPU backend, and the activity of the tiles.

    Args:
        graph: the network, of integers, which the CPU backend can run.

    Attributes:
        longest: the longest window in which no integer can overflow.
    """

    def __init__(self, graph: Graph, timesteps: int, chip: Chip, threads: int = 0) -> None:
        plan, weights, self._counters = counted_plan(graph, timesteps, chip)
        self._program: CpuProgram = compiled(plan, in_memory(weights), threads, open_cache())
        self.longest = plan.longest

    def run(self, x: NDArray[np.float32], **options: Any) -> RunResult:
        """Run a batch; see `snnc.target.Program`. `stats["activity"]` as in `reads.Activity`."""
        result = self._program.run(x, **options)
        stats = {k: v for k, v in result.stats.items() if k != "tallies"}
        found = activity(self._counters, result)
        return replace(result, stats={**stats, "activity": found})


def activity(counters: Sequence[Counter], result: RunResult) -> dict[str, dict[str, int]]:
    """Per layer the fields of `activity.Activity`, from the tallies of a run."""
    found: dict[str, dict[str, int]] = {}
    for counter in counters:
        runs = len(result.output) * (1 if counter.kernel.constant else result.timesteps)
        counted = counter.activity(result.stats["tallies"][counter.tally], runs)
        if counter.converting:
            found[counter.layer]["conversions"] = counted.conversions
        else:
            found[counter.layer] = asdict(counted)
    return found


def can_run(graph: Graph) -> bool:
    """Whether the CPU backend can run this graph."""
    return not check(graph)


def counted_plan(graph: Graph, timesteps: int, chip: Chip) -> tuple[Plan, bytes, Sequence[Counter]]:
    """The plan of the CPU backend with a counter behind every weighted layer, and its constants."""
    plan, weights = lower(graph, timesteps, PLAIN)
    tensors, steps = list(plan.tensors), list(plan.steps[: plan.analog])
    layers = {matrix.layer: matrix for matrix in placed_matrices(graph, chip)}
    counters: list[Counter] = []
    offsets: dict[DrivenRows, Mapping[str, int]] = {}
    tables = bytearray()
    for step in plan.steps[plan.analog :]:
        steps.append(step)
        if not isinstance(step.kernel, Conv | Depthwise):
            continue
        matrix = layers[plan.tensors[step.output].name]
        for counter in _counters(step.kernel, matrix, graph, chip):
            kernel = counter.kernel
            found = offsets.get(kernel) if isinstance(kernel, DrivenRows) else None
            found = found or _append(tables, len(weights), counter)
            if isinstance(kernel, DrivenRows):
                offsets[kernel] = found
            tensors.append(Tensor(counter.tally, *_tally(kernel)))
            steps.append(Step(kernel, step.inputs, len(tensors) - 1, found))
            counters.append(counter)
    counted = replace(plan, tensors=tuple(tensors), steps=tuple(steps))
    return counted, weights + bytes(tables), tuple(counters)


def _tally(kernel: DrivenRows | PlacedRows) -> tuple[tuple[int, ...], str, bool, str]:
    port = kernel.output()
    return (port.size,), port.dtype, port.constant, TALLY


def _counters(
    kernel: Conv | Depthwise, matrix: WeightMatrix, graph: Graph, chip: Chip
) -> Iterator[Counter]:
    """What counts reads and, where these are not of the same rows, what counts conversions."""
    lines, name = word_lines(matrix, chip), f"{matrix.layer}.driven"
    yield _counter(kernel, matrix, graph, chip, lines, name)
    joined = converted_lines(matrix, chip)
    if joined != lines:
        wide = replace(chip, rows=matrix.rows)
        counter = _counter(kernel, matrix, graph, wide, joined, f"{matrix.layer}.converted")
        yield replace(counter, converting=True)


def _counter(
    kernel: Conv | Depthwise,
    matrix: WeightMatrix,
    graph: Graph,
    chip: Chip,
    lines: Sequence[WordLines],
    tally: str,
) -> Counter:
    events = graph.type_of(graph.inputs_of(matrix.layer)[0])
    geometry: dict[str, Any] = {f.name: getattr(kernel, f.name) for f in fields(Windows)}
    geometry |= {"groups": matrix.groups, "bits": events.levels.bit_length()}
    geometry |= {"signed": events.signed}
    name, code = graph.fresh(tally), chip.matrix(matrix.outputs)
    rows = placed_rows(matrix, chip)
    if _consecutive(lines, rows, matrix):
        driven = DrivenRows(**geometry, rows=chip.rows)
        worth = code.tiles, code.physical
        return Counter(matrix.layer, name, driven, driven.tables, len(lines) * code.tiles, worth)
    sets = [_rows_of(line, rows, matrix.rows) for line in lines]
    tiles = [code.tiles if line.groups == 1 else 1 for line in lines]
    columns = [line.filled * code.physical for line in lines]
    placed = PlacedRows(**geometry, sets=len(lines), placed=sum(map(len, sets)))
    filled = placed.tables(sets, tiles, columns)
    return Counter(matrix.layer, name, placed, filled, sum(tiles), None)


def _consecutive(
    lines: Sequence[WordLines], rows: Sequence[NDArray[np.intp]], matrix: WeightMatrix
) -> bool:
    """Whether all rows are placed, and no groups together."""
    every = all(len(each) == matrix.rows for each in rows)
    return every and all(line.groups == 1 for line in lines)


def _rows_of(
    line: WordLines, rows: Sequence[NDArray[np.intp]], rows_of_a_group: int
) -> NDArray[np.intp]:
    """The rows of word lines, counted over all groups."""
    stop = line.first_row + line.rows
    groups = range(line.group, line.group + line.groups)
    if line.groups == 1:
        return line.group * rows_of_a_group + rows[line.group][line.first_row : stop]
    return np.concatenate([group * rows_of_a_group + rows[group] for group in groups])


def _append(tables: bytearray, start: int, counter: Counter) -> Mapping[str, int]:
    """Append the arrays of a kernel; where they lie."""
    offsets: dict[str, int] = {}
    kinds = counter.kernel.arrays()
    for name, table in counter.tables.items():
        offsets[name] = start + len(tables)
        tables += np.ascontiguousarray(table, DTYPES[kinds[name].dtype]).tobytes()
        tables += bytes(-len(tables) % ALIGNMENT)
    return offsets
