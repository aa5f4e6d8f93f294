"""A mesh of cores: its sites, their distances, and the packets over its links."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray


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

    @property
    def name(self) -> str:
        """As the option says it."""
        return f"{self.columns}x{self.rows}"

    @property
    def json(self) -> dict[str, Any]:
        """What tells it in `placement.json`."""
        return {"mesh": [self.columns, self.rows]}

    @property
    def first_sites(self) -> NDArray[np.int64]:
        """Where a core may be taken to lie: a corner; the mesh reflected is the same mesh."""
        x, y = self.place(np.arange(self.sites))
        return np.flatnonzero((2 * x < self.columns) & (2 * y < self.rows))

    def along(self, count: int) -> NDArray[np.int64]:
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

    def links(self, flow: NDArray[np.float64], sites: NDArray[np.int64]) -> dict[str, Any]:
        """Packets over every link: `across` to the right of a site, `down` below it."""
        across, down = self.loads(flow, sites)
        return {"across": across.round(3).tolist(), "down": down.round(3).tolist()}
