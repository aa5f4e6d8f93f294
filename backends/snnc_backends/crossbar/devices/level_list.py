"""A device whose levels are a list of conductances."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from snnc.device import DeviceFacts
from snnc_backends.crossbar.devices.errors import NormalErrors


@dataclass(frozen=True)
class LevelList(NormalErrors):
    """The levels `us`, in microsiemens, with programming errors of `sigma` uS.

    g = max(0, us[level] + sigma * n), n of the standard normal distribution, for every cell on its
    own. No read noise, no drift.
    """

    name: ClassVar[str] = "level-list"
    us: tuple[float, ...] = (0.0, 100.0)
    sigma: float = 0.0

    def __post_init__(self) -> None:
        if not all(map(isfinite, self.us)) or min(self.us, default=0.0) < 0:
            raise ValueError("us must be conductances in microsiemens, finite and not negative")
        if len(self.us) < 2 or any(a >= b for a, b in zip(self.us, self.us[1:], strict=False)):
            raise ValueError("us must be two or more conductances, from the least to the largest")
        if not 0 <= self.sigma < np.inf:
            raise ValueError(f"sigma must be finite and not negative, but is {self.sigma}")

    @property
    def facts(self) -> DeviceFacts:
        """The levels of the list; ideal where sigma is 0."""
        return DeviceFacts(
            g_max_us=self.us[-1],
            g_min_us=self.us[0],
            ideal=self.sigma == 0,
            exceeds=True,
            levels_us=self.us,
        )

    def sigma_us(self, g: NDArray[np.float32]) -> NDArray[np.float32]:
        """The same for every level."""
        return np.full(g.shape, self.sigma, np.float32)
