"""How few hops an assignment of cores to sites can take at least.

Every packet between two cores takes the least distance (flow); every core has its partners on the
nearest sites (degree); the same with every site taken once (Gilmore, 1962; Lawler, 1963). Of the
packets between two cores each one pays a share, and any shares give a bound: equal ones are those
of the textbooks, but a core with many partners far away shows only if it pays for them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from snnc_backends.crossbar.linear_assignment import linear_assignment
from snnc_backends.crossbar.placement.assignment import Floats, both_ways, least_distance

MOST_CORES_BOUNDED = 100
"""Cores up to which the Gilmore-Lawler bound is computed; of more, it is hardly above `degree`."""
SHARES = (0, 0.5, 1, 2, 4, 8)
"""A core's share is its number of packets to this power; the best bound counts."""


def bounds(flow: Floats, distance: NDArray[np.int64]) -> dict[str, float]:
    """Lower bounds on the hops by name; `gilmore_lawler` up to `MOST_CORES_BOUNDED` cores."""
    both = both_ways(flow)
    found = {"flow": float(both.sum()) / 2 * least_distance(distance), "degree": 0.0}
    if len(flow) < 2 or not both.any():
        return found
    partners = len(flow) - 1
    nearest = np.sort(distance, axis=1)[:, 1 : partners + 1].astype(np.float64)
    strength = both.sum(1) / both.sum(1).max()
    tables: list[Floats] = []
    for power in SHARES:
        weight = np.maximum(strength, 1e-9) ** power
        paid = both * (weight[:, None] / (weight[:, None] + weight))
        tables.append(-np.sort(-paid, axis=1)[:, :partners] @ nearest.T)
    degrees = [float(least.min(1).sum()) for least in tables]
    found["degree"] = max(degrees)
    if len(flow) <= MOST_CORES_BOUNDED:
        taken = [(table, linear_assignment(table)) for table in tables]
        costs = (float(table[np.arange(len(table)), sites].sum()) for table, sites in taken)
        found["gilmore_lawler"] = max(costs)
    return found
