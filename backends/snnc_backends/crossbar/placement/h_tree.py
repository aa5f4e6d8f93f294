"""An H-tree of cores: its sites, their distances, and the packets over its links."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

BRANCHES = 4
"""Links below a router."""


@dataclass(frozen=True)
class HTree:
    """Cores at the leaves of a tree of routers with four links down and one up.

    A hop is a link, so that two cores below one router are two hops apart. Site s is below router
    s // 4^k of level k; leaves fill a square, every router in the middle of its own.

    Attributes:
        levels: of routers; there are 4^levels sites.
    """

    levels: int

    @property
    def sites(self) -> int:
        """Places for a core."""
        return BRANCHES**self.levels

    @property
    def name(self) -> str:
        """As the option says it."""
        return f"h-tree-{self.sites}"

    @property
    def json(self) -> dict[str, Any]:
        """What tells it in `placement.json`."""
        return {"h_tree": self.sites}

    @cached_property
    def distances(self) -> NDArray[np.int64]:
        """(sites, sites): hops between two sites, up to the router that both are below and down."""
        site = np.arange(self.sites)
        apart = np.zeros((self.sites, self.sites), np.int64)
        for level in range(self.levels):
            router = site // BRANCHES**level
            apart += 2 * (router[:, None] != router)
        return apart

    def place(self, sites: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """x and y of sites in the square of 2^levels x 2^levels."""
        x, y = np.zeros_like(sites), np.zeros_like(sites)
        for level in range(self.levels):
            branch = sites // BRANCHES**level % BRANCHES
            x, y = x + (branch % 2 << level), y + (branch // 2 << level)
        return x, y

    def along(self, count: int) -> NDArray[np.int64]:
        """The first `count` sites, router by router."""
        return np.arange(count)

    @property
    def first_sites(self) -> NDArray[np.int64]:
        """Where a core may be taken to lie, as all sites are alike."""
        return np.zeros(1, np.int64)

    def links(self, flow: NDArray[np.float64], sites: NDArray[np.int64]) -> dict[str, Any]:
        """Packets over every link, both directions together.

        `levels`: per level from the cores up, of the link above each core or router.
        """
        source, target = np.nonzero(flow)
        packets = flow[source, target]
        levels: list[list[float]] = []
        for level in range(self.levels):
            start, end = (sites[each] // BRANCHES**level for each in (source, target))
            through = np.where(start != end, packets, 0.0)
            count = BRANCHES ** (self.levels - level)
            both = np.bincount(start, through, count) + np.bincount(end, through, count)
            levels.append(both.round(3).tolist())
        return {"levels": levels}
