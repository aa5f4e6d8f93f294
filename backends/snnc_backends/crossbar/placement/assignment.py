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
