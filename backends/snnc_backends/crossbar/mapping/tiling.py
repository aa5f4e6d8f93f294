"""How matrices are cut into the parts that lie in tiles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from snnc_backends.crossbar.chip import Chip
from snnc_backends.crossbar.mapping.matrices import WeightMatrix


@dataclass(frozen=True, slots=True)
class WordLines:
    """Rows that are driven at once: those of the tiles side by side that hold the same rows.

    Attributes:
        group, groups: the first group, and how many lie in the tile, on its diagonal.
        filled: how many of these have rows; the others take no columns.
        first_row: of the placed rows of the group; 0 where there are several groups.
        rows: word lines, of all groups.
    """

    group: int
    groups: int
    filled: int
    first_row: int
    rows: int


@dataclass(frozen=True, slots=True)
class Part:
    """A rectangle of cells that is read at once: a part of the matrix of a group, or whole groups.

    Attributes:
        layer, group, groups: whose weights it holds. Several groups lie on its diagonal, but for
            those without rows.
        rows, cols: cells it spans.
        first_row: of the placed rows of the group's matrix.
        first_col: physical column of the group's matrix.
        first_output, outputs: range of the placed outputs of each group.
        copy: number of the copy of the layer, from 0.
    """

    layer: str
    group: int
    groups: int
    rows: int
    cols: int
    first_row: int
    first_col: int
    first_output: int
    outputs: int
    copy: int = 0


class Block(NamedTuple):
    """The cells of one group in a part.

    Attributes:
        group: of the layer.
        rows: placed rows of the group.
        cols: physical columns of the group.
        top, left: where they lie in the part.
    """

    group: int
    rows: slice
    cols: slice
    top: int
    left: int


def blocks(part: Part, counts: Sequence[int]) -> Iterator[Block]:
    """The groups of a part, on its diagonal, that have rows.

    Args:
        counts: placed rows of every group of the layer.
    """
    if part.groups == 1:
        rows = slice(part.first_row, part.first_row + part.rows)
        yield Block(part.group, rows, slice(part.first_col, part.first_col + part.cols), 0, 0)
        return
    filled = [g for g in range(part.group, part.group + part.groups) if counts[g]]
    top, cols = 0, part.cols // len(filled)
    for number, group in enumerate(filled):
        yield Block(group, slice(0, counts[group]), slice(0, cols), top, number * cols)
        top += counts[group]


def split(total: int, part: int) -> list[tuple[int, int]]:
    """(start, length) of consecutive parts of at most `part`; all but the last are full."""
    return [(start, min(part, total - start)) for start in range(0, total, part)]


def placed_rows(matrix: WeightMatrix, chip: Chip) -> list[NDArray[np.intp]]:
    """Per group the rows that get word lines, in order: those that have a weight.

    All of them where the chip does not pack.
    """
    if chip.packing == "none":
        return [np.arange(matrix.rows)] * matrix.groups
    return [np.flatnonzero(used) for used in matrix.used_rows]


def word_lines(matrix: WeightMatrix, chip: Chip) -> tuple[WordLines, ...]:
    """How the placed rows of a layer are driven, group by group.

    A group that is larger than a tile is split into row blocks. Consecutive groups that fit
    together on the diagonal of a tile share it, where the chip packs.
    """
    counts = [len(rows) for rows in placed_rows(matrix, chip)]
    columns = chip.matrix(matrix.outputs).physical
    if chip.packing == "none":
        return tuple(
            WordLines(group, 1, 1, *block)
            for group, count in enumerate(counts)
            for block in split(count, chip.rows)
        )
    return tuple(_diagonals(counts, columns, chip))


def converted_lines(matrix: WeightMatrix, chip: Chip) -> tuple[WordLines, ...]:
    """Word lines whose sums are converted at once.

    Those of a row block or, where partial sums are analog, of all row blocks of a group.
    """
    lines = word_lines(matrix, chip)
    if not chip.analog_sums:
        return lines
    joined: dict[int, WordLines] = {}
    for line in lines:
        before = joined.get(line.group)
        rows = line.rows + (0 if before is None else before.rows)
        joined[line.group] = replace(before or line, rows=rows)
    return tuple(joined.values())


def _diagonals(counts: Sequence[int], columns: int, chip: Chip) -> Iterator[WordLines]:
    """Word lines of groups with these numbers of rows and this many columns each."""
    start = 0
    for group in range(1, len(counts) + 1):
        here = counts[start : group + 1]
        filled = len(here) - here.count(0)
        fits = sum(here) <= chip.rows and filled * columns <= chip.cols
        if group == len(counts) or not fits:
            yield from _closed(start, counts[start:group], chip)
            start = group


def _closed(start: int, counts: Sequence[int], chip: Chip) -> Iterator[WordLines]:
    """Of consecutive groups from `start` on: together on a diagonal, or one in row blocks."""
    filled, rows = len(counts) - counts.count(0), sum(counts)
    if filled > 1:
        yield WordLines(start, len(counts), filled, 0, rows)
    elif filled:
        group = start + next(i for i, count in enumerate(counts) if count)
        yield from (WordLines(group, 1, 1, *block) for block in split(rows, chip.rows))


def parts(matrix: WeightMatrix, chip: Chip, copies: int = 1) -> Iterator[Part]:
    """The parts of a layer, copy by copy: word lines cut into as many whole weights as fit.

    For a chip that does not pack, that is ceil(r / rows) * ceil(outputs / floor(cols / k)) parts a
    group, k the columns of a weight; where k divides cols it is
    ceil(r / rows) * ceil(k * outputs / cols).
    """
    code = chip.matrix(matrix.outputs)
    k, reference = len(chip.code.columns), int(chip.code.reference is not None)
    lines = word_lines(matrix, chip)
    blocks = [
        (first * k + number * reference, outputs * k + reference, first, outputs)
        for number, (first, outputs) in enumerate(split(matrix.outputs, chip.outputs_per_tile))
    ]
    whole = [(0, code.physical, 0, matrix.outputs)]
    for copy in range(copies):
        for line in lines:
            for first_col, cols, first, outputs in blocks if line.groups == 1 else whole:
                yield Part(
                    matrix.layer, line.group, line.groups, line.rows, line.filled * cols,
                    line.first_row, first_col, first, outputs, copy,
                )  # fmt: skip
