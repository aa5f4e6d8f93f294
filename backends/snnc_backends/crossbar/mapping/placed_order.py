"""Which row of a matrix lies in which row of its tiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc_backends.crossbar.chip import Chip
from snnc_backends.crossbar.mapping.matrices import WeightMatrix
from snnc_backends.crossbar.mapping.tiling import placed_rows


@dataclass(frozen=True)
class PlacedOrder:
    """The placed rows of every group in the order of their word lines; the rest are padding.

    Attributes:
        rows: (groups, most placed rows) row of the group; None where every row is placed, in order.
        placed: (groups, most placed rows) whether there is a row.
    """

    rows: NDArray[np.intp] | None
    placed: NDArray[np.bool_]

    @classmethod
    def of(cls, matrix: WeightMatrix, chip: Chip) -> PlacedOrder:
        """That of a layer."""
        found = placed_rows(matrix, chip)
        shape = matrix.groups, max(map(len, found))
        placed = np.arange(shape[1]) < np.array([[len(each)] for each in found])
        if shape[1] == matrix.rows and placed.all():
            return cls(None, placed)
        rows = np.zeros(shape, np.intp)
        rows[placed] = np.concatenate(found)
        return cls(rows, placed)

    @property
    def all_rows(self) -> NDArray[np.intp]:
        """`rows`, also where every row is placed."""
        if self.rows is not None:
            return self.rows
        return np.tile(np.arange(self.placed.shape[1]), (len(self.placed), 1))

    def of_cells(self, cells: NDArray[Any]) -> NDArray[Any]:
        """(groups, placed rows, columns) of cells (groups, rows, columns); 0 in padding."""
        if self.rows is None:
            return cells
        return np.take_along_axis(cells, self.rows[:, :, None], 1) * self.placed[:, :, None]

    def places(self, rows: int) -> NDArray[np.int32]:
        """(groups, rows of the matrix): where a row is placed, -1 where it is not."""
        places = np.full((len(self.placed), rows), -1, np.int32)
        if self.rows is None:
            places[:] = np.arange(rows)
            return places
        groups, lines = np.nonzero(self.placed)
        places[groups, self.rows[groups, lines]] = lines
        return places
