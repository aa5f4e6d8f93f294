"""The samples of a stream in chunks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.errors import DataError
from snnc.transform import Batches

CHUNK = 64
"""Samples computed at a time, independent of the batches: sums in float32 depend on it."""


def chunks(batches: Batches, size: int = CHUNK) -> Iterator[NDArray[np.float32]]:
    """The samples of a stream in chunks of `size`; only the last may be smaller.

    Raises:
        DataError: the stream is empty, or contains NaN or infinity.
    """
    held: list[NDArray[np.float32]] = []
    count = total = 0
    for x, _ in batches:
        if not np.all(np.isfinite(x)):
            raise DataError("the calibration data hold NaN or infinity")
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


def first_labels(data: Batches, samples: int) -> Iterator[NDArray[Any] | None]:
    """Labels of at most `samples` samples of a stream, batch by batch; None without labels."""
    left = samples
    for _, y in data:
        yield None if y is None else y[:left]
        left -= 0 if y is None else len(y)
        if left <= 0:
            return


def first(data: Batches, samples: int) -> Iterator[NDArray[np.float32]]:
    """At most `samples` samples of a stream, in chunks."""
    left = samples
    for x in chunks(data):
        yield x[:left]
        left -= len(x)
        if left <= 0:
            return
