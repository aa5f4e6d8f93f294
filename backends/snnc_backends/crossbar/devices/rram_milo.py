"""RRAM with the programming errors that Milo et al. measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from snnc.device import DeviceFacts
from snnc_backends.crossbar.devices.errors import NormalErrors


@dataclass(frozen=True)
class RramMilo(NormalErrors):
    """Multilevel RRAM of 50 to 225 uS. No read noise, no drift.

    Programming adds a normally distributed error with sigma = max(0, 4.782 uS - 0.009107 g).

    Measured by Milo et al., "Optimized programming algorithms for multilevel RRAM in hardware
    neural networks", IRPS 2021, Fig. 4; the linear fit is that of CrossSim 3.2 (RRAMMilo).
    """

    name: ClassVar[str] = "rram-milo"

    @property
    def facts(self) -> DeviceFacts:
        """Any number of levels from 50 to 225 uS."""
        return DeviceFacts(g_max_us=225.0, g_min_us=50.0, exceeds=True)

    def sigma_us(self, g: NDArray[np.float32]) -> NDArray[np.float32]:
        """The linear fit."""
        return np.maximum(np.float32(4.782) - np.float32(0.009107) * g, np.float32(0))
