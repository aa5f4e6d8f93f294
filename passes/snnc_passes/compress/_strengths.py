"""How strong synapses are, by STDP, by magnitude, or by chance."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from snnc.ir import Graph, Weighted

Real = NDArray[np.float64]


def weight_arrays(graph: Graph) -> dict[str, Real]:
    """The weight arrays of all weighted layers, by name, in graph order."""
    names = [node.op.weight.name for node in graph.nodes if isinstance(node.op, Weighted)]
    return {name: graph.params[name].astype(np.float64) for name in dict.fromkeys(names)}


def magnitudes(weights: Mapping[str, Real]) -> dict[str, Real]:
    """|w| / w_max, with the largest |w| of the array as w_max."""
    return {name: np.abs(w) / (np.abs(w).max(initial=0) or 1.0) for name, w in weights.items()}


def after_stdp(
    weights: Mapping[str, Real], correlations: Mapping[str, Real], eta: float, mu: float
) -> dict[str, Real]:
    """m + eta * c * (1 - m)^mu for the magnitude m = |w| / w_max and the mean correlation c.

    An array without correlations, whose currents enter no population, keeps its magnitudes.
    """
    found = magnitudes(weights)
    for name, c in correlations.items():
        m = found[name]
        found[name] = m + eta * c * (1 - m) ** mu
    return found
