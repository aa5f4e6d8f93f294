"""Lower bounds on the number of tiles that hold given parts, whatever the packing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from snnc_backends.crossbar.packing import Size


def area_bound(cells: int, size: Size) -> int:
    """Tiles whose cells are enough."""
    return -(-cells // (size[0] * size[1]))


def rectangle_bound(parts: Sequence[Size], size: Size) -> int:
    """Tiles that parts need where none overlap: the rule of time-multiplexed tiles.

    The largest of the area bound, the number of parts with both sides above half of the tile's, and
    the bounds of dual feasible functions (Fekete and Schepers 2004): sides are replaced by
    u(x; p) = 1 for x > 1 - p, 0 for x < p, x in between (p at most 1/2, sides in units of the
    tile's), after which parts that fit in a tile still have an area of at most 1 in all.
    """
    return max(simple_rectangle_bound(parts, size), _dual_bound(parts, size))


def simple_rectangle_bound(parts: Sequence[Size], size: Size) -> int:
    """The larger of the area bound and the number of parts with both sides above half."""
    large = sum(2 * rows > size[0] and 2 * cols > size[1] for rows, cols in parts)
    return max(area_bound(sum(rows * cols for rows, cols in parts), size), large)


def concurrency_bound(parts: Sequence[Size], size: Size) -> int:
    """Tiles that parts need where those of a tile share no row and no column.

    The largest of: rows of all parts, and columns, in tiles; parts with more than half of the rows,
    or of the columns; those with more than half of either, if any two of them exclude each other.
    """
    bounds = [0]
    for axis, side in enumerate(size):
        lengths = [part[axis] for part in parts]
        bounds.append(-(-sum(lengths) // side))
        bounds.append(sum(2 * length > side for length in lengths))
    return max(bounds)


def _dual_bound(parts: Sequence[Size], size: Size) -> int:
    """The best bound over pairs of thresholds, in whole numbers of size[0] * size[1]."""
    counted = Counter(parts)
    sides = np.array(list(counted), np.int64).reshape(-1, 2).T
    number = np.array(list(counted.values()), np.int64)
    high, wide = (_replaced(sides[axis], size[axis]) for axis in (0, 1))
    areas = np.einsum("pn,qn,n->pq", high, wide, number)
    return int(-(-areas.max(initial=0) // (size[0] * size[1])))


def _replaced(sides: np.ndarray, side: int) -> np.ndarray:
    """u of every side (…, n) in units of 1 / `side`, for every threshold that matters (p, n)."""
    thresholds = np.unique([0, *sides[2 * sides <= side], *(side - sides[2 * sides > side] + 1)])
    p = thresholds[2 * thresholds <= side][:, None]
    return np.where(sides > side - p, side, np.where(sides < p, 0, sides))
