"""The ideal device: level l of L is the conductance l/L * 100 uS, exactly and for ever."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Ideal:
    """Evenly spaced levels from no conductance at all to `g_max_us`; no noise, no drift.

    `g_max_us` is the unit in which conductances are written down, no claim about a material.
    """

    g_max_us: float = 100.0

    def conductances_us(self, levels: NDArray[np.integer], largest: int) -> NDArray[np.float32]:
        """g = g_max * level / largest, in microsiemens."""
        return (levels * (self.g_max_us / largest)).astype(np.float32)

    def levels(self, conductances_us: NDArray[np.float32], largest: int) -> NDArray[np.int64]:
        """level = rint(g * largest / g_max)."""
        real = conductances_us.astype(np.float64) * (largest / self.g_max_us)
        return np.rint(real).astype(np.int64)
