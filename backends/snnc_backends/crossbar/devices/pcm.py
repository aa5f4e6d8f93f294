"""Phase-change memory: programming noise, drift with time, read noise."""

from __future__ import annotations

from dataclasses import dataclass
from math import log, sqrt
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from snnc.device import DeviceFacts
from snnc_backends.crossbar.devices.errors import NormalErrors

G_MAX_US = 25.0
PROGRAMMING = (-1.1731, 1.965, 0.26348)
"""Coefficients of (g / g_max)^2 to ^0 of the standard deviation of programming, in uS."""
FIRST_S = 20.0
"""Programming ends, and drift is counted, this long after the first pulse."""
READ_S = 250e-9
"""Duration of a read."""
USUAL_NU = 0.049
"""Mean exponent of the drift of cells above a fifth of g_max."""
SMALLEST = 1e-3
"""Conductances are taken as no less than this fraction of g_max where a logarithm is needed."""


@dataclass(frozen=True)
class Pcm(NormalErrors):
    """Phase-change memory of 0 to 25 uS, read `seconds` after programming.

    With g = G / 25 uS, all errors normally distributed and independent for every cell:
    programming adds sigma = 0.26348 + 1.965 g - 1.1731 g^2 uS; then G falls as
    (1 + seconds / 20)^-nu with nu of mean -0.0155 ln g + 0.0244 within 0.049..0.1 and sigma
    -0.0125 ln g - 0.0059 within 0.008..0.045, not below 0; a read adds
    G * min(0.2, 0.0088 / g^0.65) * sqrt(ln((t + 250 ns) / 500 ns)), t = seconds + 20 s, where g is
    the conductance before the drift, estimated with nu = 0.049.

    Measured on a million cells by Nandakumar et al., "Phase-Change Memory Models for Deep Learning
    Training and Inference", ICECS 2019, and Joshi et al., "Accurate deep neural network inference
    using computational phase-change memory", Nature Communications 2020; constants as in IBM
    aihwkit 1.1 (PCMLikeNoiseModel).
    """

    name: ClassVar[str] = "pcm"
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.seconds < np.inf:
            raise ValueError(f"seconds must be finite and not negative, but is {self.seconds}")

    @property
    def facts(self) -> DeviceFacts:
        """Any number of levels from 0 to 25 uS."""
        return DeviceFacts(g_max_us=G_MAX_US, exceeds=True, read_after_s=self.seconds)

    def sigma_us(self, g: NDArray[np.float32]) -> NDArray[np.float32]:
        """Of programming."""
        return np.polyval(PROGRAMMING, g / np.float32(G_MAX_US)).astype(np.float32)

    def read(
        self, conductances_us: NDArray[np.float32], rng: np.random.Generator, seconds: float
    ) -> NDArray[np.float32]:
        """The conductances after the drift, in microsiemens."""
        if not seconds:
            return conductances_us
        logarithm = np.log(np.maximum(conductances_us / np.float32(G_MAX_US), SMALLEST))
        mean = np.clip(-0.0155 * logarithm + 0.0244, 0.049, 0.1)
        spread = np.clip(-0.0125 * logarithm - 0.0059, 0.008, 0.045)
        nu = mean + spread * rng.standard_normal(conductances_us.shape, np.float32)
        factor = np.exp(-np.maximum(nu, 0) * log(1 + seconds / FIRST_S))
        return (conductances_us * factor).astype(np.float32)

    def read_noise_us(
        self, conductances_us: NDArray[np.float32], seconds: float
    ) -> NDArray[np.float32]:
        """Standard deviation of one read, in microsiemens."""
        before = conductances_us * np.float32((1 + seconds / FIRST_S) ** USUAL_NU / G_MAX_US)
        part = np.minimum(0.2, 0.0088 / np.maximum(before, SMALLEST) ** 0.65)
        after = seconds + FIRST_S
        growth = sqrt(log((after + READ_S) / (2 * READ_S)))
        return (conductances_us * part * growth).astype(np.float32)
