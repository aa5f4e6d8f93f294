"""Reading the tiles of one layer: exact column sums, converters, shift and add."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from snnc.ir import Conv, Graph, Linear, TensorType
from snnc.memory import TILE_VALUES, rows_that_fit
from snnc_backends.crossbar.activity import Activity
from snnc_backends.crossbar.bits import phases
from snnc_backends.crossbar.chip import Chip
from snnc_backends.crossbar.matrices import WeightMatrix
from snnc_backends.crossbar.tiling import split

EXACT_FLOAT32 = 1 << 24


@dataclass(frozen=True)
class RowBlock:
    """The tiles of one row block, side by side.

    Attributes:
        rows: their rows of the matrix.
        levels: (groups, physical columns + 1, rows of the block); the last column is all ones, so
            that its sum is the number of driven rows.
    """

    rows: slice
    levels: Tensor


@dataclass(frozen=True)
class LayerTiles:
    """All tiles of a layer.

    Column sum of row block b and physical column p: s[b,p] = sum over rows of level * bit, an exact
    integer. y[o] = sum over phases f, row blocks b and the columns p of output o of
    worth[f] * polarity[p] * significance[p] * ADC(s[b,p]).
    """

    op: Conv | Linear
    events: TensorType
    result: TensorType
    matrix: WeightMatrix
    chip: Chip
    blocks: tuple[RowBlock, ...]

    @property
    def dtype(self) -> torch.dtype:
        """float32 if all partial sums are integers below 2^24, so exact in any order; else float64.

        Partial sums are at most levels * sum of |w| of an output; of cells that are not ideal they
        are multiples of `chip.READ_STEP`.
        """
        return self.blocks[0].levels.dtype

    @property
    def column_blocks(self) -> int:
        """Tiles per row block and group."""
        return -(-self.matrix.outputs // self.chip.outputs_per_tile)

    def currents(self, x: Tensor, activity: Activity) -> Tensor:
        """Output currents (B, *result), without the bias, for events (B, *sample)."""
        inputs = self.matrix.groups * max(self.matrix.rows, self.blocks[0].levels.shape[1])
        at_once = rows_that_fit(TILE_VALUES, inputs * self._positions())
        return torch.cat([self._part(part, activity) for part in x.split(at_once)])

    def _positions(self) -> int:
        """Output positions per sample: how often the matrix is applied."""
        return self.result.size // (self.matrix.groups * self.matrix.outputs)

    def _part(self, x: Tensor, activity: Activity) -> Tensor:
        total: Tensor | None = None
        for phase in phases(x, self.events, self.dtype):
            if phase.bits is None:
                tiles = self.matrix.groups * len(self.blocks) * self.column_blocks
                activity.skipped_reads += len(x) * self._positions() * tiles
                continue
            inputs = self._unfold(phase.bits)
            if total is None:
                shape = (*inputs.shape[:2], self.matrix.outputs, inputs.shape[-1])
                total = inputs.new_zeros(shape)
            for block in self.blocks:
                self._read(block, inputs[:, :, block.rows], phase.worth, total, activity)
        if total is None:
            return torch.zeros(len(x), *self.result.shape, dtype=self.dtype)
        y = total[0, 0].T if isinstance(self.op, Linear) else total
        return y.reshape(len(x), *self.result.shape)

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
        self, block: RowBlock, inputs: Tensor, worth: int, total: Tensor, activity: Activity
    ) -> None:
        """Read one row block at all positions of (B, groups, rows, positions); add to `total`."""
        lines = block.levels.shape[1]
        sums = inputs.new_empty((*inputs.shape[:2], lines, inputs.shape[-1]))
        for sample_sums, sample in zip(sums, inputs, strict=True):
            torch.matmul(block.levels, sample, out=sample_sums)
        driven = sums[:, :, -1]
        reading = int(torch.count_nonzero(driven))
        activity.reads += reading * self.column_blocks
        activity.conversions += reading * (lines - 1)
        activity.skipped_reads += (driven.numel() - reading) * self.column_blocks
        activity.rows_driven += int(driven.sum(dtype=torch.float64)) * self.column_blocks
        codes = self.chip.converter(sums[:, :, :-1]).unflatten(2, (self.matrix.outputs, -1))
        for i, column in enumerate(self.chip.columns):
            factor = worth * column.polarity * column.significance
            total.add_(codes[:, :, :, i], alpha=factor)


def layer_tiles(graph: Graph, matrix: WeightMatrix, chip: Chip) -> LayerTiles:
    """The tiles of one layer of an integer graph, programmed as the chip's device does it."""
    node = graph.node(matrix.layer)
    op = node.op
    assert isinstance(op, Conv | Linear)
    events = graph.type_of(graph.inputs_of(matrix.layer)[0])
    reach = int(np.abs(matrix.weights.astype(np.int64)).sum(1).max()) * events.levels
    narrow = chip.device.facts.ideal and max(reach, matrix.rows) < EXACT_FLOAT32
    dtype = torch.float32 if narrow else torch.float64
    levels = chip.cells_of(matrix.layer, matrix.weights).transpose(0, 2, 1)
    ones = np.ones((matrix.groups, 1, matrix.rows), levels.dtype)
    lines = torch.from_numpy(np.concatenate([levels, ones], axis=1)).to(dtype)
    places = [slice(start, start + size) for start, size in split(matrix.rows, chip.rows)]
    blocks = tuple(RowBlock(rows, lines[:, :, rows].contiguous()) for rows in places)
    return LayerTiles(op, events, graph.type_of(matrix.layer), matrix, chip, blocks)
