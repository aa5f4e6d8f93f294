"""A complete third-party device: this file and one entry point in a pyproject.toml."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from snnc.device import DeviceFacts


@dataclass(frozen=True)
class Gaussian:
    """Programming errors of `sigma` times the largest conductance, normally distributed."""

    name: ClassVar[str] = "acme"
    sigma: float = 0.02

    def __post_init__(self) -> None:
        if self.sigma < 0:
            raise ValueError(f"sigma must not be negative, but is {self.sigma}")

    @property
    def facts(self) -> DeviceFacts:
        """16 levels of 1 to 50 uS."""
        return DeviceFacts(g_max_us=50.0, g_min_us=1.0, max_levels=16, ideal=self.sigma == 0)

    def program(
        self, levels: NDArray[np.integer], largest: int, rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """The conductance of the level, plus an error, within 0 and 50 uS."""
        nominal = 1.0 + levels * (49.0 / largest)
        off = rng.normal(0.0, self.sigma * 50.0, nominal.shape)
        return np.clip(nominal + off, 0.0, 50.0).astype(np.float32)

    def read(
        self, conductances_us: NDArray[np.float32], rng: np.random.Generator, seconds: float
    ) -> NDArray[np.float32]:
        """The programmed conductances: no drift, no noise."""
        return conductances_us
