"""The sites of few cores with the fewest hops, by branch and bound."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from snnc_backends.crossbar.placement.assignment import Floats, Sites, both_ways, least_distance
from snnc_backends.crossbar.placement.topology import Topology

MOST_CORES_SOLVED = 9
"""Cores up to which the optimum is looked for."""
MOST_BRANCHES = 200_000
"""Branches after which that search ends without a result."""


def optimum(flow: Floats, mesh: Topology, known: Sites) -> Sites | None:
    """The best sites, by branch and bound; None for more than `MOST_CORES_SOLVED` cores.

    Also None where it is not found among `MOST_BRANCHES` branches.

    Args:
        known: good sites, by which branches are cut.
    """
    if len(flow) > MOST_CORES_SOLVED:
        return None
    return _Branches(both_ways(flow), mesh, known).solve()


class _Branches:
    """Cores are placed one by one, each next to those it has most packets with.

    What is left costs at least: for every core its packets to those placed, at its best free site,
    and the least distance for every packet among the others. Of sites that are alike the first core
    tries one.
    """

    def __init__(self, both: Floats, mesh: Topology, known: Sites) -> None:
        order = [int(both.sum(1).argmax())]
        while len(order) < len(both):
            rest = [core for core in range(len(both)) if core not in order]
            order.append(max(rest, key=lambda core: (both[core, order].sum(), both[core].sum())))
        self.order, self.mesh = order, mesh
        self.both = both[np.ix_(order, order)]
        least = least_distance(mesh.distances)
        inner = [float(np.triu(self.both[k:, k:]).sum()) for k in range(len(both) + 1)]
        self.inner = [least * packets for packets in inner]
        self.sites = np.array(known)[order]
        self.best = float((self.both * mesh.distances[np.ix_(self.sites, self.sites)]).sum()) / 2
        self.branches = 0

    def solve(self) -> Sites | None:
        costs = np.zeros((len(self.both), self.mesh.sites))
        self._branch([], 0.0, costs, np.ones(self.mesh.sites, bool), self.mesh.first_sites)
        if self.branches > MOST_BRANCHES:
            return None
        sites = np.empty_like(self.sites)
        sites[self.order] = self.sites
        return sites

    def _branch(
        self, placed: list[int], cost: float, costs: Floats, free: NDArray[np.bool_], at: Sites
    ) -> None:
        """Place the next core at each of the sites `at`; `costs` are of the cores left there."""
        if not len(costs):
            self.best, self.sites = cost, np.array(placed)
            return
        core = len(placed)
        for site in at[np.argsort(costs[0, at], kind="stable")].tolist():
            self.branches += 1
            now = cost + float(costs[0, site])
            if now + self.inner[core] - 1e-9 >= self.best or self.branches > MOST_BRANCHES:
                return
            free[site] = False
            left = costs[1:] + np.outer(self.both[core + 1 :, core], self.mesh.distances[site])
            least = float(left[:, free].min(1).sum()) if len(left) else 0.0
            if now + least + self.inner[core + 1] < self.best - 1e-9:
                self._branch([*placed, site], now, left, free, np.flatnonzero(free))
            free[site] = True
