"""The cells of a layer as they are read, and what is converted at once, for the interpreter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from snnc_backends.crossbar.chip import Chip
from snnc_backends.crossbar.mapping.matrices import WeightMatrix
from snnc_backends.crossbar.mapping.tiling import split, word_lines
from snnc_backends.crossbar.reading.activity import Activity
from snnc_backends.crossbar.reading.programmed import Programmed


@dataclass(frozen=True)
class RowBlock:
    """The tiles of one row block of every group, of one copy of the layer.

    Attributes:
        rows: their placed rows of the matrix.
        levels: (groups, physical columns + 1, rows of the block); the last column has a one for
            every row that there is, so that its sum is the number of driven rows.
        variances: (groups, physical columns, rows of the block), or None.
        line: per group, the number of its word lines among those of the block; a group without
            rows in the block has the number behind the last.
        tiles, columns: per word lines, tiles side by side and their physical columns.
    """

    rows: slice
    levels: Tensor
    variances: Tensor | None
    line: Tensor
    tiles: Tensor
    columns: Tensor

    def driven(self, rows: Tensor) -> Tensor:
        """Driven rows (B, word lines, positions) of those of groups, (B, groups, positions)."""
        batch, groups, positions = rows.shape
        lines = len(self.tiles)
        if lines == groups:
            return rows
        found = rows.new_zeros(batch, lines + 1, positions)
        return found.index_add_(1, self.line, rows)[:, :lines]

    def count_reads(self, rows: Tensor, activity: Activity) -> None:
        """Add what is read where (B, groups, positions) rows are driven."""
        batch, _, positions = rows.shape
        driven = self.driven(rows)
        reads = int(torch.count_nonzero(driven, (0, 2)) @ self.tiles)
        activity.reads += reads
        activity.skipped_reads += batch * positions * int(self.tiles.sum()) - reads
        activity.rows_driven += int(driven.sum((0, 2), dtype=torch.float64) @ self.tiles.double())

    def conversions(self, rows: Tensor) -> int:
        """Columns of its tiles where any of (B, groups, positions) rows is driven."""
        return int(torch.count_nonzero(self.driven(rows), (0, 2)) @ self.columns)


@dataclass(frozen=True)
class Conversion:
    """Row blocks whose column sums are converted at once: one or, as currents, all of a copy.

    Attributes:
        number: of the conversion.
        blocks: the row blocks; every group with rows has some in the first one.
        gains, steps: (groups, physical columns, 1) of the converters; see `Programmed`.
    """

    number: int
    blocks: tuple[RowBlock, ...]
    gains: Tensor
    steps: Tensor

    @property
    def tiles(self) -> int:
        """Tiles that are read where all rows are driven."""
        return sum(int(block.tiles.sum()) for block in self.blocks)

    def sums(self, inputs: Tensor, activity: Activity) -> tuple[Tensor, Tensor | None]:
        """Column sums with the number of driven rows behind them, and the variances of the sums.

        Args:
            inputs: (B, groups, placed rows, positions).
            activity: what is done is added to it.
        """
        total, spread = None, None
        for block in self.blocks:
            rows = inputs[:, :, block.rows]
            own = _sums(block.levels, rows)
            block.count_reads(own[:, :, -1], activity)
            total = own if total is None else total.add_(own)
            if block.variances is not None:
                noise = _sums(block.variances, rows)
                spread = noise if spread is None else spread.add_(noise)
        assert total is not None
        activity.conversions += self.blocks[0].conversions(total[:, :, -1])
        return total, spread


def _sums(lines: Tensor, inputs: Tensor) -> Tensor:
    """(B, groups, lines, positions): lines (groups, lines, rows) times inputs, sample by sample."""
    sums = inputs.new_empty((*inputs.shape[:2], lines.shape[1], inputs.shape[-1]))
    for sample_sums, sample in zip(sums, inputs, strict=True):
        torch.matmul(lines, sample, out=sample_sums)
    return sums


def layer_conversions(
    layer: Programmed, copy: int, dtype: torch.dtype, matrix: WeightMatrix, chip: Chip
) -> Iterator[Conversion]:
    """Those of one copy of a layer."""
    blocks = tuple(_row_blocks(layer, copy, dtype, matrix, chip))
    own = slice(copy * matrix.groups, (copy + 1) * matrix.groups)
    gains, steps = (
        torch.from_numpy(each[own, :, :, None].copy()) for each in (layer.gains, layer.steps)
    )
    for number in range(gains.shape[1]):
        added = blocks if chip.analog_sums else (blocks[number],)
        yield Conversion(number, added, gains[:, number], steps[:, number])


def _row_blocks(
    layer: Programmed, copy: int, dtype: torch.dtype, matrix: WeightMatrix, chip: Chip
) -> Iterator[RowBlock]:
    code, every = chip.matrix(matrix.outputs), word_lines(matrix, chip)
    own_matrices = slice(copy * matrix.groups, (copy + 1) * matrix.groups)
    ones = layer.orders[copy].placed[:, :, None].astype(layer.cells.dtype)
    cells = np.concatenate([layer.cells[own_matrices], ones], axis=2)
    lines = torch.from_numpy(cells.transpose(0, 2, 1)).to(dtype)
    spread = None
    if layer.variances is not None:
        spread = torch.from_numpy(layer.variances[own_matrices].transpose(0, 2, 1)).to(dtype)
    for start, size in split(lines.shape[2], chip.rows):
        rows, own = slice(start, start + size), [w for w in every if w.first_row == start]
        line = torch.full((matrix.groups,), len(own))
        for number, each in enumerate(own):
            line[each.group : each.group + each.groups] = number
        yield RowBlock(
            rows,
            lines[:, :, rows].contiguous(),
            None if spread is None else spread[:, :, rows],
            line,
            torch.tensor([code.tiles if each.groups == 1 else 1 for each in own]),
            torch.tensor([each.filled * code.physical for each in own]),
        )
