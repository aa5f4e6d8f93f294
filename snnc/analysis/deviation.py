"""Errors of outputs, in the unit of the outputs."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

Outputs = NDArray[np.floating[Any]]


@dataclass
class Deviation:
    """Sums of absolute and squared errors over samples, averaged over the elements of an output."""

    absolute: float = 0.0
    squared: float = 0.0
    samples: int = 0

    def add(self, output: Outputs, wanted: NDArray[np.generic]) -> None:
        """Add a batch of outputs (N, …) and the wanted values, as many per sample."""
        flat = output.reshape(len(output), -1).astype(np.float64)
        error = flat - wanted.reshape(len(wanted), -1).astype(np.float64)
        self.absolute += float(np.abs(error).mean(axis=1).sum())
        self.squared += float(np.square(error).mean(axis=1).sum())
        self.samples += len(output)

    def report(self, prefix: str = "") -> dict[str, float]:
        """Keys as in docs/report.md, with a prefix; empty if nothing was added."""
        if not self.samples:
            return {}
        return {
            f"{prefix}mean_absolute_error": self.absolute / self.samples,
            f"{prefix}root_mean_square_error": sqrt(self.squared / self.samples),
        }
