"""The range of a network's inputs, and whether other data leave it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.floating[Any]]
FAR = 1.0
"""Largest accepted distance of the moments of other data, in deviations of the calibration data."""
FEWEST = 32
"""Samples from which moments are compared; of fewer, only the range is."""
BEYOND = 0.01
"""Largest accepted fraction of samples that leave the range by more than its width."""


@dataclass(frozen=True)
class InputRange:
    """Smallest and largest value, mean and standard deviation over all values of all samples."""

    low: float
    high: float
    mean: float
    deviation: float

    def report(self) -> dict[str, float]:
        """JSON-able; `parse` reads it back."""
        return asdict(self)

    @classmethod
    def parse(cls, stored: object) -> InputRange | None:
        """The range that `report` gave; None for anything else."""
        if not isinstance(stored, Mapping):
            return None
        values = [cast("Mapping[str, Any]", stored).get(each.name) for each in fields(cls)]
        if not all(isinstance(value, float) and np.isfinite(value) for value in values):
            return None
        return cls(*cast("list[float]", values))

    def __str__(self) -> str:
        return (
            f"{self.low:.4g} to {self.high:.4g} (mean {self.mean:.3g}, "
            f"deviation {self.deviation:.3g})"
        )


class InputTally:
    """Moments of the inputs per channel (the first axis of a sample), and their range.

    Args:
        within: counts the samples that leave this range by more than its width.
    """

    def __init__(self, within: InputRange | None = None) -> None:
        self.samples = self.beyond = 0
        self._within = within
        self._low, self._high = np.inf, -np.inf
        self._count = 0
        self._sum: Real = np.zeros(1)
        self._squares: Real = np.zeros(1)

    def add(self, x: Real) -> None:
        """Add a batch (N, *shape)."""
        if not x.size:
            return
        values = np.asarray(x, np.float64).reshape(len(x), x.shape[1] if x.ndim > 1 else 1, -1)
        self.samples += len(x)
        self._count += values.shape[0] * values.shape[2]
        self._sum = self._sum + values.sum(axis=(0, 2))
        self._squares = self._squares + np.square(values).sum(axis=(0, 2))
        low, high = values.min(axis=(1, 2)), values.max(axis=(1, 2))
        self._low, self._high = min(self._low, low.min()), max(self._high, high.max())
        if self._within is not None:
            width = self._within.high - self._within.low
            outside = (low < self._within.low - width) | (high > self._within.high + width)
            self.beyond += int(outside.sum())

    def channels(self) -> tuple[Real, Real]:
        """Mean and standard deviation of every channel, (C,) each; of at least one sample."""
        mean = self._sum / self._count
        return mean, np.sqrt(np.maximum(self._squares / self._count - mean**2, 0))

    def range(self) -> InputRange:
        """Over all channels; of at least one sample."""
        means, deviations = self.channels()
        spread = float(np.sqrt((np.square(deviations) + np.square(means - means.mean())).mean()))
        return InputRange(float(self._low), float(self._high), float(means.mean()), spread)


def leaves(calibrated: InputRange, seen: InputTally) -> dict[str, Any]:
    """How the data `seen` differ from the calibration data; {} if their thresholds fit them.

    They do not fit where more than `BEYOND` of the samples leave the range by its width, or, for
    `FEWEST` samples or more, sqrt(shift^2 + spread^2) > `FAR` with shift = (m - mu) / sigma and
    spread = ln(s / sigma): m and s are mean and deviation of the data, mu and sigma those of the
    calibration data.
    """
    if not seen.samples:
        return {}
    found = seen.range()
    least = 1e-12 + 1e-6 * max(abs(calibrated.low), abs(calibrated.high))
    sigma, s = max(calibrated.deviation, least), max(found.deviation, least)
    figures = {
        "shift": (found.mean - calibrated.mean) / sigma,
        "spread": float(np.log(s / sigma)),
        "beyond": seen.beyond / seen.samples,
    }
    far = seen.samples >= FEWEST and float(np.hypot(figures["shift"], figures["spread"])) > FAR
    if not far and figures["beyond"] <= BEYOND:
        return {}
    return {**figures, "data": found.report(), "calibration": calibrated.report()}
