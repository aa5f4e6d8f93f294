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
from snnc_backends.crossbar.mapping.placed_parts import PlacedPart, alone
from snnc_backends.crossbar.mapping.tiling import blocks, split
from snnc_backends.crossbar.reading.wires import effective_us
from snnc_backends.crossbar.remapping import levels_around, rows_around

CELL_BITS = 10
"""Binary places to which cells that are not ideal are rounded, in levels: far below any error of a
device, so that sums of cells are exact and do not depend on the order."""
VARIANCE_BITS = (20, 10)
"""Binary places of variances: even, so that the root of the unit is a power of two."""
LARGEST_SUM = 2.0**31
FAULTS = 1
"""Third number of the seed of stuck cells, which so do not depend on the device."""
COPIES = 2
"""Third number of the seed of copies, from the second one on; the fourth is that of the copy."""


@dataclass(frozen=True)
class Programmed:
    """A layer on a chip.

    Cells and converters of its copies lie behind each other: those of a group are in the copy's
    matrix number copy * groups + group. Copy c serves the output positions p, row by row, with
    p mod copies = c.

    Attributes:
        orders: per copy, which rows are placed, and in which order.
        cells: (matrices, placed rows, physical columns), whole multiples of 2^-cell_bits levels.
        cell_bits: 0 for ideal cells.
        variances: of the noise of one read of a cell, in 2^-variance_bits squared levels; None
            without noise.
        variance_bits: 20, or 10 where sums would not fit 31 bits.
        gains: (matrices, conversions, physical columns) float32, one conversion for the rows of
            every span of `converted_rows`; the code of a column is its sum of
            cells times its gain, rounded half to even, clipped to 0..top unless top is 0.
        steps: likewise int32, the levels a code stands for, in 2^-step_bits levels.
        top, step_bits: see `converters.Converter`.
    """

    orders: tuple[PlacedOrder, ...]
    cells: NDArray[np.integer]
    cell_bits: int
    variances: NDArray[np.int32] | None
    variance_bits: int
    gains: NDArray[np.float32]
    steps: NDArray[np.int32]
    top: int
    step_bits: int

    @property
    def copies(self) -> int:
        """Of the layer; 1 where they are equal."""
        return len(self.orders)


def programmed(
    matrix: WeightMatrix,
    chip: Chip,
    ranges: NDArray[Any] | None,
    parts: Sequence[PlacedPart] | None = None,
) -> Programmed:
    """Program a layer: one seed and one name of a layer give the same cells.

    Args:
        ranges: (conversions, terms of an output): the sum, in levels, at the largest code of the
            converters; None for ideal ones. Terms are those of `cells.MatrixCode`.
        parts: of all copies; None for one copy, each part in the corner of a tile of its own.
    """
    order, code = PlacedOrder.of(matrix, chip), chip.matrix(matrix.outputs)
    cells = _cells(matrix, chip, order, alone(matrix, chip) if parts is None else parts)
    variances, variance_bits = None, 0
    if cells.variances is not None:
        added = cells.variances.shape[1] if chip.analog_sums else chip.rows
        variances, variance_bits = _whole_variances(cells.variances, added)
    values = cells.values
    spans = converted_rows(values.shape[1], chip)
    if ranges is None:
        ranges = np.ones((len(spans), len(code.terms)))
    steps = chip.converter.steps(ranges[:, term_of_column(code)])
    wanted = block_sums(cells.wanted, spans)
    found = block_sums(values, spans) / (1 << cells.bits)
    again = chip.imperfections.factors(wanted, found, chip.largest_level)
    gains = 2.0 ** (chip.converter.step_bits - cells.bits) / steps * again
    return Programmed(
        orders=cells.orders,
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


def converted_rows(placed: int, chip: Chip) -> list[slice]:
    """The placed rows whose sum is converted at once: of a row block, or all of them."""
    if chip.analog_sums and placed:
        return [slice(0, placed)]
    return row_blocks(placed, chip)


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
    """Placed cells (matrices, placed rows, physical columns) of copies.

    Attributes:
        values: in 2^-bits levels.
        wanted: what they are programmed to, in levels.
        variances: of their reads, in squared levels; or None.
        orders: per copy, which rows drive them.
    """

    values: NDArray[np.integer]
    bits: int
    wanted: NDArray[Any]
    variances: NDArray[np.float64] | None
    orders: tuple[PlacedOrder, ...]


def _cells(
    matrix: WeightMatrix, chip: Chip, order: PlacedOrder, parts: Sequence[PlacedPart]
) -> _Cells:
    """The cells of all copies; of one where they are equal."""
    if chip.exact_cells:
        values = order.of_cells(chip.values(matrix.weights))
        return _Cells(values, 0, values, None, (order,))
    copies = 1 + max((each.part.copy for each in parts), default=0)
    made = [_copy(matrix, chip, order, parts, copy) for copy in range(copies)]
    variances = [each.variances for each in made if each.variances is not None]
    return _Cells(
        np.concatenate([each.values for each in made]),
        CELL_BITS,
        np.concatenate([each.wanted for each in made]),
        np.concatenate(variances) if variances else None,
        tuple(each.orders[0] for each in made),
    )


def _copy(
    matrix: WeightMatrix,
    chip: Chip,
    order: PlacedOrder,
    parts: Sequence[PlacedPart],
    copy: int,
) -> _Cells:
    """The cells of one copy, by random numbers of its own."""
    after = chip.device.facts.read_after_s
    key = [chip.seed, layer_key(matrix.layer)]
    own, faulty = ([*key, COPIES, copy], [*key, FAULTS, copy]) if copy else (key, [*key, FAULTS])
    rows, levels = order, chip.levels(matrix.weights)
    wanted = chip.table.values[levels]
    if chip.imperfections.remap and chip.imperfections.faulty:
        faults = chip.imperfections.stuck(levels.shape, np.random.default_rng(faulty))
        rows, levels = around_faults(matrix, chip, order, *faults)
        wanted = np.where(faults[0], chip.table.largest, np.where(faults[1], 0, levels))
    aged = chip.aged_us(levels, np.random.default_rng(own), np.random.default_rng(faulty), after)
    noise = chip.noise_in_levels(aged, after)
    variances = None if noise is None else order.of_cells(np.square(noise))
    if chip.imperfections.wire_ohm:
        of_copy = [each for each in parts if each.part.copy == copy]
        wired = _whole(chip.in_levels(_wired(order.of_cells(aged), of_copy, order, chip)))
        values = wired * order.placed[:, :, None]
    else:
        values = order.of_cells(_whole(chip.in_levels(aged)))
    return _Cells(values, CELL_BITS, order.of_cells(wanted), variances, (rows,))


def around_faults(
    matrix: WeightMatrix,
    chip: Chip,
    order: PlacedOrder,
    on: NDArray[np.bool_],
    off: NDArray[np.bool_],
) -> tuple[PlacedOrder, NDArray[np.unsignedinteger]]:
    """Which rows drive the word lines, and the levels, where stuck cells are known.

    Reference columns are as they are.

    Args:
        on, off: (groups, rows, physical columns) cells that are stuck.

    Returns:
        The order, and levels (groups, rows, physical columns).
    """
    code, rows = chip.matrix(matrix.outputs), order.all_rows
    columns = np.stack([place for _, place in code.terms[: len(code.code.columns)]], -1)
    weights, found = matrix.weights.astype(np.int64), rows.copy()
    for group, count in enumerate(order.placed.sum(1).tolist()):
        lines = rows[group, :count]
        stuck = on[group][lines][:, columns], off[group][lines][:, columns]
        numbers, spans = weights[group][lines] + code.code.shift, row_blocks(count, chip)
        chosen = rows_around(numbers, *stuck, spans, code.code, chip.cell_bits)
        found[group, :count] = lines[chosen]
        weights[group][lines] = weights[group][lines[chosen]]
    levels = chip.levels(weights)
    stuck = on[..., columns], off[..., columns]
    where = (stuck[0] | stuck[1]).any(-1)
    numbers = weights[where] + code.code.shift
    own, _ = levels_around(numbers, stuck[0][where], stuck[1][where], code.code, chip.cell_bits)
    of_weights = levels[..., columns]
    of_weights[where] = own
    levels[..., columns] = of_weights
    return PlacedOrder(found, order.placed), levels


def _whole(values: NDArray[np.float64]) -> NDArray[np.int32]:
    return np.rint(values * (1 << CELL_BITS)).astype(np.int32)


def _whole_variances(values: NDArray[np.float64], rows: int) -> tuple[NDArray[np.int32], int]:
    """Whole multiples of 2^-bits, and the bits: as many as sums over a row block allow."""
    largest = float(values.max(initial=0)) * rows
    bits = next((bits for bits in VARIANCE_BITS if largest * (1 << bits) < LARGEST_SUM), 0)
    return np.rint(values * (1 << bits)).astype(np.int32), bits


def _wired(
    conductances_us: NDArray[np.float32],
    parts: Sequence[PlacedPart],
    order: PlacedOrder,
    chip: Chip,
) -> NDArray[np.float64]:
    """The effective conductances of placed cells, block by block of every part.

    Groups on a diagonal share no line, and what else is in a tile is gated, so that blocks do not
    depend on each other.
    """
    result, counts = np.zeros(conductances_us.shape), order.placed.sum(1).tolist()
    for part, place in parts:
        for block in blocks(part, counts):
            where = block.group, block.rows, block.cols
            cells = conductances_us[where]
            below = chip.rows - (place.top + block.top + len(cells))
            before = place.left + block.left
            result[where] = effective_us(cells, chip.imperfections.wire_ohm, below, before)
    return result
