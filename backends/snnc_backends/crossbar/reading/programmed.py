"""A layer on a chip: its cells as they are read, and the converters behind its columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from snnc_backends.crossbar.cells import MatrixCode
from snnc_backends.crossbar.chip import Chip
from snnc_backends.crossbar.mapping.matrices import WeightMatrix
from snnc_backends.crossbar.mapping.placed_order import PlacedOrder
from snnc_backends.crossbar.mapping.tiling import parts, split
from snnc_backends.crossbar.reading.wires import effective_us

CELL_BITS = 10
"""Binary places to which cells that are not ideal are rounded, in levels: far below any error of a
device, so that sums of cells are exact and do not depend on the order."""
VARIANCE_BITS = (20, 10)
"""Binary places of variances: even, so that the root of the unit is a power of two."""
LARGEST_SUM = 2.0**31
FAULTS = 1
"""Third number of the seed of stuck cells, which so do not depend on the device."""


@dataclass(frozen=True)
class Programmed:
    """A layer on a chip.

    Attributes:
        order: which rows are placed.
        cells: (groups, placed rows, physical columns), whole multiples of 2^-cell_bits levels.
        cell_bits: 0 for ideal cells.
        variances: of the noise of one read of a cell, in 2^-variance_bits squared levels; None
            without noise.
        variance_bits: 20, or 10 where sums would not fit 31 bits.
        gains: (groups, row blocks, physical columns) float32; the code of a column is its sum of
            cells times its gain, rounded half to even, clipped to 0..top unless top is 0.
        steps: likewise int32, the levels a code stands for, in 2^-step_bits levels.
        top, step_bits: see `converters.Converter`.
    """

    order: PlacedOrder
    cells: NDArray[np.integer]
    cell_bits: int
    variances: NDArray[np.int32] | None
    variance_bits: int
    gains: NDArray[np.float32]
    steps: NDArray[np.int32]
    top: int
    step_bits: int


def programmed(matrix: WeightMatrix, chip: Chip, ranges: NDArray[Any] | None) -> Programmed:
    """Program a layer: one seed and one name of a layer give the same cells.

    Args:
        ranges: (row blocks, terms of an output): the sum, in levels, at the largest code of the
            converters; None for ideal ones. Terms are those of `cells.MatrixCode`.
    """
    order, code = PlacedOrder.of(matrix, chip), chip.matrix(matrix.outputs)
    cells = _cells(matrix, chip)
    variances, variance_bits = None, 0
    if cells.variances is not None:
        variances, variance_bits = _whole_variances(order.of_cells(cells.variances), chip.rows)
    values = order.of_cells(cells.values)
    levels = order.of_cells(chip.values(matrix.weights))
    blocks = row_blocks(values.shape[1], chip)
    if ranges is None:
        ranges = np.ones((len(blocks), len(code.terms)))
    steps = chip.converter.steps(ranges[:, term_of_column(code)])
    wanted, found = block_sums(levels, blocks), block_sums(values, blocks) / (1 << cells.bits)
    again = chip.imperfections.factors(wanted, found, chip.largest_level)
    gains = 2.0 ** (chip.converter.step_bits - cells.bits) / steps * again
    return Programmed(
        order=order,
        cells=values,
        cell_bits=cells.bits,
        variances=variances,
        variance_bits=variance_bits,
        gains=gains.astype(np.float32),
        steps=np.broadcast_to(steps, gains.shape),
        top=chip.converter.top,
        step_bits=chip.converter.step_bits,
    )


def layer_key(layer: str) -> int:
    """The number of a layer's random streams: 32 bits, from its name."""
    return crc32(layer.encode())


def row_blocks(placed: int, chip: Chip) -> list[slice]:
    """The placed rows of every row block."""
    return [slice(start, start + size) for start, size in split(placed, chip.rows)]


def block_sums(cells: NDArray[Any], blocks: Sequence[slice]) -> NDArray[np.float64]:
    """(groups, row blocks, columns): sums of cells (groups, placed rows, columns)."""
    sums = np.zeros((len(cells), len(blocks), cells.shape[2]))
    for number, rows in enumerate(blocks):
        sums[:, number] = cells[:, rows].sum(1, dtype=np.float64)
    return sums


def term_of_column(code: MatrixCode) -> NDArray[np.intp]:
    """(physical columns,): the term of an output that a column is."""
    terms = np.zeros(code.physical, np.intp)
    for number, (_, places) in enumerate(code.terms):
        terms[places] = number
    return terms


def factors(code: MatrixCode) -> NDArray[np.int64]:
    """(physical columns,): what an output has of a column."""
    found = np.zeros(code.physical, np.int64)
    for factor, places in code.terms:
        found[places] = factor
    return found


def line_order(code: MatrixCode) -> NDArray[np.intp]:
    """(physical columns,): their numbers in the order in which kernels have them.

    First the columns of a weight, each for all outputs, then the references.
    """
    places = [np.unique(place) for _, place in code.terms]
    order = np.empty(code.physical, np.intp)
    order[np.concatenate(places)] = np.arange(code.physical)
    return order


class _Cells(NamedTuple):
    """Cells, in 2^-bits levels, and the variances of their reads, in squared levels."""

    values: NDArray[np.integer]
    bits: int
    variances: NDArray[np.float64] | None


def _cells(matrix: WeightMatrix, chip: Chip) -> _Cells:
    """Of all rows (groups, rows, physical columns), placed or not."""
    if chip.exact_cells:
        return _Cells(chip.values(matrix.weights), 0, None)
    after = chip.device.facts.read_after_s
    key = [chip.seed, layer_key(matrix.layer)]
    faults = np.random.default_rng([*key, FAULTS])
    aged = chip.aged_us(matrix.weights, np.random.default_rng(key), faults, after)
    noise = chip.noise_in_levels(aged, after)
    variances = None if noise is None else np.square(noise)
    wired = _wired(aged, matrix, chip) if chip.imperfections.wire_ohm else aged
    return _Cells(_whole(chip.in_levels(wired)), CELL_BITS, variances)


def _whole(values: NDArray[np.float64]) -> NDArray[np.int32]:
    return np.rint(values * (1 << CELL_BITS)).astype(np.int32)


def _whole_variances(values: NDArray[np.float64], rows: int) -> tuple[NDArray[np.int32], int]:
    """Whole multiples of 2^-bits, and the bits: as many as sums over a row block allow."""
    largest = float(values.max(initial=0)) * rows
    bits = next((bits for bits in VARIANCE_BITS if largest * (1 << bits) < LARGEST_SUM), 0)
    return np.rint(values * (1 << bits)).astype(np.int32), bits


def _wired(
    conductances_us: NDArray[np.float32], matrix: WeightMatrix, chip: Chip
) -> NDArray[np.float64]:
    """The effective conductances, part by part of a tile."""
    result = np.empty(conductances_us.shape)
    for part in parts(matrix, chip):
        rows = slice(part.first_row, part.first_row + part.rows)
        place = part.group, rows, slice(part.first_col, part.first_col + part.cols)
        below = chip.rows - part.rows
        result[place] = effective_us(conductances_us[place], chip.imperfections.wire_ohm, below)
    return result
