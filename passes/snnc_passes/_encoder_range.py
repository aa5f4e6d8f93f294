"""The range of an encoder, from data."""

from __future__ import annotations

from dataclasses import replace

from snnc.ir import Encode
from snnc.transform import Batches
from snnc_passes._samples import chunks
from snnc_passes._statistics import Range

IMAGE_BITS = 8
"""Bits of a pixel: images in [0, 1] are rounded to no more."""


def ranged(
    op: Encode,
    batches: Batches,
    bits: int = 8,
    signed: bool | None = None,
    rate: float = 1.0,
) -> Encode:
    """The encoder with a scale and an integer range that cover the data (S21).

    Inputs in [0, 1] map to 0 .. 2^bits - 1, of at most `IMAGE_BITS`, others to
    -(2^(bits-1) - 1) .. 2^(bits-1) - 1.

    Args:
        bits: of the integers.
        signed: whether negative inputs are kept; None where the data leave [0, 1].
        rate: the integer of the largest input, divided by the end of the range.

    Raises:
        DataError: there are no data, or they contain NaN or infinity.
    """
    extent = Range()
    for x in chunks(batches):
        extent.add(x.reshape(1, -1))
    low, high = extent.limits()
    image = low >= 0 and high <= 1
    if signed is None:
        signed = not image
    hi = 2 ** (bits - 1) - 1 if signed else 2 ** (min(bits, IMAGE_BITS) if image else bits) - 1
    largest = 1.0 if image else max(-low if signed else 0.0, high)
    end = round(hi / rate)
    return replace(op, scale=(largest or 1.0) / hi, lo=-end if signed else 0, hi=end)
