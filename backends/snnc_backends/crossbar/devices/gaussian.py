"""A device whose programmed conductances have an error of one size, whatever the level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from snnc.device import DeviceFacts

G_MAX_US = 100.0
"""Only the unit of the conductances; it describes no material."""


@dataclass(frozen=True)
class Gaussian:
    """Programming errors of `sigma` times the largest conductance, normally distributed.

    g = max(0, g_max * (level / largest + sigma * n)), n of the standard normal distribution, for
    every cell on its own. No read noise, no drift.
    """

    name: ClassVar[str] = "gaussian"
    sigma: float = 0.05

    def __post_init__(self) -> None:
        if not 0 <= self.sigma < np.inf:
            raise ValueError(f"sigma must be finite and not negative, but is {self.sigma}")

    @property
    def facts(self) -> DeviceFacts:
        """Any number of levels from 0 to 100 uS; ideal where sigma is 0."""
        return DeviceFacts(g_max_us=G_MAX_US, ideal=self.sigma == 0, exceeds=True)

    def program(
        self, levels: NDArray[np.integer], largest: int, rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """The conductance of the level plus an error, in microsiemens."""
        conductances = rng.standard_normal(levels.shape, np.float32)
        conductances *= np.float32(self.sigma * G_MAX_US)
        conductances += (levels * (G_MAX_US / largest)).astype(np.float32)
        return np.maximum(conductances, 0, out=conductances)

    def read(
        self, conductances_us: NDArray[np.float32], rng: np.random.Generator, seconds: float
    ) -> NDArray[np.float32]:
        """The programmed conductances."""
        return conductances_us
