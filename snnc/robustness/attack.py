"""What an attack may do, and what all of them have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from snnc.errors import UsageError
from snnc.robustness.network import DifferentiableNetwork, Images

Labels = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The limits of an attack in the largest norm.

    Attributes:
        eps: largest change of a value of the input, in its units: those of pixels where mean and
            std are part of the network.
        bounds: the least and the largest value of an input.
        steps: of an iterative attack; queries of a gradient-free one.
        restarts: random starts; the strongest counts.
        seed: of everything random.
    """

    eps: float
    bounds: tuple[float, float] = (0.0, 1.0)
    steps: int = 20
    restarts: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        low, high = self.bounds
        if not low < high:
            raise UsageError(f"--bounds {low:g},{high:g}: the first is below the second")
        if not 0 < self.eps <= high - low:
            raise UsageError(
                f"--eps {self.eps:g} is not above 0 and at most {high - low:g}, the range of inputs"
            )
        for flag, number in (("--steps", self.steps), ("--restarts", self.restarts)):
            if number < 1:
                raise UsageError(f"{flag} {number}: at least one")

    def clipped(self, moved: NDArray[np.floating[Any]], x: Images) -> Images:
        """`moved`, brought back to within eps of `x` and into the bounds."""
        eps, (low, high) = np.float32(self.eps), map(np.float32, self.bounds)
        near = np.minimum(np.maximum(moved, x - eps), x + eps)
        return np.minimum(np.maximum(near, low), high).astype(np.float32)


class Attack(Protocol):
    """A way to change inputs."""

    def __call__(
        self, network: DifferentiableNetwork, x: Images, y: Labels, budget: Budget
    ) -> Images:
        """Inputs (N, *shape) within the budget around `x`, to be classified other than `y`."""
        ...


def noise(network: DifferentiableNetwork, x: Images, y: Labels, budget: Budget) -> Images:
    """+eps or -eps at random for every value: the control that no gradient is needed for."""
    signs = np.random.default_rng(budget.seed).integers(0, 2, x.shape) * 2 - 1
    return budget.clipped(x + np.float32(budget.eps) * signs.astype(np.float32), x)
