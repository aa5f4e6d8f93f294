"""A layer on a chip: its cells as they are read, and the converters behind its columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from snnc.device import ReadNoise, levels_of
from snnc_backends.crossbar.chip import Chip
from snnc_backends.crossbar.matrices import WeightMatrix
from snnc_backends.crossbar.tiling import split

CELL_BITS = 10
"""Binary places to which cells that are not ideal are rounded, in levels: far below any error of a
device, so that sums of cells are exact and do not depend on the order."""


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
    cells, cell_bits, variances = _cells(matrix, chip)
    groups, rows, physical = cells.shape
    blocks = -(-rows // chip.rows)
    if ranges is None:
        ranges = np.ones((blocks, len(chip.columns)))
    steps = chip.converter.steps(np.tile(ranges, physical // ranges.shape[1]))
    gains = 2.0 ** (chip.converter.step_bits - cell_bits) / steps
    shape = (groups, blocks, physical)
    return Programmed(
        cells=cells,
        cell_bits=cell_bits,
        variances=variances,
        gains=np.broadcast_to(gains.astype(np.float32), shape),
        steps=np.broadcast_to(steps, shape),
        top=chip.converter.top,
        step_bits=chip.converter.step_bits,
    )


def layer_key(layer: str) -> int:
    """The number of a layer's random streams: 32 bits, from its name."""
    return crc32(layer.encode())


def _cells(
    matrix: WeightMatrix, chip: Chip
) -> tuple[NDArray[np.integer], int, NDArray[np.int32] | None]:
    """Cells, their binary places, and the variances of their reads."""
    if chip.exact_cells:
        return chip.levels(matrix.weights), 0, None
    device, facts = chip.device, chip.device.facts
    rng = np.random.default_rng([chip.seed, layer_key(matrix.layer)])
    conductances = chip.conductances_us(matrix.weights, rng)
    conductances = device.read(conductances, rng, facts.read_after_s)
    levels = levels_of(conductances, facts, chip.largest_level)
    cells = np.rint(levels * (1 << CELL_BITS)).astype(np.int32)
    variances = None
    if isinstance(device, ReadNoise):
        unit = (facts.g_max_us - facts.g_min_us) / chip.largest_level
        spread = device.read_noise_us(conductances, facts.read_after_s) / unit
        variances = np.rint(np.square(spread, dtype=np.float64) * (1 << CELL_BITS)).astype(np.int32)
    return cells, CELL_BITS, variances


def row_blocks(matrix: WeightMatrix, chip: Chip) -> list[slice]:
    """The rows of every row block of a matrix."""
    return [slice(start, start + size) for start, size in split(matrix.rows, chip.rows)]
