"""Schemes that store a signed weight in cells of one row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snnc_backends.crossbar.level_table import LevelTable


class Column(NamedTuple):
    """One of the columns of a weight.

    Attributes:
        polarity: +1 or -1, the sign of the column in the sum.
        slice: which bits of the stored number it holds, 0 for the lowest.
        significance: value of level 1 in units of the weight: 2^(slice * cell_bits).
    """

    polarity: int
    slice: int
    significance: int


@dataclass(frozen=True)
class WeightCode:
    """How a weight w is stored: w + shift, cut into slices of cell_bits.

    A slice d, with the sign of w + shift, is the one that a `LevelTable` gives for |w + shift|. A
    column holds max(polarity * d, 0) or, where a pair is two-sided, floor((L + polarity * d) / 2)
    of levels 0..L. Either way

        w + shift = sum over columns of polarity * significance * level

    and the shift is taken off again for every driven row: by the reference column of the tile, or
    digitally where there is none. The factor of a weight in the result is exactly 1.

    Attributes:
        columns: of one weight, in physical order.
        shift: what is added to a weight before it is stored.
        reference: the column that every tile has once, behind its weights, and that is subtracted
            from every output of the tile; None for none. All its cells hold `reference_level`.
        reference_level: level * significance of the reference is the shift.
        two_sided: the cells of a pair lie symmetrically around the middle of the levels; needs
            evenly spaced ones.
    """

    columns: tuple[Column, ...]
    shift: int = 0
    reference: Column | None = None
    reference_level: int = 0
    two_sided: bool = False

    @property
    def slices(self) -> int:
        """Columns that hold one number."""
        return 1 + max(column.slice for column in self.columns)

    def levels(
        self, weights: NDArray[np.integer], table: LevelTable
    ) -> NDArray[np.unsignedinteger]:
        """Levels (…, outputs * len(columns)) of weights (…, outputs), without references."""
        wide = weights.astype(np.int64) + self.shift
        if self.two_sided:
            kind, size, top = table.levels.dtype, np.abs(wide), table.largest
            parts = [
                ((top + c.polarity * np.sign(wide) * table.levels[size, c.slice]) // 2).astype(kind)
                for c in self.columns
            ]
        else:
            parts = [table.levels[np.maximum(c.polarity * wide, 0), c.slice] for c in self.columns]
        return np.stack(parts, axis=-1).reshape(*weights.shape[:-1], -1)

    def largest_partial(self, top: int) -> int:
        """What a row adds to partial sums of an output at most, besides |w|, for levels 0..top."""
        halves = [column.significance for column in self.columns if column.polarity > 0]
        return top * sum(halves) if self.two_sided else 2 * self.shift


def differential(weight_bits: int, cell_bits: int) -> WeightCode:
    """A pair of columns for a sign-magnitude weight: w = sum of significance * (g+ - g-).

    The magnitude, weight_bits - 1 bits, is split into ceil((weight_bits - 1) / cell_bits) slices. A
    positive weight is stored in the first half of the columns, a negative one in the second; the
    others hold 0.
    """
    columns = [_slices(polarity, weight_bits - 1, cell_bits) for polarity in (1, -1)]
    return WeightCode(columns[0] + columns[1])


def two_sided(weight_bits: int, cell_bits: int) -> WeightCode:
    """The same columns; both cells of a pair move away from the middle of the levels 0..L.

    g+ = floor((L + d) / 2) and g- = floor((L - d) / 2) for a slice d of the magnitude with the sign
    of the weight: g+ - g- is d, and g+ + g- is L or L - 1, whatever the weight.
    """
    return replace(differential(weight_bits, cell_bits), two_sided=True)


def offset(weight_bits: int, cell_bits: int) -> WeightCode:
    """Offset binary: w + 2^(weight_bits - 1) in ceil(weight_bits / cell_bits) columns.

    The offset, times the number of driven rows, is subtracted digitally.
    """
    return WeightCode(_slices(1, weight_bits, cell_bits), 1 << (weight_bits - 1))


def unit_column(weight_bits: int, cell_bits: int) -> WeightCode:
    """Offset binary; the offset is measured by a reference column of every tile and subtracted.

    The offset is one bit of the highest slice, so that one column holds it.
    """
    code = offset(weight_bits, cell_bits)
    highest = code.columns[-1]
    reference = highest._replace(polarity=-1)
    return WeightCode(code.columns, code.shift, reference, code.shift // highest.significance)


def _slices(polarity: int, bits: int, cell_bits: int) -> tuple[Column, ...]:
    count = -(-bits // cell_bits)
    return tuple(Column(polarity, i, 1 << (i * cell_bits)) for i in range(count))


@dataclass(frozen=True)
class MatrixCode:
    """The physical columns of a matrix with this many outputs, split over tiles side by side.

    A tile has `per_tile` outputs (the last one the rest), the columns of each side by side, and
    behind them its reference, where the code has one.
    """

    code: WeightCode
    outputs: int
    per_tile: int

    @property
    def tiles(self) -> int:
        """Tiles side by side."""
        return -(-self.outputs // self.per_tile)

    @property
    def physical(self) -> int:
        """Physical columns, references included."""
        references = self.tiles if self.code.reference is not None else 0
        return self.outputs * len(self.code.columns) + references

    @property
    def terms(self) -> tuple[tuple[int, NDArray[np.int64]], ...]:
        """(factor, physical column of every output): an output is the sum of factor * column.

        Without a reference this is w + shift; with one the shift is gone.
        """
        outputs = np.arange(self.outputs)
        code, tile = self.code, outputs // self.per_tile
        k, reference = len(code.columns), int(code.reference is not None)
        first = outputs * k + tile * reference
        terms = [(c.polarity * c.significance, first + i) for i, c in enumerate(code.columns)]
        if code.reference is not None:
            last = np.minimum((tile + 1) * self.per_tile, self.outputs) * k + tile
            terms.append((code.reference.polarity * code.reference.significance, last))
        return tuple(terms)

    @property
    def subtracted(self) -> int:
        """What is subtracted digitally for every driven row."""
        return self.code.shift if self.code.reference is None else 0

    def levels(
        self, weights: NDArray[np.integer], table: LevelTable
    ) -> NDArray[np.unsignedinteger]:
        """Levels (…, physical) of weights (…, outputs)."""
        own = self.code.levels(weights, table)
        if self.code.reference is None:
            return own
        reference = table.nearest(self.code.reference_level)
        levels = np.full((*own.shape[:-1], self.physical), reference, own.dtype)
        for i, (_, place) in enumerate(self.terms[:-1]):
            levels[..., place] = own[..., i :: len(self.code.columns)]
        return levels

    def weights(self, levels: NDArray[Any]) -> NDArray[Any]:
        """The weights (…, outputs) of the values of cells (…, physical), in levels.

        int64 for whole levels, float64 for real ones.
        """
        wide = levels.astype(np.result_type(levels, np.int64))
        parts = [factor * wide[..., place] for factor, place in self.terms]
        return sum(parts[1:], parts[0]) - self.subtracted


CELLS: Mapping[str, Callable[[int, int], WeightCode]] = {
    "differential": differential,
    "two-sided": two_sided,
    "offset": offset,
    "unit-column": unit_column,
}
