"""The steps of a window that a readout sums (S15)."""

from __future__ import annotations


def steps_read(start: int, window: int) -> range:
    """The steps that the answer after `window` steps is the mean of.

    Those from `start` on; of a window that ends before, all of them.
    """
    return range(start if start < window else 0, window)
