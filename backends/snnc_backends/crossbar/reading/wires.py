"""Resistance of the word and bit lines of a tile: its effective conductances.

Rows that are not driven are held at 0 V, so that the currents of the bit lines are linear in the
voltages of the word lines, with one matrix for all inputs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def effective_us(
    conductances_us: NDArray[np.floating],
    wire_ohm: float,
    rows_below: int = 0,
    columns_before: int = 0,
) -> NDArray[np.float64]:
    """Effective conductances (rows, columns): current of a column per volt of a row, exact.

    Word lines are driven at column 0, bit lines are held at 0 V below the last row; a segment of
    `wire_ohm` lies between any two cells, between a driver and its first cell, and between the
    last cell of a bit line and its end. Nodes are eliminated column by column: first the bit line
    of a column, then its word-line nodes, from the last column to the first.

    Args:
        conductances_us: (rows, columns), in microsiemens, not negative.
        wire_ohm: above 0.
        rows_below: rows of the tile below, without cells: segments more on the way down.
        columns_before: columns of the tile before, likewise on the way from the drivers.
    """
    cells = np.asarray(conductances_us, np.float64).T  # (columns, rows)
    columns, rows = cells.shape
    wire = 1e6 / wire_ohm
    end, start = wire / (1 + rows_below), wire / (1 + columns_before)
    bit_lines = np.linalg.inv(_bit_lines(cells, wire, end))
    beyond = np.zeros((rows, rows))
    passed = np.empty((columns, rows, rows))
    for j in reversed(range(columns)):
        left, right = wire if j else start, wire if j + 1 < columns else 0.0
        own = -cells[j][:, None] * bit_lines[j] * cells[j]
        own[np.diag_indices(rows)] += cells[j] + left + right
        passed[j] = np.linalg.inv(own - right * beyond) * left
        beyond = passed[j]
    collected = end * bit_lines[:, -1] * cells
    result = np.empty((rows, columns))
    voltages = np.eye(rows)
    for j in range(columns):
        voltages = passed[j] @ voltages
        result[:, j] = collected[j] @ voltages
    return result


def _bit_lines(cells: NDArray[np.float64], wire: float, end: float) -> NDArray[np.float64]:
    """(columns, rows, rows): the node matrix of every bit line, word lines held at 0 V."""
    columns, rows = cells.shape
    matrices = np.zeros((columns, rows, rows))
    line = np.arange(rows)
    matrices[:, line, line] = cells + 2 * wire
    matrices[:, 0, 0] -= wire
    matrices[:, -1, -1] += end - wire
    matrices[:, line[1:], line[:-1]] = -wire
    matrices[:, line[:-1], line[1:]] = -wire
    return matrices
