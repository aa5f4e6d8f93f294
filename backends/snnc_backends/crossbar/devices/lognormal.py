"""A device whose programmed conductances have an error in proportion to their size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from snnc.device import DeviceFacts

G_MAX_US = 100.0
"""Only the unit of the conductances; it describes no material."""


@dataclass(frozen=True)
class Lognormal:
    """Programming errors by a factor whose logarithm is normally distributed.

    g = g_max * level / largest * exp(sigma * n), n of the standard normal distribution, for every
    cell on its own: the median is the conductance of the level, and level 0 is exact. No read
    noise, no drift.
    """

    name: ClassVar[str] = "lognormal"
    sigma: float = 0.05

    def __post_init__(self) -> None:
        if not 0 <= self.sigma <= 1:
            raise ValueError(f"sigma must be 0 to 1, not {self.sigma}")

    @property
    def facts(self) -> DeviceFacts:
        """Any number of levels from 0 to 100 uS; ideal where sigma is 0."""
        return DeviceFacts(g_max_us=G_MAX_US, ideal=self.sigma == 0, exceeds=True)

    def program(
        self, levels: NDArray[np.integer], largest: int, rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """The conductance of the level times its error, in microsiemens."""
        conductances = rng.standard_normal(levels.shape, np.float32)
        np.exp(conductances * np.float32(self.sigma), out=conductances)
        conductances *= (levels * (G_MAX_US / largest)).astype(np.float32)
        return conductances

    def read(
        self, conductances_us: NDArray[np.float32], rng: np.random.Generator, seconds: float
    ) -> NDArray[np.float32]:
        """The programmed conductances."""
        return conductances_us
