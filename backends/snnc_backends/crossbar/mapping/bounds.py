"""Lower bounds on the number of tiles that hold given parts, whatever the packing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import ceil

import numpy as np
from numpy.typing import NDArray

from snnc_backends.crossbar.mapping.packing import Size

ROUNDING = 1e-6
"""Far above the errors of sums of areas, far below a tile."""
DIVISIONS = 4
"""Parts into which sides are divided in the search for a bound."""


def area_bound(cells: int, size: Size) -> int:
    """Tiles whose cells are enough."""
    return -(-cells // (size[0] * size[1]))


def rectangle_bound(parts: Sequence[Size], size: Size) -> int:
    """Tiles that parts need where none overlap: the rule of time-multiplexed tiles.

    The larger of the simple bound and those of dual feasible functions (Fekete and Schepers, 2001):
    functions of a side x, in units of the tile's, after which parts that fit in a tile still have
    an area of at most 1 in all. For any p up to 1/2 these are

        u(x) = 1 for x > 1 - p, 0 for x < p, x in between
        v(x) = floor(x / p) / floor(1 / p) for x < 1/2, 1/2 for 1/2, 1 - v(1 - x) above
    """
    return max(simple_rectangle_bound(parts, size), _dual_bound(parts, size))


def simple_rectangle_bound(parts: Sequence[Size], size: Size) -> int:
    """The larger of the area bound and the number of parts with both sides above half."""
    large = sum(2 * rows > size[0] and 2 * cols > size[1] for rows, cols in parts)
    return max(area_bound(sum(rows * cols for rows, cols in parts), size), large)


def concurrency_bound(parts: Sequence[Size], size: Size) -> int:
    """Tiles that parts need where those of a tile share no row and no column.

    The largest of: rows of all parts, and columns, in tiles; parts with more than half of the rows,
    or of the columns.
    """
    bounds = [0]
    for axis, side in enumerate(size):
        lengths = [part[axis] for part in parts]
        bounds.append(-(-sum(lengths) // side))
        bounds.append(sum(2 * length > side for length in lengths))
    return max(bounds)


def _dual_bound(parts: Sequence[Size], size: Size) -> int:
    """The best bound over pairs of functions."""
    counted = Counter(parts)
    sides = np.array(list(counted), np.int64).reshape(-1, 2).T
    number = np.array(list(counted.values()), np.int64)
    high, wide = (_dual_feasible(sides[axis], size[axis]) for axis in (0, 1))
    areas = (high * number) @ wide.T
    return ceil(areas.max(initial=0) - ROUNDING)


def _dual_feasible(sides: NDArray[np.int64], side: int) -> NDArray[np.float64]:
    """u and v of every side (n,) in a tile's, (functions, n).

    u for every p that matters; v, which changes where a side is a multiple of p, for the sides that
    are below half, or what is left beside the others, and for these divided by 2 to `DIVISIONS`.
    """
    above = 2 * sides > side
    left = side - sides[above]
    thresholds = np.unique([0, *sides[~above], *(left + 1)])
    p = thresholds[2 * thresholds <= side][:, None]
    u = np.where(sides > side - p, 1, np.where(sides < p, 0, sides / side))
    units = np.unique([*sides[~above], *left, *(left + 1)])
    unit = units[(units > 0) & (2 * units <= side)][:, None]
    functions = [u]
    for j in range(1, DIVISIONS + 1):  # p is unit / j
        v = (np.minimum(sides, side - sides) * j // unit) / (side * j // unit)
        functions.append(np.where(2 * sides == side, 0.5, np.where(above, 1 - v, v)))
    return np.concatenate(functions)
