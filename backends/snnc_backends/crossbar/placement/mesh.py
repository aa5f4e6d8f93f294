"""A mesh of cores: its sites, their distances, and the packets over its links."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

MOST_SITES = 1 << 12


@dataclass(frozen=True)
class Mesh:
    """Cores on a grid; a packet goes along the row first, then along the column.

    Site s lies at x = s % columns, y = s // columns.
    """

    columns: int
    rows: int

    @property
    def sites(self) -> int:
        """Places for a core."""
        return self.columns * self.rows

    @cached_property
    def distances(self) -> NDArray[np.int64]:
        """(sites, sites): hops between two sites."""
        x, y = self.place(np.arange(self.sites))
        return np.abs(x[:, None] - x) + np.abs(y[:, None] - y)

    def place(self, sites: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """x and y of sites."""
        return sites % self.columns, sites // self.columns

    def snake(self, count: int) -> NDArray[np.int64]:
        """The first `count` sites row by row, every other row backwards: neighbours follow."""
        order = np.arange(self.sites).reshape(self.rows, self.columns)
        order[1::2] = order[1::2, ::-1]
        return order.ravel()[:count]

    def loads(
        self, flow: NDArray[np.float64], sites: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Packets over every link, both directions together.

        Args:
            flow: (cores, cores), packets from a core to another.
            sites: (cores,), where they are.

        Returns:
            Between (x, y) and (x + 1, y): (rows, columns - 1); between (x, y) and (x, y + 1):
            (rows - 1, columns).
        """
        across = np.zeros((self.rows, self.columns + 1))
        down = np.zeros((self.rows + 1, self.columns))
        source, target = np.nonzero(flow)
        packets = flow[source, target]
        x, y = self.place(sites)
        left, right = np.minimum(x[source], x[target]), np.maximum(x[source], x[target])
        low, high = np.minimum(y[source], y[target]), np.maximum(y[source], y[target])
        np.add.at(across, (y[source], left), packets)
        np.add.at(across, (y[source], right), -packets)
        np.add.at(down, (low, x[target]), packets)
        np.add.at(down, (high, x[target]), -packets)
        return across.cumsum(1)[:, : self.columns - 1], down.cumsum(0)[: self.rows - 1]


def mesh(text: str) -> Mesh | None:
    """The mesh of an option: COLUMNSxROWS, or None for `none`. Raises `ValueError`."""
    if text == "none":
        return None
    found = re.fullmatch(r"([0-9]{1,4})x([0-9]{1,4})", text, re.ASCII)
    if found is None or not 1 <= int(found[1]) * int(found[2]) <= MOST_SITES:
        raise ValueError(
            f"mesh must be none or COLUMNSxROWS of at most {MOST_SITES} cores, e.g. 4x4, "
            f"not {text!r}"
        )
    return Mesh(int(found[1]), int(found[2]))
