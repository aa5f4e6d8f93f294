"""Statistics of activations from a stream of samples, in constant memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnc.errors import DataError
from snnc.training.bin_counts import count_bins

BINS = 16_384
MERGED = 4
"""Bins merged into one for `least_squares`."""
CLIPS = 128
"""Number of candidate thresholds, k/128 of the range; those up to the largest value are tried."""
TOGETHER = 256
"""Groups whose errors are computed together."""
LEAST_EXPONENT = -100
"""That of the smallest range."""

Granularity = Literal["channel", "layer"]
Rows = NDArray[np.floating]
"""(G, M): one row per channel, or one row for the layer."""


def in_rows(values: NDArray[np.floating], granularity: Granularity) -> Rows:
    """Values (lead, C, *rest) as rows (G, M): one per channel, or one for the layer."""
    if granularity == "layer":
        return values.reshape(1, -1)
    return np.moveaxis(values, 1, 0).reshape(values.shape[1], -1)


def in_groups(values: Tensor, granularity: Granularity) -> Tensor:
    """Values (N, C, *rest) as (N, G, M): one group per channel, or one for the layer."""
    return values.reshape(len(values), 1 if granularity == "layer" else values.shape[1], -1)


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


class Histogram:
    """Histogram of the positive values of each group, whose range doubles as larger ones come.

    The bins of a group divide (0, 2^e], for the least e that its largest value allows. When e
    grows, they are merged in pairs, which is exact: the histogram does not depend on the order of
    the values. As long as a group has no more values than bins, they are held as they are.

    Args:
        groups: G.

    """

    def __init__(self, groups: int) -> None:
        self._top = torch.zeros(groups)
        self._zeros = torch.zeros(groups, dtype=torch.int64)
        self._exponent = torch.full((groups,), LEAST_EXPONENT, dtype=torch.int32)
        self._counts: Tensor | None = None
        self._held: list[Tensor] = []

    @property
    def top(self) -> NDArray[np.float64]:
        """(G,) maximum of each group; 0 if none is positive."""
        self._pour()
        return self._top.double().numpy()

    @property
    def counts(self) -> Tensor:
        """(G, BINS) number of positive values in bins of the same width."""
        self._pour()
        assert self._counts is not None
        return self._counts[:, 1:]

    @property
    def widths(self) -> NDArray[np.float64]:
        """(G,) width of the bins of each group: above top / (2 BINS), and at most top / BINS."""
        self._pour()
        return np.ldexp(1 / BINS, self._exponent.numpy())

    def add(self, values: Tensor) -> None:
        """Add float32 values (N, G, M) on the CPU; negative ones count as 0."""
        held = sum(part[:, 0].numel() for part in self._held)
        self._held.append(values)
        if self._counts is not None or held + values[:, 0].numel() > BINS:
            self._pour()

    def _pour(self) -> None:
        """Count the values that are held."""
        if self._counts is None:
            self._counts = torch.zeros(len(self._top), BINS + 1, dtype=torch.int32)
        held, self._held = self._held, []
        if not held:
            return
        self._widen(torch.stack([part.amax((0, 2)) for part in held]).amax(0))
        scales = torch.from_numpy(np.ldexp(np.float32(BINS), -self._exponent.numpy()))
        for part in held:
            count_bins(part, scales, self._counts)
        self._zeros += self._counts[:, 0]
        self._counts[:, 0] = 0

    def _widen(self, high: Tensor) -> None:
        """Extend the range of each group to `high` (G,)."""
        assert self._counts is not None
        mantissa, exponent = torch.frexp(torch.maximum(high, self._top))
        exponent = (exponent - (mantissa == 0.5).int()).clamp(min=LEAST_EXPONENT)
        doublings = torch.where(self._top > 0, exponent - self._exponent, 0)
        while bool((rows := doublings > 0).any()):
            pairs = self._counts[rows, 1:].reshape(-1, BINS // 2, 2).sum(2, dtype=torch.int32)
            self._counts[rows, 1 : BINS // 2 + 1] = pairs
            self._counts[rows, BINS // 2 + 1 :] = 0
            doublings -= rows.int()
        self._exponent, self._top = exponent, torch.maximum(high, self._top)

    def percentile(self, percent: float) -> NDArray[np.float64]:
        """(G,) percentiles, negative values counted as 0, interpolated within a bin.

        The error is below the width of a bin; `percent=100` is the exact maximum.
        """
        top, zeros = self.top, self._zeros.numpy()
        if percent == 100:
            return top
        percentiles, widths = np.zeros(len(top)), self.widths
        for group, counts in enumerate(self.counts.numpy()):
            cumulative = np.cumsum(counts, dtype=np.int64)
            size = zeros[group] + cumulative[-1]
            rank = percent / 100 * (size - 1) - zeros[group]
            if rank < 0 or not cumulative[-1]:
                continue
            place = int(np.searchsorted(cumulative, rank, side="right"))
            place = min(place, BINS - 1)
            inside = (rank - (cumulative[place] - counts[place]) + 0.5) / max(1, counts[place])
            percentiles[group] = widths[group] * (place + min(inside, 1.0))
        return np.minimum(percentiles, top)

    def least_squares(self, levels: int, start: float = 0.5) -> NDArray[np.float64]:
        """(G,) thresholds whose quantiser of `levels` steps has the least mean squared error.

        The quantiser of x is θ/levels * clip(floor(x * levels/θ + start), 0, levels): the output
        of a population with threshold θ and starting potential start * θ for a constant input x in
        a window of `levels` steps. θ is one of the fractions k / `CLIPS` of the range, at most the
        largest value.
        """
        clips, squares = np.arange(1, CLIPS + 1)[:, None] / CLIPS, _squares(levels, start)
        ranges, top = self.widths * BINS, self.top
        thresholds = np.zeros(len(top))
        for first in range(0, len(top), TOGETHER):
            part = slice(first, first + TOGETHER)
            counts = self.counts[part]
            merged = counts[:, ::MERGED].double()
            for other in range(1, MERGED):
                merged += counts[:, other::MERGED]
            errors = squares @ merged.numpy().T
            errors[clips * ranges[part] >= top[part] + ranges[part] / CLIPS] = np.inf
            thresholds[part] = clips[errors.argmin(axis=0), 0] * ranges[part]
        return np.minimum(thresholds, top)


@cache
def _squares(levels: int, start: float) -> NDArray[np.float64]:
    """(CLIPS, BINS / MERGED) squared errors of the centres of merged bins; see `least_squares`."""
    centres = (np.arange(0, BINS, MERGED) + MERGED / 2) / BINS
    clips = np.arange(1, CLIPS + 1)[:, None] / CLIPS
    quantised = np.clip(np.floor(centres * levels / clips + start), 0, levels) * clips / levels
    return (quantised - centres) ** 2


def kth_smallest(values: Rows, percent: float) -> NDArray[np.floating]:
    """(G,) the k-th smallest of each row of (G, M), k = 1 + round(percent/100 * (M-1))."""
    k = round(percent / 100 * (values.shape[1] - 1))
    return np.partition(values, k, axis=1)[:, k]
