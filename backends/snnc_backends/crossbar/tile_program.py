"""A chip that is not ideal, as compiled code: the CPU backend's, with tiles for weights.

Every weighted layer is read column by column by the kernel `tile_reads`; encoders, neurons, pools
and sums are those of the CPU backend.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.ir import Graph, TensorType
from snnc.native.cache import open_cache
from snnc.target import RunResult
from snnc_backends.cpu.bounds import magnitudes
from snnc_backends.cpu.kernels import Conv, Depthwise
from snnc_backends.cpu.kernels.base import LARGEST
from snnc_backends.cpu.lower import lower
from snnc_backends.cpu.plan import TALLY, Step, Tensor
from snnc_backends.cpu.program import CpuProgram, SampleKeys, compiled, in_memory
from snnc_backends.cpu.storage import Blob
from snnc_backends.crossbar.activity import Activity
from snnc_backends.crossbar.chip import Chip
from snnc_backends.crossbar.column_noise import stream
from snnc_backends.crossbar.matrices import WeightMatrix, matrices
from snnc_backends.crossbar.programmed import Programmed, layer_key, programmed
from snnc_backends.crossbar.tile_reads import COUNTED, TileReads


@dataclass(frozen=True)
class _Layer:
    """A layer that is read from tiles.

    Attributes:
        tally: the tensor with its counts.
        outputs: of one group.
    """

    tally: str
    kernel: TileReads
    outputs: int

    def activity(self, counts: NDArray[np.float64], runs: int, chip: Chip) -> Activity:
        """From the counts of `runs` steps of samples."""
        kernel = self.kernel
        blocks, rows, clipped = (int(count) for count in counts)
        matrices = kernel.out_height * kernel.out_width * kernel.groups
        side_by_side = -(-self.outputs // chip.outputs_per_tile)
        return Activity(
            reads=blocks * side_by_side,
            conversions=blocks * kernel.lines,
            skipped_reads=(runs * matrices * kernel.phases * kernel.blocks - blocks) * side_by_side,
            rows_driven=rows * side_by_side,
            clipped=clipped,
        )


class TileProgram:
    """A network on a chip whose columns are summed and converted one by one.

    Args:
        graph: the network, of integers, which the CPU backend can run.
        ranges: of the converters of every layer; see `programmed.programmed`.

    Attributes:
        longest: the longest window in which no integer can overflow.
    """

    def __init__(
        self,
        graph: Graph,
        timesteps: int,
        chip: Chip,
        ranges: Mapping[str, NDArray[Any]],
        threads: int = 0,
    ) -> None:
        build = _Build(graph, timesteps, chip, ranges)
        self._chip, self._layers = chip, build.layers
        self.longest = build.plan.longest
        weights = in_memory(build.weights())
        self._program: CpuProgram = compiled(
            build.plan, weights, threads, open_cache(), build.sample_keys
        )

    def run(self, x: NDArray[np.float32], **options: Any) -> RunResult:
        """Run a batch; see `snnc.target.Program`. `stats["activity"]` as in `activity.Activity`."""
        result = self._program.run(x, **options)
        stats = dict(result.stats)
        tallies = stats.pop("tallies", {})
        activity: dict[str, Mapping[str, int]] = {}
        for name, layer in self._layers.items():
            runs = len(result.output) * (1 if layer.kernel.constant else result.timesteps)
            activity[name] = asdict(layer.activity(tallies[layer.tally], runs, self._chip))
        return replace(result, stats={**stats, "activity": activity})


class _Build:
    """The plan of the CPU backend, with tiles in place of weights."""

    def __init__(
        self, graph: Graph, timesteps: int, chip: Chip, ranges: Mapping[str, NDArray[Any]]
    ) -> None:
        self._graph, self._chip, self._ranges = graph, chip, ranges
        plan, own = lower(graph, timesteps)
        self._own, self._blob = own, Blob()
        self._matrices = {matrix.layer: matrix for matrix in matrices(graph)}
        self._bounds = magnitudes(graph)
        self._tensors = list(plan.tensors)
        self._growth = 1
        self.layers: dict[str, _Layer] = {}
        self.sample_keys: SampleKeys | None = None
        steps = [*plan.steps[: plan.analog], *map(self._step, plan.steps[plan.analog :])]
        longest = plan.longest // self._growth
        self.plan = replace(plan, tensors=tuple(self._tensors), steps=tuple(steps), longest=longest)

    def weights(self) -> bytes:
        """The constants of the plan."""
        return self._own + self._blob.content()

    def _step(self, step: Step) -> Step:
        if not isinstance(step.kernel, Conv | Depthwise):
            return step
        name = self._tensors[step.output].name
        matrix = self._matrices[name]
        layer = programmed(matrix, self._chip, self._ranges.get(name))
        events = self._graph.type_of(self._graph.inputs_of(name)[0])
        reach = _reach(layer, matrix, self._chip, events.levels)
        self._growth = max(self._growth, -(-reach // max(1, self._bounds[name])))
        kernel = _kernel(step.kernel, layer, events, matrix, self._chip, reach)
        tally = self._graph.fresh(f"{name}.read")
        self.layers[name] = _Layer(tally, kernel, matrix.outputs)
        number = self._tensor(Tensor(tally, (len(COUNTED),), "f64", kernel.constant, TALLY))
        inputs = (*step.inputs, number, *([self._key()] if kernel.noisy else []))
        arrays = self._arrays(kernel, layer, matrix, step)
        return Step(kernel, inputs, step.output, arrays)

    def _tensor(self, tensor: Tensor) -> int:
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def _key(self) -> int:
        if self.sample_keys is None:
            number = self._tensor(Tensor(self._graph.fresh("noise"), (), "i64", True))
            seed = self._chip.seed
            self.sample_keys = SampleKeys(number, lambda sample: stream(seed, sample))
        return self.sample_keys.tensor

    def _arrays(
        self, kernel: TileReads, layer: Programmed, matrix: WeightMatrix, step: Step
    ) -> dict[str, int]:
        """Append the arrays of a kernel; where they lie."""
        worth = np.array([c.polarity * c.significance for c in self._chip.columns])
        arrays: dict[str, NDArray[Any]] = {
            "cells": _by_column(layer.cells, matrix.outputs),
            "gain": _by_column(layer.gains, matrix.outputs),
            "worth": _by_column(layer.steps * np.tile(worth, matrix.outputs), matrix.outputs),
        }
        if layer.variances is not None:
            arrays["variance"] = _by_column(layer.variances, matrix.outputs)
            key = np.array([stream(0, layer_key(matrix.layer))], np.uint64)
            arrays["layer"] = key.view(np.int64)
        kinds = kernel.arrays()
        places = {name: self._blob.add(a, kinds[name].dtype) for name, a in arrays.items()}
        offsets = {name: len(self._own) + place for name, place in places.items()}
        return offsets | ({"bias": step.arrays["bias"]} if kernel.bias != "none" else {})


def _by_column(table: NDArray[Any], outputs: int) -> NDArray[Any]:
    """(…, physical columns) with the columns of a weight first, then the outputs."""
    return np.swapaxes(table.reshape(*table.shape[:-1], outputs, -1), -1, -2)


def _reach(layer: Programmed, matrix: WeightMatrix, chip: Chip, levels: int) -> int:
    """A bound on |y| of the layer, in weights, for events of at most `levels`."""
    worth = np.array([abs(c.polarity * c.significance) for c in chip.columns], np.float64)
    total = 0.0
    for block in range(layer.gains.shape[1]):
        rows = slice(block * chip.rows, (block + 1) * chip.rows)
        sums = np.abs(layer.cells[:, rows]).sum(1, dtype=np.int64)
        codes = sums * layer.gains[:, block] + 1
        codes = np.minimum(codes, layer.top) if layer.top else codes
        values = codes * layer.steps[:, block] * np.tile(worth, matrix.outputs)
        total += float(values.reshape(matrix.groups, matrix.outputs, -1).sum(-1).max())
    noise = 1 if layer.variances is None else 2
    return int(total * levels * noise / (1 << layer.step_bits)) + 1


def _kernel(
    conv: Conv | Depthwise,
    layer: Programmed,
    events: TensorType,
    matrix: WeightMatrix,
    chip: Chip,
    reach: int,
) -> TileReads:
    shared = ("source", "height", "width", "channels", "out_height", "out_width", "kernel_h",
              "kernel_w", "stride_h", "stride_w", "dilation_h", "dilation_w", "pad_top", "pad_left",
              "bias", "constant")  # fmt: skip
    small = np.abs(layer.cells).max(initial=0) < 1 << 15
    return TileReads(
        **{name: getattr(conv, name) for name in shared},
        groups=matrix.groups,
        out_channels=matrix.groups * matrix.outputs,
        cell="i16" if small else "i32",
        total="i32" if reach << layer.step_bits <= LARGEST // 2 else "i64",
        total_bits=layer.step_bits,
        rows=chip.rows,
        columns=len(chip.columns),
        references=0,
        per_tile=chip.outputs_per_tile,
        subtracted=0,
        bits=events.levels.bit_length(),
        signed=events.signed,
        top=layer.top,
        noisy=layer.variances is not None,
    )
