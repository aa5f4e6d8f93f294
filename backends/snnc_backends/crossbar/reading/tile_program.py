"""A chip that is not ideal, as compiled code: the CPU backend's, with tiles for weights.

Every weighted layer is read column by column by the kernel `tile_reads`; encoders, neurons, pools
and sums are those of the CPU backend.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.ir import Graph, TensorType
from snnc.ir.integer_bounds import magnitudes
from snnc.native.cache import open_cache
from snnc.target import RunResult
from snnc_backends.cpu.kernels import Conv, Depthwise, Windows
from snnc_backends.cpu.kernels.base import LARGEST
from snnc_backends.cpu.plan import TALLY, Step, Tensor
from snnc_backends.cpu.program import CpuProgram, SampleKeys, compiled, in_memory
from snnc_backends.cpu.storage import Blob
from snnc_backends.crossbar.chip import Chip
from snnc_backends.crossbar.mapping.matrices import WeightMatrix, placed_matrices
from snnc_backends.crossbar.mapping.placed_parts import PartsOfLayers, laid_out
from snnc_backends.crossbar.reading.column_noise import stream
from snnc_backends.crossbar.reading.ideal import activity, counted_plan
from snnc_backends.crossbar.reading.programmed import (
    Programmed,
    converted_rows,
    factors,
    layer_key,
    line_order,
    programmed,
)
from snnc_backends.crossbar.reading.tile_reads import TileReads
from snnc_backends.crossbar.reading.tile_reads_code import LARGEST_CODE


class TileProgram:
    """A network on a chip whose columns are summed and converted one by one.

    Args:
        graph: the network, of integers, which the CPU backend can run.
        ranges: of the converters of every layer; see `programmed.programmed`.
        parts: see `program.CrossbarProgram`.

    Attributes:
        longest: the longest window in which no integer can overflow; 0 where a column sum could.
    """

    def __init__(
        self,
        graph: Graph,
        timesteps: int,
        chip: Chip,
        ranges: Mapping[str, NDArray[Any]],
        threads: int = 0,
        parts: PartsOfLayers | None = None,
    ) -> None:
        where = laid_out(graph, chip, timesteps) if parts is None else parts
        build = _Build(graph, timesteps, chip, ranges, where)
        self._counters, self._clipped = build.counters, build.clipped
        self.longest = build.longest
        weights = in_memory(build.weights())
        self._program: CpuProgram = compiled(
            build.plan, weights, threads, open_cache(), build.sample_keys
        )

    def run(self, x: NDArray[np.float32], **options: Any) -> RunResult:
        """Run a batch; see `snnc.target.Program`. `stats["activity"]` as in `activity.Activity`."""
        result = self._program.run(x, **options)
        stats = {k: v for k, v in result.stats.items() if k != "tallies"}
        found = activity(self._counters, result)
        for layer, tally in self._clipped.items():
            found[layer]["clipped"] = int(result.stats["tallies"][tally].item())
        return replace(result, stats={**stats, "activity": found})


class _Build:
    """The plan of the CPU backend, with tiles in place of weights."""

    def __init__(
        self,
        graph: Graph,
        timesteps: int,
        chip: Chip,
        ranges: Mapping[str, NDArray[Any]],
        parts: PartsOfLayers,
    ) -> None:
        self._graph, self._chip, self._ranges, self._parts = graph, chip, ranges, parts
        plan, self._own, self.counters = counted_plan(graph, timesteps, chip)
        self._blob = Blob()
        self._matrices = {matrix.layer: matrix for matrix in placed_matrices(graph, chip)}
        self._bounds = magnitudes(graph)
        self._tensors = list(plan.tensors)
        self._growth, self._fits = 1, True
        self.clipped: dict[str, str] = {}
        self.sample_keys: SampleKeys | None = None
        steps = [*plan.steps[: plan.analog], *map(self._step, plan.steps[plan.analog :])]
        longest = plan.longest // self._growth
        self.plan = replace(plan, tensors=tuple(self._tensors), steps=tuple(steps), longest=longest)
        self.longest = longest if self._fits else 0

    def weights(self) -> bytes:
        """The constants of the plan."""
        return self._own + self._blob.content()

    def _step(self, step: Step) -> Step:
        if not isinstance(step.kernel, Conv | Depthwise):
            return step
        name = self._tensors[step.output].name
        matrix = self._matrices[name]
        layer = programmed(matrix, self._chip, self._ranges.get(name), self._parts.get(name))
        events = self._graph.type_of(self._graph.inputs_of(name)[0])
        reach = _reach(layer, matrix, self._chip, events.levels)
        self._fits = self._fits and _fits(layer, self._chip)
        self._growth = max(self._growth, -(-reach // max(1, self._bounds[name])))
        kernel = _kernel(step.kernel, layer, events, matrix, self._chip, reach)
        self.clipped[name] = self._graph.fresh(f"{name}.clipped")
        tally = Tensor(self.clipped[name], (1,), "f64", kernel.constant, TALLY)
        number = self._tensor(tally)
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
        code = self._chip.matrix(matrix.outputs)
        columns = np.argsort(line_order(code))
        arrays: dict[str, NDArray[Any]] = {
            "cells": layer.cells[..., columns],
            "gain": layer.gains[..., columns],
            "worth": (layer.steps * factors(code))[..., columns],
        }
        if kernel.partly:
            arrays["place"] = np.stack([each.places(matrix.rows) for each in layer.orders])
        if matrix.left_out:
            arrays["column"] = np.full(matrix.all_outputs, -1)
            arrays["column"][matrix.places] = np.arange(matrix.outputs)
        if layer.variances is not None:
            arrays["variance"] = layer.variances[..., columns]
            key = np.array([stream(0, layer_key(matrix.layer))], np.uint64)
            arrays["layer"] = key.view(np.int64)
        kinds = kernel.arrays()
        places = {name: self._blob.add(a, kinds[name].dtype) for name, a in arrays.items()}
        offsets = {name: len(self._own) + place for name, place in places.items()}
        return offsets | ({"bias": step.arrays["bias"]} if kernel.bias != "none" else {})


def _reach(layer: Programmed, matrix: WeightMatrix, chip: Chip, levels: int) -> int:
    """A bound on |y| of the layer, in weights, for events of at most `levels`."""
    code = chip.matrix(matrix.outputs)
    total = float(code.subtracted * matrix.rows << layer.step_bits)
    for block, sums in enumerate(_largest_sums(layer, chip)):
        codes = sums * layer.gains[:, block] + 1
        codes = np.minimum(codes, layer.top) if layer.top else codes
        values = codes * layer.steps[:, block] * np.abs(factors(code))
        total += float(np.sum([values[:, places] for _, places in code.terms], 0).max())
    noise = 1 if layer.variances is None else 2
    return int(total * levels * noise / (1 << layer.step_bits)) + 1


def _largest_sums(layer: Programmed, chip: Chip) -> Iterator[NDArray[np.int64]]:
    """Per conversion (matrices, physical columns): bounds on sums, in 2^-cell_bits levels."""
    for rows in converted_rows(layer.cells.shape[1], chip):
        yield np.abs(layer.cells[:, rows]).sum(1, dtype=np.int64)


def _fits(layer: Programmed, chip: Chip) -> bool:
    """Whether the kernel holds all column sums, and rounds all codes that are not clipped."""
    noise = 1 if layer.variances is None else 2
    for block, sums in enumerate(_largest_sums(layer, chip)):
        codes = 0 if layer.top else (sums * layer.gains[:, block]).max(initial=0) * noise
        if sums.max(initial=0) > LARGEST or codes >= LARGEST_CODE:
            return False
    return True


def _kind(table: NDArray[np.integer]) -> str:
    return "i16" if np.abs(table).max(initial=0) < 1 << 15 else "i32"


def _kernel(
    conv: Conv | Depthwise,
    layer: Programmed,
    events: TensorType,
    matrix: WeightMatrix,
    chip: Chip,
    reach: int,
) -> TileReads:
    code = chip.matrix(matrix.outputs)
    return TileReads(
        **{f.name: getattr(conv, f.name) for f in fields(Windows)},
        bias=conv.bias,
        groups=matrix.groups,
        out_channels=matrix.groups * matrix.all_outputs,
        outputs=matrix.outputs,
        cell=_kind(layer.cells),
        total="i32" if reach << layer.step_bits <= LARGEST // 2 else "i64",
        total_bits=layer.step_bits,
        copies=layer.copies,
        rows=max(1, layer.cells.shape[1]) if chip.analog_sums else chip.rows,
        placed=layer.cells.shape[1],
        partly=any(each.rows is not None for each in layer.orders),
        columns=len(chip.code.columns),
        references=code.physical - matrix.outputs * len(chip.code.columns),
        per_tile=chip.outputs_per_tile,
        subtracted=code.subtracted,
        bits=events.levels.bit_length(),
        signed=events.signed,
        top=layer.top,
        variance="none" if layer.variances is None else _kind(layer.variances),
        variance_bits=layer.variance_bits,
    )
