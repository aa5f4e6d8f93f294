"""Normally distributed programming errors whose size depends on the conductance."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from snnc.device import DeviceFacts


def programmed_us(
    levels: NDArray[np.integer],
    largest: int,
    facts: DeviceFacts,
    sigma_us: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """max(0, g + sigma(g) * n) in microsiemens, g the conductance of the level without errors.

    n is of the standard normal distribution, for every cell on its own.
    """
    span = facts.g_max_us - facts.g_min_us
    nominal = (facts.g_min_us + levels * (span / largest)).astype(np.float32)
    errors = rng.standard_normal(levels.shape, np.float32)
    return np.maximum(nominal + sigma_us(nominal) * errors, np.float32(0))
