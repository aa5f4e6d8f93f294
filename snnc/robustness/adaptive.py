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
    intervals; the direction is `_Means.direction`. A sample that was once classified wrong keeps
    those values, the others keep those of the largest loss. Wang et al., 2025 (arXiv 2512.22522),
    algorithm SA-PGD; with `AdaptiveSharpness` as the surrogate the strongest attack there.
    """
    best = x.copy()
    fooled = np.zeros(len(x), bool)
    for restart in range(budget.restarts):
        run = _Run(network, x, y, budget, np.random.default_rng([budget.seed, restart]))
        found, wrong = run.run()
        better = wrong & ~fooled if restart else np.ones(len(x), bool)
        best[better] = found[better]
        fooled |= wrong
    return best


class _Run:
    """One random start."""

    def __init__(
        self,
        network: DifferentiableNetwork,
        x: Images,
        y: Labels,
        budget: Budget,
        rng: np.random.Generator,
    ) -> None:
        self._network, self._budget = network, budget
        self._x, self._y = x, torch.from_numpy(y)
        start = rng.uniform(-budget.eps, budget.eps, x.shape).astype(np.float32)
        self._now = torch.from_numpy(budget.clipped(x + start, x))
        self._best, self._loss = self._now.clone(), torch.full((len(x),), -torch.inf)
        self._wrong = torch.zeros(len(x), dtype=torch.bool)

    def run(self) -> tuple[Images, np.ndarray]:
        """The strongest inputs, and which of them were classified wrong."""
        means, size, halved = _Means(), self._budget.eps, _halvings(self._budget.steps)
        for step in range(self._budget.steps):
            direction = means.direction(self._looked())
            moved = self._now + (size * direction).clamp(-size, size)
            self._now = torch.from_numpy(self._budget.clipped(moved.numpy(), self._x))
            size = size / 2 if step in halved else size
        self._looked()
        return self._best.numpy(), self._wrong.numpy()

    def _looked(self) -> Tensor:
        """The gradient here; what is best so far is kept."""
        slope, losses, right = gradient(self._network, self._now, self._y)
        better = ~self._wrong & (~right | (losses > self._loss))
        self._best[better], self._loss[better] = self._now[better], losses[better]
        self._wrong |= ~right
        return slope


def _halvings(steps: int) -> set[int]:
    """The steps behind which the step size is halved."""
    interval, at, found = max(int(FIRST * steps), 1), 0, set[int]()
    while at + interval < steps:
        at += interval
        found.add(at - 1)
        interval = max(interval - max(int(SHORTER * steps), 1), max(int(SHORTEST * steps), 1))
    return found
