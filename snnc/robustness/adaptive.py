"""The adaptive attack: momentum and step sizes of its own, on gradients that are fitted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from snnc.robustness.attack import Budget, Labels
from snnc.robustness.network import DifferentiableNetwork, Images, gradient

MOMENTUM, VARIANCE = 0.5, 0.8
FIRST, SHORTER, SHORTEST = 0.22, 0.03, 0.06
"""Part of the steps after which the step size is first halved; by how much the next intervals are
shorter; the shortest."""


@dataclass
class _Means:
    """Momentum and variance of the gradient, each sample's divided by its own mean size."""

    momentum: Tensor | None = None
    variance: Tensor | None = None

    def direction(self, slope: Tensor) -> Tensor:
        """m / sqrt(v), with m <- 0.5 m + g / mean|g| and v <- 0.8 v + g^2 / mean(g^2)."""
        first = slope / _mean(slope.abs())
        second = slope**2 / _mean(slope**2)
        old_m, old_v = self.momentum, self.variance
        self.momentum = first if old_m is None else MOMENTUM * old_m + first
        self.variance = second if old_v is None else VARIANCE * old_v + second
        return self.momentum / (self.variance.sqrt() + 1e-12)


def _mean(values: Tensor) -> Tensor:
    """The mean of each sample (N, 1, …), at least the smallest positive number."""
    means = values.flatten(1).mean(1).clamp(min=torch.finfo(values.dtype).tiny)
    return means.reshape(-1, *(1,) * (values.ndim - 1))


def adaptive(network: DifferentiableNetwork, x: Images, y: Labels, budget: Budget) -> Images:
    """Stable adaptive projected gradient descent in the largest norm.

    Every step moves each value by at most the step size, which starts at eps and is halved at
    intervals; the direction is `_Means.direction`. Of all steps and restarts the values of the
    largest loss are kept; a sample that is classified wrong for certain keeps those values. One
    with a random encoder goes on: that a few draws were classified wrong means little. Wang et al.,
    2025 (arXiv 2512.22522), algorithm SA-PGD; with `AdaptiveSharpness` as the surrogate the
    strongest attack there.
    """
    best = _Best(torch.from_numpy(x).clone(), torch.full((len(x),), -torch.inf))
    for restart in range(budget.restarts):
        rng = np.random.default_rng([budget.seed, restart])
        start = x + rng.uniform(-budget.eps, budget.eps, x.shape).astype(np.float32)
        _run(network, x, y, budget, start, best)
    return best.x.numpy()


@dataclass
class _Best:
    """The strongest inputs so far (N, *shape) and their strengths (N,): losses, or infinite."""

    x: Tensor
    strength: Tensor

    def keep(self, x: Tensor, strength: Tensor) -> None:
        """Those of `x` that are stronger."""
        better = strength > self.strength
        self.x[better], self.strength[better] = x[better], strength[better]


def _run(
    network: DifferentiableNetwork, x: Images, y: Labels, budget: Budget, start: Images, best: _Best
) -> None:
    """All steps from one start."""
    means, size, halved = _Means(), budget.eps, _halvings(budget.steps)
    now, labels = torch.from_numpy(budget.clipped(start, x)), torch.from_numpy(y)
    for step in range(budget.steps + 1):
        slope, losses, right = gradient(network, now, labels)
        certain = ~right & (not network.random)
        best.keep(now, losses.masked_fill(certain, torch.inf))
        moved = now + (size * means.direction(slope)).clamp(-size, size)
        now = torch.from_numpy(budget.clipped(moved.numpy(), x))
        size = size / 2 if step in halved else size


def _halvings(steps: int) -> set[int]:
    """The steps behind which the step size is halved."""
    interval, at, found = max(int(FIRST * steps), 1), 0, set[int]()
    while at + interval < steps:
        at += interval
        found.add(at - 1)
        interval = max(interval - max(int(SHORTER * steps), 1), max(int(SHORTEST * steps), 1))
    return found
