"""An ideal chip at the speed of the CPU backend.

With ideal cells and converters the sum over slices, phases and row blocks is the integer current of
the layer (docs/crossbar.md). So the kernels of the CPU backend compute it, and a kernel beside
every weighted layer counts what its events drive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.ir import Graph
from snnc.native.cache import open_cache
from snnc.target import RunResult
from snnc_backends.cpu.check import check
from snnc_backends.cpu.kernels import DTYPES, Conv, Depthwise
from snnc_backends.cpu.lower import lower
from snnc_backends.cpu.plan import ALIGNMENT, TALLY, Plan, Step, Tensor
from snnc_backends.cpu.program import CpuProgram, compiled, in_memory
from snnc_backends.crossbar.activity import Activity
from snnc_backends.crossbar.chip import Chip
from snnc_backends.crossbar.driven_rows import DrivenRows


@dataclass(frozen=True)
class _Counter:
    """A layer whose events are counted.

    Attributes:
        layer: its node.
        tally: the tensor with its counts.
        kernel: what counts.
        outputs: of one group.
    """

    layer: str
    tally: str
    kernel: DrivenRows
    outputs: int

    def activity(self, counts: NDArray[np.float64], runs: int, chip: Chip) -> Activity:
        """From [row blocks read, rows driven] of `runs` steps of samples."""
        kernel = self.kernel
        blocks, rows = (int(count) for count in counts)
        positions = kernel.out_height * kernel.out_width * kernel.groups
        phases = kernel.bits * (2 if kernel.signed else 1)
        side_by_side = -(-self.outputs // chip.outputs_per_tile)
        return Activity(
            reads=blocks * side_by_side,
            conversions=blocks * self.outputs * len(chip.columns),
            skipped_reads=(runs * positions * phases * kernel.blocks - blocks) * side_by_side,
            rows_driven=rows * side_by_side,
        )


class IdealProgram:
    """A network on an ideal chip: the results of the CPU backend, and the activity of the tiles.

    Args:
        graph: the network, of integers, which the CPU backend can run.

    Attributes:
        longest: the longest window in which no integer can overflow.
    """

    def __init__(self, graph: Graph, timesteps: int, chip: Chip, threads: int = 0) -> None:
        plan, weights = lower(graph, timesteps)
        plan, tables, self._counters = _with_counters(plan, len(weights), graph, chip)
        self._chip = chip
        self._program: CpuProgram = compiled(
            plan, in_memory(weights + tables), threads, open_cache()
        )
        self.longest = plan.longest

    def run(self, x: NDArray[np.float32], **options: Any) -> RunResult:
        """Run a batch; see `snnc.target.Program`. `stats["activity"]` as in `reads.Activity`."""
        result = self._program.run(x, **options)
        stats = dict(result.stats)
        tallies = stats.pop("tallies", {})
        activity: dict[str, Mapping[str, int]] = {}
        for counter in self._counters:
            runs = len(result.output) * (1 if counter.kernel.constant else result.timesteps)
            found = counter.activity(tallies[counter.tally], runs, self._chip)
            activity[counter.layer] = asdict(found)
        return replace(result, stats={**stats, "activity": activity})


def can_run(graph: Graph) -> bool:
    """Whether the CPU backend can run this graph."""
    return not check(graph)


def _with_counters(
    plan: Plan, start: int, graph: Graph, chip: Chip
) -> tuple[Plan, bytes, Sequence[_Counter]]:
    """The plan with a counter behind every weighted layer, and the arrays of the counters.

    Args:
        start: where the arrays will lie in the weights.
    """
    tensors, steps = list(plan.tensors), list(plan.steps[: plan.analog])
    counters: list[_Counter] = []
    offsets: dict[DrivenRows, Mapping[str, int]] = {}
    tables = bytearray()
    for step in plan.steps[plan.analog :]:
        steps.append(step)
        if not isinstance(step.kernel, Conv | Depthwise):
            continue
        layer = plan.tensors[step.output].name
        counter = _counter(step.kernel, layer, graph, chip)
        if counter.kernel not in offsets:
            offsets[counter.kernel] = _append(tables, start, counter.kernel)
        tensors.append(Tensor(counter.tally, (2,), "f64", counter.kernel.constant, TALLY))
        number = len(tensors) - 1
        steps.append(Step(counter.kernel, step.inputs, number, offsets[counter.kernel]))
        counters.append(counter)
    counted = replace(plan, tensors=tuple(tensors), steps=tuple(steps))
    return counted, bytes(tables), tuple(counters)


def _counter(kernel: Conv | Depthwise, layer: str, graph: Graph, chip: Chip) -> _Counter:
    events = graph.type_of(graph.inputs_of(layer)[0])
    convolution = isinstance(kernel, Conv)
    groups = kernel.groups if convolution else kernel.channels
    driven = DrivenRows(
        source=kernel.source,
        height=kernel.height,
        width=kernel.width,
        channels=kernel.channels,
        groups=groups,
        out_height=kernel.out_height,
        out_width=kernel.out_width,
        kernel_h=kernel.kernel_h,
        kernel_w=kernel.kernel_w,
        stride_h=kernel.stride_h,
        stride_w=kernel.stride_w,
        dilation_h=kernel.dilation_h,
        dilation_w=kernel.dilation_w,
        pad_top=kernel.pad_top,
        pad_left=kernel.pad_left,
        rows=chip.rows,
        bits=events.levels.bit_length(),
        signed=events.signed,
        constant=kernel.constant,
    )
    outputs = kernel.out_channels // groups if convolution else 1
    return _Counter(layer, graph.fresh(f"{layer}.driven"), driven, outputs)


def _append(tables: bytearray, start: int, kernel: DrivenRows) -> Mapping[str, int]:
    """Append the arrays of a kernel; where they lie."""
    offsets: dict[str, int] = {}
    kinds = kernel.arrays()
    for name, table in kernel.tables.items():
        offsets[name] = start + len(tables)
        tables += np.ascontiguousarray(table, DTYPES[kinds[name].dtype]).tobytes()
        tables += bytes(-len(tables) % ALIGNMENT)
    return offsets
