"""Rows and levels chosen so that stuck cells, which are known, cost least."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from snnc_backends.crossbar.cells import WeightCode
from snnc_backends.crossbar.linear_assignment import linear_assignment
from snnc_backends.crossbar.mapping.tiling import split

AT_ONCE = 1 << 19
"""Weights that are tried at a time."""
Bools = NDArray[np.bool_]
Integers = NDArray[np.int64]


def rows_around(
    numbers: Integers,
    on: Bools,
    off: Bools,
    spans: Sequence[slice],
    code: WeightCode,
    cell_bits: int,
) -> NDArray[np.intp]:
    """Which row lies in which word line, of one group; rows stay in their span.

    The sum of squared errors of the weights that are left after `levels_around` is the least of all
    permutations.

    Args:
        numbers: (rows, outputs): weight + shift.
        on, off: (word lines, outputs, columns of a weight): cells that are stuck.
        spans: the word lines of every row block.

    Returns:
        (word lines,): the row.
    """
    found = np.arange(len(numbers))
    for span in spans:
        cost = _costs(numbers[span], on[span], off[span], code, cell_bits)
        if cost.any():
            found[span.start + linear_assignment(cost)] = np.arange(span.start, span.stop)
    return found


def _costs(
    numbers: Integers, on: Bools, off: Bools, code: WeightCode, cell_bits: int
) -> NDArray[np.float64]:
    """(rows, word lines): the squared errors of a row in a word line. See `rows_around`."""
    rows = len(numbers)
    cost = np.zeros((rows, rows))
    lines, outputs = np.nonzero((on | off).any(2))
    for at_once in split(len(lines), max(1, AT_ONCE // rows)):
        some = slice(at_once[0], sum(at_once))
        line, output = lines[some], outputs[some]
        shape = (rows, len(line), on.shape[2])
        stuck = [np.broadcast_to(each[line, output], shape) for each in (on, off)]
        _, error = levels_around(numbers[:, output], stuck[0], stuck[1], code, cell_bits)
        np.add.at(cost.T, line, np.square(error.T.astype(np.float64)))
    return cost


def levels_around(
    numbers: Integers, on: Bools, off: Bools, code: WeightCode, cell_bits: int
) -> tuple[NDArray[np.uint8], Integers]:
    """Levels of cells, and what their sums lack of the numbers: (…, columns of a weight), (…).

    The cells that are not stuck make up for the others as far as they can. A slice is the
    difference of its columns; from the highest slice down, the one of two nearest differences is
    taken with which less is lacking in the end.

    Args:
        numbers: (…): weight + shift.
        on, off: (…, columns of a weight): cells that have the largest level, or level 0.
    """
    top = (1 << cell_bits) - 1
    least = np.where(on, top, 0)
    most = np.where(off, 0, top)
    low, high = (np.zeros((*numbers.shape, code.slices), np.int64) for _ in range(2))
    for i, column in enumerate(code.columns):
        ends = (
            (least[..., i], most[..., i])
            if column.polarity > 0
            else (-most[..., i], -least[..., i])
        )
        low[..., column.slice] += ends[0]
        high[..., column.slice] += ends[1]
    slices, lacking = _slices(numbers, low, high, cell_bits)
    levels = least.copy()
    for i, column in enumerate(code.columns):
        others = [
            column.polarity * other.polarity * least[..., j]
            for j, other in enumerate(code.columns)
            if other.slice == column.slice and j != i
        ]
        wanted = column.polarity * slices[..., column.slice] - sum(others)
        levels[..., i] = np.clip(wanted, least[..., i], most[..., i])
    return levels.astype(np.uint8), lacking


def _slices(
    wanted: Integers, low: Integers, high: Integers, cell_bits: int
) -> tuple[Integers, Integers]:
    """Slices (…, slices) between low and high, and what their sum lacks of `wanted`, (…)."""
    last = low.shape[-1] - 1
    if not last:
        chosen = np.clip(wanted, low[..., 0], high[..., 0])
        return chosen[..., None], wanted - chosen
    worth = 1 << last * cell_bits
    lower = 1 << np.arange(last) * cell_bits
    ends = [wanted - (each[..., :last] * lower).sum(-1) for each in (low, high)]
    tried: list[tuple[Integers, Integers, Integers]] = []
    for each in (-(-ends[1] // worth), ends[0] // worth):
        chosen = np.clip(each, low[..., last], high[..., last])
        rest, left = _slices(wanted - chosen * worth, low[..., :last], high[..., :last], cell_bits)
        slices = np.concatenate([rest, chosen[..., None]], -1)
        tried.append((slices, left, np.abs(left) * (4 << cell_bits) + np.abs(chosen)))
    (first, first_left, first_cost), (second, second_left, second_cost) = tried
    better = second_cost < first_cost
    return np.where(better[..., None], second, first), np.where(better, second_left, first_left)
