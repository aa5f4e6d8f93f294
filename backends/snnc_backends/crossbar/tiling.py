"""Placement of matrices in tiles: row and column blocks; a tile belongs to one layer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from snnc_backends.crossbar.chip import Chip
from snnc_backends.crossbar.matrices import WeightMatrix


@dataclass(frozen=True)
class Tile:
    """The part of a matrix in one tile, starting at row 0 and column 0 of the tile.

    Attributes:
        tile: number of the tile on the chip.
        layer, group: the matrix it holds a part of.
        rows, cols: cells it uses.
        first_row: row of the group's matrix.
        first_output, outputs: range of the group's outputs.
        first_col: physical column of the group's matrix.
    """

    tile: int
    layer: str
    group: int
    rows: int
    cols: int
    first_row: int
    first_col: int
    first_output: int
    outputs: int


def split(total: int, part: int) -> list[tuple[int, int]]:
    """(start, length) of consecutive parts of at most `part`; all but the last are full."""
    return [(start, min(part, total - start)) for start in range(0, total, part)]


def tiles(layers: Iterable[WeightMatrix], chip: Chip) -> tuple[Tile, ...]:
    """Split every matrix: row blocks of `rows`, column blocks of as many whole weights as fit.

    Per group that is ceil(r / rows) * ceil(outputs / floor(cols / k)) tiles, k the columns of a
    weight; where k divides cols it is ceil(r / rows) * ceil(k * outputs / cols).
    """
    k = len(chip.columns)
    places = [
        (matrix.layer, group, row, column)
        for matrix in layers
        for group in range(matrix.groups)
        for row in split(matrix.rows, chip.rows)
        for column in split(matrix.outputs, chip.outputs_per_tile)
    ]
    return tuple(
        Tile(number, layer, group, rows, outputs * k, first_row, first * k, first, outputs)
        for number, (layer, group, (first_row, rows), (first, outputs)) in enumerate(places)
    )
