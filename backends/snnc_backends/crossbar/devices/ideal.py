"""The ideal device: level l of L has the conductance l/L * g_max, without errors or drift."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from snnc.device import DeviceFacts


@dataclass(frozen=True)
class Ideal:
    """Evenly spaced levels from 0 to `g_max_us`; no noise, no drift.

    `g_max_us` only sets the unit of the stored conductances; it describes no material.
    """

    name: ClassVar[str] = "ideal"
    g_max_us: float = 100.0

    def __post_init__(self) -> None:
        if not 0 < self.g_max_us < np.inf:
            raise ValueError(f"g-max-us must be positive and finite, not {self.g_max_us}")

    @property
    def facts(self) -> DeviceFacts:
        """Any number of levels, without errors."""
        return DeviceFacts(g_max_us=self.g_max_us, ideal=True)

    def program(
        self, levels: NDArray[np.integer], largest: int, rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """g = g_max * level / largest, in microsiemens."""
        return (levels * (self.g_max_us / largest)).astype(np.float32)

    def read(
        self, conductances_us: NDArray[np.float32], rng: np.random.Generator, seconds: float
    ) -> NDArray[np.float32]:
        """The programmed conductances."""
        return conductances_us
