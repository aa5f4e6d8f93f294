"""Sites of cores so that packets take few hops: annealing, then tabu search.

Connolly, "An improved annealing scheme for the QAP", European Journal of Operational Research 46,
1990; Taillard, "Robust taboo search for the quadratic assignment problem", Parallel Computing 17,
1991. Neither is good alone: tabu search stays where it began, annealing stops beside an optimum.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from snnc_backends.crossbar.placement.assignment import Floats, Sites, both_ways, hops
from snnc_backends.crossbar.placement.exchanges import Exchanges

STEPS = (200, 3000)
"""Least and most exchanges of a tabu search."""
WORK = 400_000_000
"""Pairs of cores and sites that one search may look at."""
PATIENCE = 10
"""A tabu search ends after 100 exchanges and this many for every site without a better result."""
ANNEALED = (10, 4)
"""Least cores for annealing, and how often it is tried."""
COOLING = 100, 5000
"""Steps of annealing for every site, and at most."""
HEAT = (0.3, 0.002)
"""First and last temperature, in mean changes of the cost."""
CANDIDATES = 16
"""Exchanges that a step of annealing chooses from: the first that is accepted."""


def search(
    flow: Floats, distance: NDArray[np.int64], start: Sites, rng: np.random.Generator
) -> Sites:
    """The best sites found; never worse than `start`.

    Tabu search from the start; then, while `WORK` lasts, from what annealing makes of the start.

    Args:
        flow: (cores, cores) packets; (i, j) and (j, i) are added.
        distance: (sites, sites), symmetric; there are as many sites as cores or more.
        start: (cores,) different sites.
    """
    if len(distance) < 2 or not both_ways(flow).any():
        return start
    size = len(flow) * len(distance)
    best, work = _tabu(Exchanges(flow, distance, start), rng)
    least, cores = hops(flow, distance, best), len(flow)
    steps = min(COOLING[0] * len(distance), COOLING[1])
    for _ in range(ANNEALED[1] if cores >= ANNEALED[0] else 0):
        if work + steps * size > WORK:
            break
        warm = Exchanges(flow, distance, _annealed(Exchanges(flow, distance, start), steps, rng))
        found, more = _tabu(warm, rng)
        work += more + steps * size
        cost = hops(flow, distance, found)
        if cost < least:
            best, least = found, cost
    return best


def _tabu(state: Exchanges, rng: np.random.Generator) -> tuple[Sites, int]:
    """The best sites on the way, and how many pairs were looked at."""
    cores, size = state.at.shape
    scale = int((cores * size) ** 0.5)
    most = int(np.clip(WORK // (cores * size), *STEPS))
    until = np.zeros(state.at.shape, np.int64)  # per core and site, when it may come back
    current = best = state.cost
    chosen, better, step = state.sites, 0, 0
    while step < most and step - better <= 100 + PATIENCE * scale:
        change = state.changes()
        back = until[:, state.place] > step
        back[:, :cores] &= back[:, :cores].T
        allowed = np.where(back & (current + change >= best - 1e-9), np.inf, change)
        a, b = divmod(int(allowed.argmin()), size)
        step += 1
        if not np.isfinite(allowed[a, b]):
            continue
        tenure = step - 1 + rng.integers(int(0.9 * scale), int(1.1 * scale) + 3, 2)
        until[a, state.place[a]] = tenure[0]
        if b < cores:
            until[b, state.place[b]] = tenure[1]
        current += float(change[a, b])
        state.exchange(a, b)
        if current < best - 1e-9:
            best, chosen, better = current, state.sites, step - 1
    return chosen, step * cores * size


def _annealed(state: Exchanges, steps: int, rng: np.random.Generator) -> Sites:
    """The best sites on the way from hot to cold."""
    cores, size = state.at.shape
    drawn = rng.integers(0, cores, 1000), rng.integers(0, size, 1000)
    sizes = np.abs(state.changes_of(*drawn))
    mean = float(sizes[sizes > 0].mean()) if sizes.any() else 0.0
    current = best = state.cost
    chosen = state.sites
    for heat in np.geomspace(*HEAT, steps) * mean:
        a, b = rng.integers(0, cores, CANDIDATES), rng.integers(0, size, CANDIDATES)
        change = state.changes_of(a, b)
        taken = (change < heat * rng.standard_exponential(CANDIDATES)) & (a != b)
        if not taken.any():
            continue
        first = int(taken.argmax())
        state.exchange(int(a[first]), int(b[first]))
        current += float(change[first])
        if current < best - 1e-9:
            best, chosen = current, state.sites
    return chosen
