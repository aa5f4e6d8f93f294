"""Reading the tiles of one layer with matrix products: column sums, converters, shift and add."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from snnc.interp import Run
from snnc.ir import Conv, Graph, Linear, TensorType
from snnc.memory import TILE_VALUES, rows_that_fit
from snnc_backends.crossbar.activity import Activity
from snnc_backends.crossbar.bits import phases
from snnc_backends.crossbar.chip import Chip
from snnc_backends.crossbar.column_noise import GOLDEN, noisy, stream
from snnc_backends.crossbar.matrices import WeightMatrix
from snnc_backends.crossbar.programmed import Programmed, layer_key, programmed, row_blocks

EXACT_FLOAT32 = 1 << 24
Observe = Callable[[str, int, Tensor], None]
"""Called with the layer, the number of a row block and column sums (…, columns, positions)."""


@dataclass(frozen=True)
class Samples:
    """Which samples events are of: (N,) identities and steps."""

    identities: NDArray[np.int64]
    steps: NDArray[np.int64]

    @classmethod
    def of(cls, lead: Sequence[int], run: Run | None) -> Samples:
        """Those of events (steps, samples, …) of a run, flattened."""
        steps, count = lead
        ids = np.arange(count) if run is None or run.sample_ids is None else run.sample_ids
        return cls(np.tile(ids, steps), np.repeat(np.arange(steps), count))

    def split(self, size: int) -> list[Samples]:
        """In parts of `size`."""
        places = [slice(i, i + size) for i in range(0, len(self.steps), size)]
        return [Samples(self.identities[place], self.steps[place]) for place in places]


@dataclass(frozen=True)
class RowBlock:
    """The tiles of one row block, side by side.

    Attributes:
        number: of the block.
        rows: their rows of the matrix.
        lines: (groups, physical columns + 1, rows of the block); the last column is all ones, so
            that its sum is the number of driven rows.
        variances: (groups, physical columns, rows of the block), or None.
    """

    number: int
    rows: slice
    lines: Tensor
    variances: Tensor | None


@dataclass(frozen=True)
class LayerTiles:
    """All tiles of a layer.

    Column sum of row block b and physical column p: s[b,p] = sum over rows of cell * bit, exact.
    y[o] = sum over phases f, row blocks b and the columns p of output o of
    worth[f] * polarity[p] * significance[p] * ADC(s[b,p]).
    """

    op: Conv | Linear
    events: TensorType
    result: TensorType
    matrix: WeightMatrix
    chip: Chip
    layer: Programmed
    blocks: tuple[RowBlock, ...]
    observe: Observe | None

    @property
    def dtype(self) -> torch.dtype:
        """float32 if all partial sums are integers below 2^24, so exact in any order; else float64.

        Partial sums are at most levels * sum of |w| of an output; what is not ideal is computed in
        float64, in multiples of a small fraction of a level.
        """
        return self.blocks[0].lines.dtype

    @property
    def column_blocks(self) -> int:
        """Tiles per row block and group."""
        return -(-self.matrix.outputs // self.chip.outputs_per_tile)

    def currents(self, x: Tensor, samples: Samples, activity: Activity) -> Tensor:
        """Output currents (B, *result), without the bias, for events (B, *sample)."""
        inputs = self.matrix.groups * max(self.matrix.rows, self.blocks[0].lines.shape[1])
        at_once = rows_that_fit(TILE_VALUES, inputs * self._positions())
        parts = zip(x.split(at_once), samples.split(at_once), strict=True)
        return torch.cat([self._part(part, which, activity) for part, which in parts])

    def _positions(self) -> int:
        """Output positions per sample: how often the matrix is applied."""
        return self.result.size // (self.matrix.groups * self.matrix.outputs)

    def _part(self, x: Tensor, samples: Samples, activity: Activity) -> Tensor:
        total: Tensor | None = None
        count = self.events.levels.bit_length() * (2 if self.events.signed else 1)
        reads = self._first_reads(samples) * count * len(self.blocks)
        for number, phase in enumerate(phases(x, self.events, self.dtype)):
            if phase.bits is None:
                tiles = self.matrix.groups * len(self.blocks) * self.column_blocks
                activity.skipped_reads += len(x) * self._positions() * tiles
                continue
            inputs = self._unfold(phase.bits)
            if total is None:
                shape = (*inputs.shape[:2], self.matrix.outputs, inputs.shape[-1])
                total = inputs.new_zeros(shape)
            for block in self.blocks:
                read = reads + (number * len(self.blocks) + block.number)
                keys = self._keys(samples, read)
                rows = inputs[:, :, block.rows]
                self._read(block, rows, keys, phase.worth, total, activity)
        if total is None:
            return torch.zeros(len(x), *self.result.shape, dtype=self.dtype)
        if self.layer.step_bits:
            total = total.mul_(2.0**-self.layer.step_bits).round_()
        y = total[0, 0].T if isinstance(self.op, Linear) else total
        return y.reshape(len(x), *self.result.shape)

    def _first_reads(self, samples: Samples) -> NDArray[np.int64]:
        """(B, groups, positions): steps, positions and groups counted through."""
        positions, groups = self._positions(), self.matrix.groups
        place = np.arange(positions) * groups + np.arange(groups)[:, None]
        return samples.steps[:, None, None] * (positions * groups) + place

    def _keys(self, samples: Samples, read: NDArray[np.int64]) -> NDArray[np.uint64]:
        """The keys of reads; see `column_noise.noisy`."""
        own = stream(0, layer_key(self.matrix.layer))
        keys = [stream(self.chip.seed, int(sample)) ^ own for sample in samples.identities]
        first = np.array(keys, np.uint64)[:, None, None]
        return first + np.uint64(GOLDEN) * (read + 1).astype(np.uint64)

    def _unfold(self, bits: Tensor) -> Tensor:
        """(B, groups, rows, positions) of a convolution; (1, 1, rows, B) of a Linear."""
        op = self.op
        if isinstance(op, Linear):
            return bits.T[None, None]
        around = [amount for pair in reversed(op.padding) for amount in pair]
        padded = F.pad(bits, around).contiguous()
        outer, inner = padded.stride()[:2], padded.stride()[2:]
        size = (*padded.shape[:2], *self.matrix.kernel, *self.result.shape[1:])
        steps = [s * d for s, d in zip(inner, op.dilation, strict=True)]
        jumps = [s * j for s, j in zip(inner, op.stride, strict=True)]
        windows = padded.as_strided(size, (*outer, *steps, *jumps))
        return windows.reshape(len(bits), self.matrix.groups, self.matrix.rows, -1)

    def _read(
        self,
        block: RowBlock,
        inputs: Tensor,
        keys: NDArray[np.uint64],
        worth: int,
        total: Tensor,
        activity: Activity,
    ) -> None:
        """Read one row block at all positions of (B, groups, rows, positions); add to `total`."""
        lines = block.lines.shape[1]
        sums = _sums(block.lines, inputs)
        driven = sums[:, :, -1]
        reading = int(torch.count_nonzero(driven))
        activity.reads += reading * self.column_blocks
        activity.conversions += reading * (lines - 1)
        activity.skipped_reads += (driven.numel() - reading) * self.column_blocks
        activity.rows_driven += int(driven.sum(dtype=torch.float64)) * self.column_blocks
        values = self._convert(block, sums[:, :, :-1], inputs, keys, activity)
        values = values.unflatten(2, (self.matrix.outputs, -1))
        for i, column in enumerate(self.chip.columns):
            factor = worth * column.polarity * column.significance
            total.add_(values[:, :, :, i], alpha=factor)

    def _convert(
        self,
        block: RowBlock,
        sums: Tensor,
        inputs: Tensor,
        keys: NDArray[np.uint64],
        activity: Activity,
    ) -> Tensor:
        """What the codes of column sums stand for, in 2^-step_bits levels."""
        if self.observe is not None:
            self.observe(self.matrix.layer, block.number, sums)
        if self.chip.exact:
            return sums
        layer, outputs = self.layer, self.matrix.outputs
        values = sums.to(torch.float32)
        if block.variances is not None:
            order = np.arange(sums.shape[2])
            columns = sums.shape[2] // outputs
            order = order % columns * outputs + order // columns
            spread = _sums(block.variances, inputs).numpy()
            keys = (
                keys.transpose(1, 2, 0)[None] if isinstance(self.op, Linear) else keys[:, :, None]
            )
            found = noisy(values.numpy(), spread, keys, order[:, None])
            values = torch.from_numpy(found)
        values = values * torch.from_numpy(layer.gains[:, block.number].copy())[:, :, None]
        if layer.top:
            outside = (values < -0.5) | (values > layer.top + 0.5)
            activity.clipped += int(torch.count_nonzero(outside))
            values = values.clamp(0, layer.top)
        steps = torch.from_numpy(layer.steps[:, block.number].copy())[:, :, None]
        return values.round().to(self.dtype) * steps


def _sums(lines: Tensor, inputs: Tensor) -> Tensor:
    """(B, groups, lines, positions): lines (groups, lines, rows) times inputs, sample by sample."""
    sums = inputs.new_empty((*inputs.shape[:2], lines.shape[1], inputs.shape[-1]))
    for sample_sums, sample in zip(sums, inputs, strict=True):
        torch.matmul(lines, sample, out=sample_sums)
    return sums


def layer_tiles(
    graph: Graph,
    matrix: WeightMatrix,
    chip: Chip,
    ranges: NDArray[np.floating] | None = None,
    observe: Observe | None = None,
) -> LayerTiles:
    """The tiles of one layer of an integer graph, programmed as the chip's device does it."""
    node = graph.node(matrix.layer)
    op = node.op
    assert isinstance(op, Conv | Linear)
    events = graph.type_of(graph.inputs_of(matrix.layer)[0])
    reach = int(np.abs(matrix.weights.astype(np.int64)).sum(1).max()) * events.levels
    narrow = chip.exact and max(reach, matrix.rows) < EXACT_FLOAT32
    dtype = torch.float32 if narrow else torch.float64
    layer = programmed(matrix, chip, ranges)
    cells = layer.cells.transpose(0, 2, 1)
    ones = np.ones((matrix.groups, 1, matrix.rows), cells.dtype)
    lines = torch.from_numpy(np.concatenate([cells, ones], axis=1)).to(dtype)
    spread = None
    if layer.variances is not None:
        spread = torch.from_numpy(layer.variances.transpose(0, 2, 1).copy()).to(dtype)
    blocks = tuple(
        RowBlock(
            number,
            rows,
            lines[:, :, rows].contiguous(),
            None if spread is None else spread[:, :, rows],
        )
        for number, rows in enumerate(row_blocks(matrix, chip))
    )
    result = graph.type_of(matrix.layer)
    return LayerTiles(op, events, result, matrix, chip, layer, blocks, observe)
