"""Cores at sites, and what exchanging two of them changes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from snnc_backends.crossbar.placement.assignment import Floats, Sites, both_ways


class Exchanges:
    """Cores at sites: two cores can be exchanged, or a core moved to a free site.

    Attributes:
        both: (cores, cores), packets between two cores in either direction.
        place: (sites,), the site of every core, then the free sites.
        near: (sites, sites), distances in the order of `place`.
        at: (cores, sites): cost of a core were it at a place.
    """

    def __init__(self, flow: Floats, distance: NDArray[np.int64], start: Sites) -> None:
        free = np.setdiff1d(np.arange(len(distance)), start)
        self.both, self.place = both_ways(flow), np.concatenate([start, free])
        self.near = distance[np.ix_(self.place, self.place)].astype(np.float64)
        self.at = self.both @ self.near[: len(self.both)]
        self._once = np.tri(len(self.both), dtype=bool)

    @property
    def sites(self) -> Sites:
        """(cores,), a copy."""
        return self.place[: len(self.both)].copy()

    @property
    def cost(self) -> float:
        """Packets times hops."""
        return float(self.at.trace()) / 2

    def changes(self) -> Floats:
        """(cores, sites): change of the cost by the exchange of a core with a place; two cores
        once, infinite the other way round.
        """
        cores, own = len(self.both), self.at.diagonal()
        change: Floats = np.subtract(self.at, own[:, None])
        change[:, :cores] += self.at[:, :cores].T - own
        change[:, :cores] += 2 * self.both * self.near[:cores, :cores]
        change[:, :cores][self._once] = np.inf
        return change

    def changes_of(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> Floats:
        """The same of chosen cores a with chosen places b; 0 where they are the same."""
        own = self.at.diagonal()
        other = np.where(b < len(self.both), b, a)
        back = self.at[other, a] - own[other] + 2 * self.both[a, other] * self.near[a, other]
        return np.where(a == b, 0.0, self.at[a, b] - own[a] + np.where(b == other, back, 0.0))

    def exchange(self, a: int, b: int) -> None:
        """Exchange core a with what is at place b."""
        both, near = self.both, self.near
        other = both[:, b] if b < len(both) else 0.0
        self.at += np.outer(both[:, a] - other, near[b] - near[a])
        self.place[[a, b]] = self.place[[b, a]]
        near[[a, b]] = near[[b, a]]
        near[:, [a, b]] = near[:, [b, a]]
        self.at[:, [a, b]] = both @ near[: len(both), [a, b]]
