"""The linear assignment problem."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def linear_assignment(cost: NDArray[np.float64]) -> NDArray[np.int64]:
    """Per row a column, no two the same, with the least sum of these entries; columns >= rows.

    Successive shortest paths with potentials (Jonker & Volgenant, Computing 38, 1987).
    """
    rows, columns = cost.shape
    u, v = np.zeros(rows + 1), np.zeros(columns + 1)
    owner = np.zeros(columns + 1, np.int64)
    way = np.zeros(columns + 1, np.int64)
    for row in range(1, rows + 1):
        owner[0], column = row, 0
        shortest = np.full(columns + 1, np.inf)
        used = np.zeros(columns + 1, bool)
        while owner[column]:
            used[column] = True
            reduced = cost[owner[column] - 1] - u[owner[column]] - v[1:]
            closer = ~used[1:] & (reduced < shortest[1:])
            shortest[1:][closer], way[1:][closer] = reduced[closer], column
            column = int(np.where(used[1:], np.inf, shortest[1:]).argmin()) + 1
            step = shortest[column]
            u[owner[used]] += step
            v[used] -= step
            shortest[~used] -= step
        while column:
            owner[column] = owner[way[column]]
            column = way[column]
    taken = np.flatnonzero(owner[1:])
    columns_of = np.empty(rows, np.int64)
    columns_of[owner[1:][taken] - 1] = taken
    return columns_of
