"""A layer on a chip: its cells as they are read, and the converters behind its columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from snnc_backends.crossbar.chip import Chip
from snnc_backends.crossbar.matrices import WeightMatrix
from snnc_backends.crossbar.tiling import split
from snnc_backends.crossbar.wires import effective_us

CELL_BITS = 10
"""Binary places to which cells that are not ideal are rounded, in levels: far below any error of a
device, so that sums of cells are exact and do not depend on the order."""
FAULTS = 1
"""Third number of the seed of stuck cells, which so do not depend on the device."""


@dataclass(frozen=True)
class Programmed:
    """A layer on a chip.

    Attributes:
        cells: (groups, rows, physical columns), whole multiples of 2^-cell_bits levels.
        cell_bits: 0 for ideal cells.
        variances: of the noise of one read of a cell, in 2^-10 squared levels; None without noise.
        gains: (groups, row blocks, physical columns) float32; the code of a column is its sum of
            cells times its gain, rounded half to even, clipped to 0..top unless top is 0.
        steps: likewise int32, the levels a code stands for, in 2^-step_bits levels.
        top, step_bits: see `converters.Converter`.
    """

    cells: NDArray[np.integer]
    cell_bits: int
    variances: NDArray[np.int32] | None
    gains: NDArray[np.float32]
    steps: NDArray[np.int32]
    top: int
    step_bits: int


def programmed(matrix: WeightMatrix, chip: Chip, ranges: NDArray[Any] | None) -> Programmed:
    """Program a layer: one seed and one name of a layer give the same cells.

    Args:
        ranges: (row blocks, columns of a weight): the sum, in levels, at the largest code of the
            converters; None for ideal ones.
    """
    cells = _cells(matrix, chip)
    groups, _, physical = cells.values.shape
    blocks = len(row_blocks(matrix, chip))
    if ranges is None:
        ranges = np.ones((blocks, len(chip.columns)))
    steps = chip.converter.steps(np.tile(ranges, physical // ranges.shape[1]))
    gains = 2.0 ** (chip.converter.step_bits - cells.bits) / steps
    gains = gains * _factors(cells, matrix, chip)
    shape = (groups, blocks, physical)
    return Programmed(
        cells=cells.values,
        cell_bits=cells.bits,
        variances=cells.variances,
        gains=np.broadcast_to(gains, shape).astype(np.float32),
        steps=np.broadcast_to(steps, shape),
        top=chip.converter.top,
        step_bits=chip.converter.step_bits,
    )


def layer_key(layer: str) -> int:
    """The number of a layer's random streams: 32 bits, from its name."""
    return crc32(layer.encode())


def row_blocks(matrix: WeightMatrix, chip: Chip) -> list[slice]:
    """The rows of every row block of a matrix."""
    return [slice(start, start + size) for start, size in split(matrix.rows, chip.rows)]


class _Cells(NamedTuple):
    """Cells, in 2^-bits levels, and the variances of their reads, in 2^-10 squared levels."""

    values: NDArray[np.integer]
    bits: int
    variances: NDArray[np.int32] | None


def _cells(matrix: WeightMatrix, chip: Chip) -> _Cells:
    if chip.exact_cells:
        return _Cells(chip.levels(matrix.weights), 0, None)
    after = chip.device.facts.read_after_s
    key = [chip.seed, layer_key(matrix.layer)]
    faults = np.random.default_rng([*key, FAULTS])
    aged = chip.aged_us(matrix.weights, np.random.default_rng(key), faults, after)
    noise = chip.noise_in_levels(aged, after)
    variances = None if noise is None else _whole(np.square(noise))
    wired = _wired(aged, matrix, chip) if chip.imperfections.wire_ohm else aged
    return _Cells(_whole(chip.in_levels(wired)), CELL_BITS, variances)


def _whole(values: NDArray[np.float64]) -> NDArray[np.int32]:
    return np.rint(values * (1 << CELL_BITS)).astype(np.int32)


def _wired(
    conductances_us: NDArray[np.float32], matrix: WeightMatrix, chip: Chip
) -> NDArray[np.float64]:
    """The effective conductances, tile by tile."""
    result = np.empty(conductances_us.shape)
    width = chip.outputs_per_tile * len(chip.columns)
    for group, whole in enumerate(conductances_us):
        for rows in row_blocks(matrix, chip):
            below = chip.rows - (rows.stop - rows.start)
            for start in range(0, whole.shape[1], width):
                place = slice(start, start + width)
                tile = whole[rows, place]
                found = effective_us(tile, chip.imperfections.wire_ohm, below)
                result[group, rows, place] = found
    return result


def _factors(cells: _Cells, matrix: WeightMatrix, chip: Chip) -> NDArray[np.float64]:
    """(groups, row blocks, physical columns): what the compensation multiplies gains with."""
    levels = chip.levels(matrix.weights)
    sums = [
        np.stack([table[:, rows].sum(1, dtype=np.float64) for rows in row_blocks(matrix, chip)], 1)
        for table in (levels, cells.values)
    ]
    found = sums[1] / (1 << cells.bits)
    return chip.imperfections.factors(sums[0], found, chip.largest_level)
