"""Statistics of activations from a stream of samples, in constant memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from snnc.errors import DataError

BINS = 16_384
MERGED = 4
"""Bins merged into one for `least_squares`."""
CLIPS = 64
"""Number of candidate thresholds, k/64 of the largest value."""

Granularity = Literal["channel", "layer"]
Rows = NDArray[np.floating]
"""(G, M): one row per channel, or one row for the layer."""


def in_rows(values: NDArray[np.floating], granularity: Granularity) -> Rows:
    """Values (lead, C, *rest) as rows (G, M): one per channel, or one for the layer."""
    if granularity == "layer":
        return values.reshape(1, -1)
    return np.moveaxis(values, 1, 0).reshape(values.shape[1], -1)


@dataclass
class Range:
    """Exact minimum and maximum of each row."""

    low: NDArray[np.float64] | None = None
    high: NDArray[np.float64] | None = None

    def add(self, rows: Rows) -> None:
        """Extend the range to these values."""
        low, high = rows.min(axis=1).astype(np.float64), rows.max(axis=1).astype(np.float64)
        self.low = low if self.low is None else np.minimum(self.low, low)
        self.high = high if self.high is None else np.maximum(self.high, high)

    def limits(self) -> tuple[float, float]:
        """Minimum and maximum over all rows. Raises `DataError` if nothing was added."""
        if self.low is None or self.high is None:
            raise DataError("the calibration data hold no samples")
        return float(self.low.min()), float(self.high.max())


@dataclass
class Histogram:
    """Histogram of the positive values of each group over a known range.

    Attributes:
        top: (G,) maximum of each group; 0 if none is positive.
        counts: (G, BINS) number of values in (0, top], in bins of equal width.
        zeros: (G,) number of values <= 0.
    """

    top: NDArray[np.float64]
    counts: NDArray[np.uint32]
    zeros: NDArray[np.int64]

    @classmethod
    def over(cls, top: NDArray[np.float64]) -> Histogram:
        """An empty histogram of the range [0, top]."""
        top = np.maximum(top, 0)
        return cls(top, np.zeros((len(top), BINS), np.uint32), np.zeros(len(top), np.int64))

    def add(self, values: Rows) -> None:
        """Add values (G, M)."""
        for group, row in enumerate(values):
            active = row[row > 0]
            self.zeros[group] += row.size - active.size
            if active.size:
                bins = (active * (BINS / self.top[group])).astype(np.int32)
                np.minimum(bins, BINS - 1, out=bins)
                self.counts[group] += np.bincount(bins, minlength=BINS).astype(np.uint32)

    def percentile(self, percent: float) -> NDArray[np.float64]:
        """(G,) percentiles, negative values counted as 0, interpolated within a bin.

        The error is below top / BINS; `percent=100` is the exact maximum.
        """
        if percent == 100:
            return self.top.copy()
        percentiles = np.zeros(len(self.top))
        for group, counts in enumerate(self.counts):
            cumulative = np.cumsum(counts, dtype=np.int64)
            size = self.zeros[group] + cumulative[-1]
            rank = percent / 100 * (size - 1) - self.zeros[group]
            if rank < 0 or not cumulative[-1]:
                continue
            place = int(np.searchsorted(cumulative, rank, side="right"))
            place = min(place, BINS - 1)
            inside = (rank - (cumulative[place] - counts[place]) + 0.5) / max(1, counts[place])
            percentiles[group] = self.top[group] * (place + min(inside, 1.0)) / BINS
        return np.minimum(percentiles, self.top)

    def least_squares(self, levels: int, start: float = 0.5) -> NDArray[np.float64]:
        """(G,) thresholds whose quantiser of `levels` steps has the least mean squared error.

        The quantiser of x is θ/levels * clip(floor(x * levels/θ + start), 0, levels): the output
        of a population with threshold θ and starting potential start * θ for a constant input x in
        a window of `levels` steps. θ is one of `CLIPS` fractions of the largest value.
        """
        thresholds = self.top.copy()
        centres = (np.arange(0, BINS, MERGED) + MERGED / 2) / BINS
        clips = np.arange(1, CLIPS + 1)[:, None] / CLIPS
        quantised = np.clip(np.floor(centres * levels / clips + start), 0, levels) * clips / levels
        squares = (quantised - centres) ** 2
        for group, counts in enumerate(self.counts):
            merged = counts.reshape(-1, MERGED).sum(axis=1, dtype=np.float64)
            thresholds[group] *= clips[int(np.argmin(squares @ merged)), 0]
        return thresholds


def kth_smallest(values: Rows, percent: float) -> NDArray[np.floating]:
    """(G,) the k-th smallest of each row of (G, M), k = 1 + round(percent/100 * (M-1))."""
    k = round(percent / 100 * (values.shape[1] - 1))
    return np.partition(values, k, axis=1)[:, k]
