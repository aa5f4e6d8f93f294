"""Normally distributed programming errors whose size depends on the conductance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snnc.device import DeviceFacts, nominal_us


@dataclass(frozen=True)
class NormalErrors:
    """Base of devices that are programmed to max(0, g + sigma(g) * n) microsiemens.

    g is the conductance of the level without errors, n of the standard normal distribution, for
    every cell on its own. No read noise, no drift.
    """

    @property
    def facts(self) -> DeviceFacts:
        """The limits of the device."""
        raise NotImplementedError

    def sigma_us(self, g: NDArray[np.float32]) -> NDArray[np.float32]:
        """Standard deviation of programming, in microsiemens, of cells of g microsiemens."""
        raise NotImplementedError

    def program(
        self, levels: NDArray[np.integer], largest: int, rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """The conductance of the level plus an error, in microsiemens."""
        nominal = nominal_us(levels, largest, self.facts).astype(np.float32)
        errors = rng.standard_normal(levels.shape, np.float32)
        return np.maximum(nominal + self.sigma_us(nominal) * errors, np.float32(0))

    def read(
        self, conductances_us: NDArray[np.float32], rng: np.random.Generator, seconds: float
    ) -> NDArray[np.float32]:
        """The programmed conductances."""
        return conductances_us
