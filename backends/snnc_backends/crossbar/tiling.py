"""Which tile holds which part of which matrix: plain splitting, a tile belongs to one layer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from snnc_backends.crossbar.chip import Chip
from snnc_backends.crossbar.matrices import WeightMatrix


@dataclass(frozen=True)
class Tile:
    """The part of a matrix that lies in one tile, from its upper left corner on.

    Attributes:
        tile: number of the tile, counted over the chip.
        layer, group: the matrix.
        rows, cols: cells it takes.
        first_row: of the matrix of the group.
        first_output, outputs: whole weights, side by side.
        first_col: physical column of the matrix of the group.
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


def split(whole: int, part: int) -> list[tuple[int, int]]:
    """(start, length) of consecutive parts of at most `part`; all but the last are full."""
    return [(start, min(part, whole - start)) for start in range(0, whole, part)]


def tiles(layers: Iterable[WeightMatrix], chip: Chip) -> tuple[Tile, ...]:
    """Split every matrix: row blocks of `rows`, column blocks of as many whole weights as fit.

    Per group that is ceil(r / rows) * ceil(outputs / floor(cols / k)) tiles, k the columns of a
    weight; where k divides cols it is ceil(r / rows) * ceil(k * outputs / cols).
    """
    k = len(chip.columns)
    places = [
        (each.layer, group, row, column)
        for each in layers
        for group in range(each.groups)
        for row in split(each.rows, chip.rows)
        for column in split(each.outputs, chip.outputs_per_tile)
    ]
    return tuple(
        Tile(number, layer, group, rows, outputs * k, first_row, first * k, first, outputs)
        for number, (layer, group, (first_row, rows), (first, outputs)) in enumerate(places)
    )
