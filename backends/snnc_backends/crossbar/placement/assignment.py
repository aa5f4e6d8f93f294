"""Cores on the sites of a mesh or tree: a quadratic assignment problem.

The cost of an assignment p is the sum over pairs of cores of flow[i, j] * distance[p[i], p[j]].
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Sites = NDArray[np.int64]


def hops(flow: Floats, distance: NDArray[np.int64], sites: Sites) -> float:
    """The cost of cores at `sites`."""
    return float((flow * distance[np.ix_(sites, sites)]).sum())


def both_ways(flow: Floats) -> Floats:
    """Packets between two cores in either direction; a core sends none to itself."""
    both = flow + flow.T
    np.fill_diagonal(both, 0)
    return both


def least_distance(distance: NDArray[np.int64]) -> int:
    """Hops between the two sites that are nearest to each other; 0 for a single site."""
    return int(distance[distance > 0].min(initial=distance.max(initial=0)))
