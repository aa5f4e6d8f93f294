"""Cores to sites so that packets take few hops: a quadratic assignment problem.

The cost of an assignment p is the sum over pairs of cores of flow[i, j] * distance[p[i], p[j]].
Search is the robust tabu search of Taillard, "Robust taboo search for the quadratic assignment
problem", Parallel Computing 17, 1991, from the order given. Bounds: every packet between two cores
takes a hop (flow); every core has its partners on the nearest sites (degree); the same with every
site taken once (Gilmore, 1962; Lawler, 1963).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from snnc_backends.crossbar.linear_assignment import linear_assignment
from snnc_backends.crossbar.placement.mesh import Mesh

Floats = NDArray[np.float64]
Sites = NDArray[np.int64]
MOST_CORES_SOLVED = 9
"""Cores up to which the optimum is looked for."""
MOST_BRANCHES = 200_000
"""Branches after which that search ends without a result."""
MOST_CORES_BOUNDED = 400
"""Cores up to which the Gilmore-Lawler bound is computed."""
STEPS = (200, 3000)
"""Least and most exchanges of a search."""
WORK = 400_000_000
"""Pairs of cores that a search may look at."""
PATIENCE = 10
"""A search ends after 100 exchanges and this many for every site without a better result."""


def hops(flow: Floats, distance: NDArray[np.int64], sites: Sites) -> float:
    """The cost of cores at `sites`."""
    return float((flow * distance[np.ix_(sites, sites)]).sum())


def search(
    flow: Floats, distance: NDArray[np.int64], start: Sites, rng: np.random.Generator
) -> Sites:
    """The best sites found; never worse than `start`.

    Args:
        flow: (cores, cores) packets; (i, j) and (j, i) are added.
        distance: (sites, sites), symmetric; there are as many sites as cores or more.
        start: (cores,) different sites.
    """
    both = both_ways(flow)
    free = np.setdiff1d(np.arange(len(distance)), start)
    place = np.concatenate([start, free])
    if len(place) < 2 or not both.any():
        return start
    return _Exchanges(both, distance, place).best_of(rng)


def both_ways(flow: Floats) -> Floats:
    """Packets between two cores in either direction; a core sends none to itself."""
    both = flow + flow.T
    np.fill_diagonal(both, 0)
    return both


class _Exchanges:
    """Robust tabu search over exchanges: of the sites of two cores, or with a free site.

    Attributes:
        place: (sites,), the site of every core, then the free sites.
        near: (sites, sites), distances in the order of `place`.
        at: (cores, sites): cost of a core were it at a place.
    """

    def __init__(self, both: Floats, distance: NDArray[np.int64], place: Sites) -> None:
        self.both, self.place = both, place
        self.near = distance[np.ix_(place, place)].astype(np.float64)
        self.at = both @ self.near[: len(both)]
        self.once = np.tri(len(both), dtype=bool)

    def best_of(self, rng: np.random.Generator) -> Sites:
        """The best sites of the cores on the way."""
        cores, size = self.at.shape
        scale = int((cores * size) ** 0.5)
        steps = int(np.clip(WORK // (cores * size), *STEPS))
        until = np.zeros(self.at.shape, np.int64)  # per core and site, when it may come back
        current = best = float(self.at.trace()) / 2
        chosen, better = self.place[:cores].copy(), 0
        for step in range(steps):
            if step - better > 100 + PATIENCE * scale:
                break
            change = self._changes()
            back = until[:, self.place] > step
            back[:, :cores] &= back[:, :cores].T
            allowed = np.where(back & (current + change >= best - 1e-9), np.inf, change)
            a, b = divmod(int(allowed.argmin()), size)
            if not np.isfinite(allowed[a, b]):
                continue
            tenure = step + rng.integers(int(0.9 * scale), int(1.1 * scale) + 3, 2)
            until[a, self.place[a]] = tenure[0]
            if b < cores:
                until[b, self.place[b]] = tenure[1]
            current += float(change[a, b])
            self._exchange(a, b)
            if current < best - 1e-9:
                best, chosen, better = current, self.place[:cores].copy(), step
        return chosen

    def _changes(self) -> Floats:
        """(cores, sites): change of the cost by the exchange of a core with a place."""
        cores, own = len(self.both), self.at.diagonal()
        change: Floats = np.subtract(self.at, own[:, None])
        change[:, :cores] += self.at[:, :cores].T - own
        change[:, :cores] += 2 * self.both * self.near[:cores, :cores]
        change[:, :cores][self.once] = np.inf
        return change

    def _exchange(self, a: int, b: int) -> None:
        """Exchange core a with what is at place b."""
        both, near = self.both, self.near
        other = both[:, b] if b < len(both) else 0.0
        self.at += np.outer(both[:, a] - other, near[b] - near[a])
        self.place[[a, b]] = self.place[[b, a]]
        near[[a, b]] = near[[b, a]]
        near[:, [a, b]] = near[:, [b, a]]
        self.at[:, [a, b]] = both @ near[: len(both), [a, b]]


def optimum(flow: Floats, mesh: Mesh, known: Sites) -> Sites | None:
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
    and a hop for every packet among the others. A mesh reflected is the same mesh, so the first
    core stays in a corner of it.
    """

    def __init__(self, both: Floats, mesh: Mesh, known: Sites) -> None:
        order = [int(both.sum(1).argmax())]
        while len(order) < len(both):
            rest = [core for core in range(len(both)) if core not in order]
            order.append(max(rest, key=lambda core: (both[core, order].sum(), both[core].sum())))
        self.order, self.mesh = order, mesh
        self.both = both[np.ix_(order, order)]
        self.inner = [float(np.triu(self.both[k:, k:]).sum()) for k in range(len(both) + 1)]
        self.sites = np.array(known)[order]
        self.best = float((self.both * mesh.distances[np.ix_(self.sites, self.sites)]).sum()) / 2
        self.branches = 0

    def solve(self) -> Sites | None:
        x, y = self.mesh.place(np.arange(self.mesh.sites))
        corner = (2 * x < self.mesh.columns) & (2 * y < self.mesh.rows)
        costs = np.zeros((len(self.both), self.mesh.sites))
        self._branch([], 0.0, costs, np.ones(self.mesh.sites, bool), np.flatnonzero(corner))
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


def bounds(flow: Floats, distance: NDArray[np.int64]) -> dict[str, float]:
    """Lower bounds on the hops by name; `gilmore_lawler` up to `MOST_CORES_BOUNDED` cores."""
    both = both_ways(flow)
    found = {"flow": float(both.sum()) / 2, "degree": 0.0}
    if len(flow) < 2:
        return found
    partners = len(flow) - 1
    most = -np.sort(-both, axis=1)[:, :partners]
    nearest = np.sort(distance, axis=1)[:, 1 : partners + 1].astype(np.float64)
    least = most @ nearest.T / 2
    found["degree"] = float(least.min(1).sum())
    if len(flow) <= MOST_CORES_BOUNDED:
        sites = linear_assignment(least)
        found["gilmore_lawler"] = float(least[np.arange(len(least)), sites].sum())
    return found
