"""The range of an encoder, from data."""

from __future__ import annotations

from dataclasses import replace

from snnc.ir import Encode
from snnc.transform import Batches
from snnc_passes._samples import chunks
from snnc_passes._statistics import Range


def ranged(op: Encode, batches: Batches, bits: int = 8) -> Encode:
    """The encoder with a scale and an integer range that cover the data (S21).

    Inputs in 0..1 map to 0..255, others to -(2^(bits-1) - 1) .. 2^(bits-1) - 1.

    Raises:
        DataError: there are no data, or they contain NaN or infinity.
    """
    extent = Range()
    for x in chunks(batches):
        extent.add(x.reshape(1, -1))
    low, high = extent.limits()
    if low >= 0 and high <= 1:
        return replace(op, scale=1 / 255, lo=0, hi=255)
    hi = 2 ** (bits - 1) - 1
    return replace(op, scale=max(-low, high) / hi, lo=-hi, hi=hi)
