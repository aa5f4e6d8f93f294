"""Cores to sites so that packets take few hops: a quadratic assignment problem.

The cost of an assignment p is the sum over pairs of cores of flow[i, j] * distance[p[i], p[j]].
Search is the robust tabu search of Taillard, "Robust taboo search for the quadratic assignment
problem", Parallel Computing 17, 1991, from the order given. Bounds: every packet between two cores
takes a hop (flow); every core has its partners on the nearest sites (degree); the same with every
site taken once (Gilmore, 1962; Lawler, 1963).
"""

from __future__ import annotations

from itertools import islice, permutations
from math import perm

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Sites = NDArray[np.int64]
MOST_ARRANGEMENTS = 400_000
"""Arrangements that are all looked at: 9 cores on 9 sites have 362,880."""
MOST_CORES_BOUNDED = 400
"""Cores up to which the Gilmore-Lawler bound is computed."""
STEPS = (200, 3000)
"""Least and most exchanges of a search."""
WORK = 400_000_000
"""Pairs of cores that a search may look at."""


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
    size, cores = len(distance), len(flow)
    both = np.zeros((size, size))
    both[:cores, :cores] = flow + flow.T
    np.fill_diagonal(both, 0)
    free = np.setdiff1d(np.arange(size), start)
    place = np.concatenate([start, free])
    steps = int(np.clip(WORK // size**2, *STEPS))
    return _tabu(both, distance.astype(np.float64), place, cores, steps, rng)[:cores]


def _tabu(
    both: Floats, distance: Floats, place: Sites, cores: int, steps: int, rng: np.random.Generator
) -> Sites:
    """Robust tabu search over exchanges of two sites, of which one at least holds a core."""
    size = len(place)
    if size < 2 or not both.any():
        return place
    near = distance[np.ix_(place, place)]
    at = both @ near  # at[a, b]: cost of a's packets were it at the site of b
    useless = np.tri(size, dtype=bool)
    useless[cores:, cores:] = True
    current = best = float((both * near).sum()) / 2
    chosen = place.copy()
    until = np.zeros((size, size), np.int64)  # per core and site, how long it may not come back
    for step in range(steps):
        own = np.diag(at)
        change = at + at.T - own[:, None] - own + 2 * both * near
        change[useless] = np.inf
        back = (until[:, place] > step) & (until[:, place].T > step)
        allowed = ~back | (current + change < best - 1e-9)
        a, b = divmod(int(np.where(allowed, change, np.inf).argmin()), size)
        if not np.isfinite(change[a, b]) or not allowed[a, b]:
            continue
        tenure = rng.integers(int(0.9 * size), int(1.1 * size) + 3, 2)
        until[a, place[a]], until[b, place[b]] = step + tenure
        current += change[a, b]
        at += np.outer(both[:, a] - both[:, b], near[b] - near[a])
        place[[a, b]] = place[[b, a]]
        near = distance[np.ix_(place, place)] if size <= 64 else _exchanged(near, a, b)
        at[:, [a, b]] = both @ near[:, [a, b]]
        if current < best - 1e-9:
            best, chosen = current, place.copy()
    return chosen


def _exchanged(near: Floats, a: int, b: int) -> Floats:
    """Distances after cores a and b have exchanged their sites."""
    near[[a, b]] = near[[b, a]]
    near[:, [a, b]] = near[:, [b, a]]
    return near


def optimum(flow: Floats, distance: NDArray[np.int64]) -> Sites | None:
    """The best sites, by looking at all arrangements; None where these are too many."""
    cores, size = len(flow), len(distance)
    if perm(size, cores) > MOST_ARRANGEMENTS:
        return None
    both = flow + flow.T
    pairs = [(i, j) for i in range(cores) for j in range(i) if both[i, j]]
    best, found = np.inf, np.arange(cores)
    arrangements = permutations(range(size), cores)
    while part := list(islice(arrangements, 50_000)):
        places = np.array(part, np.int64).reshape(len(part), cores)
        costs = np.zeros(len(places))
        for i, j in pairs:
            costs += both[i, j] * distance[places[:, i], places[:, j]]
        least = int(costs.argmin())
        if costs[least] < best:
            best, found = costs[least], places[least]
    return found


def bounds(flow: Floats, distance: NDArray[np.int64]) -> dict[str, float]:
    """Lower bounds on the hops by name; `gilmore_lawler` up to `MOST_CORES_BOUNDED` cores."""
    both = flow + flow.T
    np.fill_diagonal(both, 0)
    found = {"flow": float(both.sum()) / 2, "degree": 0.0}
    if len(flow) < 2:
        return found
    partners = len(flow) - 1
    most = -np.sort(-both, axis=1)[:, :partners]
    nearest = np.sort(distance, axis=1)[:, 1 : partners + 1].astype(np.float64)
    least = most @ nearest.T / 2
    found["degree"] = float(least.min(1).sum())
    if len(flow) <= MOST_CORES_BOUNDED:
        found["gilmore_lawler"] = linear_assignment(least)
    return found


def linear_assignment(cost: Floats) -> float:
    """The least sum of one entry of every row, no two in one column; columns >= rows.

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
    return float(cost[owner[1:][taken] - 1, taken].sum())
