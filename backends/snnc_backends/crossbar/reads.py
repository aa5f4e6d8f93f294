"""Reading the tiles of one layer: exact column sums, converters, shift and add."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from snnc.ir import Conv, Graph, Linear, TensorType
from snnc.memory import TILE_VALUES, rows_that_fit
from snnc_backends.crossbar.activity import Activity
from snnc_backends.crossbar.bits import phases
from snnc_backends.crossbar.cells import MatrixCode
from snnc_backends.crossbar.chip import Chip
from snnc_backends.crossbar.matrices import WeightMatrix
from snnc_backends.crossbar.tiling import placed_rows, split, word_lines

EXACT_FLOAT32 = 1 << 24


@dataclass(frozen=True)
class RowBlock:
    """The tiles of one row block of every group.

    Attributes:
        rows: their placed rows of the matrix.
        levels: (groups, physical columns + 1, rows of the block); the last column is all ones, so
            that its sum is the number of driven rows.
        line: per group, the number of its word lines among those of the block; a group without
            rows in the block has the number behind the last.
        tiles, columns: per word lines, tiles side by side and their physical columns.
    """

    rows: slice
    levels: Tensor
    line: Tensor
    tiles: Tensor
    columns: Tensor

    def count(self, driven: Tensor, activity: Activity) -> None:
        """Add what is done where (B, groups, positions) rows are driven."""
        batch, groups, positions = driven.shape
        lines = len(self.tiles)
        if lines == groups:
            rows = driven
        else:
            rows = driven.new_zeros(batch, lines + 1, positions)
            rows = rows.index_add_(1, self.line, driven)[:, :lines]
        reading = torch.count_nonzero(rows, (0, 2))
        reads = int(reading @ self.tiles)
        activity.reads += reads
        activity.conversions += int(reading @ self.columns)
        activity.skipped_reads += batch * positions * int(self.tiles.sum()) - reads
        activity.rows_driven += int(rows.sum((0, 2), dtype=torch.float64) @ self.tiles.double())


@dataclass(frozen=True)
class PlacedOrder:
    """The placed rows of every group, one behind the other; the rest are padding.

    Attributes:
        rows: (groups, most placed rows) row of the group; None where every row is placed.
        placed: (groups, most placed rows) whether there is a row.
    """

    rows: NDArray[np.intp] | None
    placed: NDArray[np.bool_]

    @classmethod
    def of(cls, matrix: WeightMatrix, chip: Chip) -> PlacedOrder:
        """That of a layer."""
        found = placed_rows(matrix, chip)
        shape = matrix.groups, max(map(len, found))
        placed = np.arange(shape[1]) < np.array([[len(each)] for each in found])
        if shape[1] == matrix.rows and placed.all():
            return cls(None, placed)
        rows = np.zeros(shape, np.intp)
        rows[placed] = np.concatenate(found)
        return cls(rows, placed)

    def levels(self, cells: NDArray[Any]) -> NDArray[Any]:
        """(groups, physical columns + 1, placed rows) of cells (groups, rows, physical columns).

        The last column is all ones.
        """
        ones = np.ones((*cells.shape[:2], 1), cells.dtype)
        lines = np.concatenate([cells, ones], axis=2)
        if self.rows is not None:
            lines = np.take_along_axis(lines, self.rows[:, :, None], 1) * self.placed[:, :, None]
        return lines.transpose(0, 2, 1)

    def inputs(self, rows: Tensor) -> Tensor:
        """Placed rows (B, groups, placed rows, positions) of all (B, groups, rows, positions)."""
        if self.rows is None:
            return rows
        index = torch.from_numpy(self.rows)[None, :, :, None]
        return torch.take_along_dim(rows, index, 2)


@dataclass(frozen=True)
class LayerTiles:
    """All tiles of a layer.

    Column sum of row block b and physical column p: s[b,p] = sum over rows of level * bit, an exact
    integer. y[o] = sum over phases f, row blocks b and the columns p of output o of
    worth[f] * polarity[p] * significance[p] * ADC(s[b,p]), p the reference columns included. What
    the code subtracts digitally is taken off for every driven row.

    Attributes:
        dtype: float32 if all partial sums are integers below 2^24, so exact in any order; else
            float64. Partial sums are at most levels * sum of |w| of an output, and twice the shift
            of the code for every row; of cells that are not ideal they are multiples of
            `chip.READ_STEP`.
        order: which rows are placed.
    """

    op: Conv | Linear
    events: TensorType
    result: TensorType
    matrix: WeightMatrix
    chip: Chip
    dtype: torch.dtype
    order: PlacedOrder
    blocks: tuple[RowBlock, ...]

    @property
    def code(self) -> MatrixCode:
        """Its physical columns."""
        return self.chip.matrix(self.matrix.outputs)

    @cached_property
    def terms(self) -> tuple[tuple[int, Tensor], ...]:
        """(factor, physical column of every output); see `MatrixCode.terms`."""
        return tuple((factor, torch.from_numpy(place)) for factor, place in self.code.terms)

    def currents(self, x: Tensor, activity: Activity) -> Tensor:
        """Output currents (B, *result), without the bias, for events (B, *sample)."""
        inputs = self.matrix.groups * max(self.matrix.rows, self.code.physical + 1)
        at_once = rows_that_fit(TILE_VALUES, inputs * self._positions())
        return torch.cat([self._part(part, activity) for part in x.split(at_once)])

    def _positions(self) -> int:
        """Output positions per sample: how often the matrix is applied."""
        return self.result.size // (self.matrix.groups * self.matrix.outputs)

    def _part(self, x: Tensor, activity: Activity) -> Tensor:
        total: Tensor | None = None
        for phase in phases(x, self.events, self.dtype):
            if phase.bits is None:
                tiles = sum(int(block.tiles.sum()) for block in self.blocks)
                activity.skipped_reads += len(x) * self._positions() * tiles
                continue
            inputs = self._unfold(phase.bits)
            if total is None:
                shape = (*inputs.shape[:2], self.matrix.outputs, inputs.shape[-1])
                total = inputs.new_zeros(shape)
            inputs = self.order.inputs(inputs)
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
        block.count(driven, activity)
        codes = self.chip.converter(sums[:, :, :-1])
        for factor, columns in self.terms:
            total.add_(codes[:, :, columns], alpha=worth * factor)
        if self.code.subtracted:
            total.sub_(driven[:, :, None], alpha=worth * self.code.subtracted)


def layer_tiles(graph: Graph, matrix: WeightMatrix, chip: Chip) -> LayerTiles:
    """The tiles of one layer of an integer graph, programmed as the chip's device does it."""
    node = graph.node(matrix.layer)
    op = node.op
    assert isinstance(op, Conv | Linear)
    events = graph.type_of(graph.inputs_of(matrix.layer)[0])
    largest = int(np.abs(matrix.weights.astype(np.int64)).sum(1).max())
    reach = (largest + 2 * chip.code.shift * matrix.rows) * events.levels
    narrow = chip.device.facts.ideal and max(reach, matrix.rows) < EXACT_FLOAT32
    dtype = torch.float32 if narrow else torch.float64
    cells = chip.cells_of(matrix.layer, matrix.weights)
    order = PlacedOrder.of(matrix, chip)
    lines = torch.from_numpy(order.levels(cells)).to(dtype)
    blocks = tuple(_row_blocks(lines, matrix, chip))
    result = graph.type_of(matrix.layer)
    return LayerTiles(op, events, result, matrix, chip, dtype, order, blocks)


def _row_blocks(lines: Tensor, matrix: WeightMatrix, chip: Chip) -> Iterator[RowBlock]:
    """Of levels (groups, physical columns + 1, placed rows)."""
    code, every = chip.matrix(matrix.outputs), word_lines(matrix, chip)
    for start, size in split(lines.shape[2], chip.rows):
        rows, own = slice(start, start + size), [w for w in every if w.first_row == start]
        line = torch.full((matrix.groups,), len(own))
        for number, each in enumerate(own):
            line[each.group : each.group + each.groups] = number
        tiles = torch.tensor([code.tiles if each.groups == 1 else 1 for each in own])
        columns = torch.tensor([each.groups * code.physical for each in own])
        yield RowBlock(rows, lines[:, :, rows].contiguous(), line, tiles, columns)
