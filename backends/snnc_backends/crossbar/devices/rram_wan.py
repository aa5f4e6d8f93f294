"""RRAM with the programming errors that Wan et al. measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from snnc.device import DeviceFacts
from snnc_backends.crossbar.devices.errors import NormalErrors

FIT = (1.536e-4, -1.167e-2, 0.2374, 1.053)
"""Coefficients of g^3 to g^0 (g in uS) of the standard deviation in uS."""


@dataclass(frozen=True)
class RramWan(NormalErrors):
    """RRAM of NeuRRAM, 1 to 39 uS, one second after programming. No read noise, no drift.

    sigma = 1.536e-4 g^3 - 1.167e-2 g^2 + 0.2374 g + 1.053, in uS: measured by Wan et al., "A
    compute-in-memory chip based on resistive random-access memory", Nature 2022, Extended Data
    Fig. 3; the cubic fit is that of CrossSim 3.2 (RRAMWan).
    """

    name: ClassVar[str] = "rram-wan"

    @property
    def facts(self) -> DeviceFacts:
        """Any number of levels from 1 to 39 uS."""
        return DeviceFacts(g_max_us=39.0, g_min_us=1.0, exceeds=True)

    def sigma_us(self, g: NDArray[np.float32]) -> NDArray[np.float32]:
        """The cubic fit."""
        return np.polyval(FIT, g).astype(np.float32)
