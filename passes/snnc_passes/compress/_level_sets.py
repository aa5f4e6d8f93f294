"""Sets of levels: evenly spaced, by k-means, given, or those of the target's cells."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from snnc.errors import PassError
from snnc.transform import PassContext

Spacing = Literal["uniform", "kmeans"]
Real = NDArray[np.float64]
ROUNDS = 100
"""Most rounds of k-means, which has settled long before."""


def level_set(magnitudes: Real, count: int, spacing: Spacing) -> Real:
    """(count,) ascending levels for magnitudes in (0, 1]; one level is their mean.

    Args:
        magnitudes: (n,) of the weights that are not zero, at least one.
    """
    if count == 1:
        return magnitudes.mean(keepdims=True)
    even = np.arange(1, count + 1) / count
    return even if spacing == "uniform" else _k_means(np.sort(magnitudes), count)


def _k_means(ordered: Real, count: int) -> Real:
    """Lloyd's algorithm in one dimension, from evenly spaced quantiles.

    A level without a weight stays where it was.
    """
    levels = np.quantile(ordered, (np.arange(count) + 0.5) / count)
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    for _ in range(ROUNDS):
        middles = (levels[1:] + levels[:-1]) / 2
        ends = np.concatenate([[0], np.searchsorted(ordered, middles), [len(ordered)]])
        sizes = np.diff(ends)
        means = np.where(sizes > 0, np.diff(sums[ends]) / np.maximum(sizes, 1), levels)
        if np.array_equal(means, levels):
            break
        levels = means
    return levels


def cell_levels(ctx: PassContext) -> Real:
    """The levels of the target's cells above the least, relative to the largest.

    Raises:
        PassError: the target has no cells.
    """
    limits: dict[str, Any] = {} if ctx.target is None else dict(ctx.target.limits)
    found = limits.get("levels_us")
    if found is None:
        raise PassError(
            "levels=target, but the target tells of no cells",
            hint="--target crossbar, or give levels",
        )
    conductances = np.asarray(found, np.float64)
    return (conductances[1:] - conductances[0]) / (conductances[-1] - conductances[0])
