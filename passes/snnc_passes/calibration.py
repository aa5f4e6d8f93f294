"""Statistics of activations from a stream of samples, in memory that does not grow with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from snnc.errors import DataError
from snnc.transform import Batches

BINS = 16_384
CHUNK = 64
"""Samples computed at a time, whatever the batches of the stream: sums in float32 depend on it."""

Granularity = Literal["channel", "layer"]
Rows = NDArray[np.floating]
"""(rows, values): one row a channel, or one for the whole layer."""


def chunks(batches: Batches, size: int = CHUNK) -> Iterator[NDArray[np.float32]]:
    """The samples of a stream in chunks of `size`; only the last may be smaller.

    Raises:
        DataError: the stream is empty.
    """
    held: list[NDArray[np.float32]] = []
    count = total = 0
    for x, _ in batches:
        held.append(np.asarray(x, np.float32))
        count, total = count + len(x), total + len(x)
        while count >= size:
            joined = np.concatenate(held)
            yield joined[:size]
            held, count = [joined[size:]], count - size
    if total == 0:
        raise DataError("the calibration data hold no samples", hint="give at least one sample")
    if count:
        yield np.concatenate(held)


def in_rows(values: NDArray[np.floating], granularity: Granularity) -> Rows:
    """Values of (lead, C, *rest), one row a channel or one row for all."""
    if granularity == "layer":
        return values.reshape(1, -1)
    return np.moveaxis(values, 1, 0).reshape(values.shape[1], -1)


@dataclass
class Range:
    """Smallest and largest value of each row, exactly."""

    low: NDArray[np.float64] | None = None
    high: NDArray[np.float64] | None = None

    def add(self, rows: Rows) -> None:
        """Widen to hold these values."""
        low, high = rows.min(axis=1).astype(np.float64), rows.max(axis=1).astype(np.float64)
        self.low = low if self.low is None else np.minimum(self.low, low)
        self.high = high if self.high is None else np.maximum(self.high, high)

    def limits(self) -> tuple[float, float]:
        """Smallest and largest value of all rows. Raises `DataError` if there were none."""
        if self.low is None or self.high is None:
            raise DataError("the calibration data hold no samples")
        return float(self.low.min()), float(self.high.max())


@dataclass
class Histogram:
    """Per row, counts of values in `BINS` equal bins from `low` to `high` (one value a row each).

    `percentile` interpolates inside the bin, so that its error is below one bin.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    counts: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self.counts = np.zeros((len(self.low), BINS), np.int64)

    def add(self, rows: Rows) -> None:
        """Count values; those outside of the range count at its ends."""
        width = np.where(self.high > self.low, self.high - self.low, 1.0)
        for i, row in enumerate(rows):
            index = ((row - self.low[i]) * (BINS / width[i])).astype(np.int64)
            np.clip(index, 0, BINS - 1, out=index)
            self.counts[i] += np.bincount(index, minlength=BINS)

    def percentile(self, q: float) -> NDArray[np.float64]:
        """The value of each row below which q percent of the counted values lie."""
        cumulative = np.cumsum(self.counts, axis=1)
        wanted = np.maximum(q / 100 * cumulative[:, -1], 1e-9)
        bins = np.array([np.searchsorted(c, w) for c, w in zip(cumulative, wanted, strict=True)])
        rows = np.arange(len(bins))
        inside = self.counts[rows, bins]
        below = cumulative[rows, bins] - inside
        position = bins + (wanted - below) / np.maximum(inside, 1)
        return self.low + position * (self.high - self.low) / BINS


@dataclass(frozen=True)
class Statistic:
    """Percentile of a stream of values, per row; 100 is the exact maximum."""

    percentile: float

    def of(self, stream: Callable[[], Iterable[Rows]]) -> NDArray[np.float64]:
        """The statistic of a stream that can be read twice."""
        extent = Range()
        for rows in stream():
            extent.add(rows)
        if extent.low is None or extent.high is None:
            raise DataError("the calibration data hold no samples")
        if self.percentile == 100:
            return extent.high
        histogram = Histogram(extent.low, extent.high)
        for rows in stream():
            histogram.add(rows)
        return histogram.percentile(self.percentile)
