"""The weights of layers that are driven by events: digits, slabs, words, and what sums fit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc_backends.cpu.kernels.base import LARGEST

UNIT = 64
"""Most channels of a unit of weights: a vector of 32 words."""
INT16 = 2**15 - 1
SLAB_BYTES = 320 << 10
"""Weights of a slab of output channels, where there is a choice: they stay in the L2 cache."""
WIDEST = 512
"""Most output channels of a slab."""

NEAR_BYTES, NS_PER_FAR_UNIT, NS_PER_FAR_BYTE = 48 << 10, 0.6, 0.018
"""Weights of a slab that stay in the L1 cache; what a unit of others and a byte that is read for
the first time in a run take more (Sapphire Rapids, one core)."""


def far_cost(slab_bytes: int, units: float, nbytes: float) -> float:
    """Time of adding units of weights that a processor with tiles takes more than a Zen 4.

    nbytes: of the weights of a layer that events touch.
    """
    return nbytes * NS_PER_FAR_BYTE + (units * NS_PER_FAR_UNIT if slab_bytes > NEAR_BYTES else 0)


def digit_planes(weight: NDArray[Any], digits: int) -> NDArray[np.int8]:
    """The digits of weights (rows, columns, inputs, outputs) in base 256, each -128 to 127, the
    least first: (digits, rows, columns, inputs, outputs)."""
    found = list[NDArray[np.int8]]()
    for _ in range(digits - 1):
        found.append(weight.astype(np.int8))  # the lowest byte
        weight = (weight - found[-1]) >> 8
    return np.stack([*found, weight.astype(np.int8)])


def slab_and_unit(planes: NDArray[Any]) -> tuple[int, int]:
    """Channels of a slab and of a unit, for weights (digits, rows, columns, inputs, outputs)."""
    row_bytes, outputs = int(np.prod(planes.shape[:-1])), planes.shape[-1]
    unit = 16 if outputs <= 16 else 32 if outputs <= 32 else UNIT
    slab = min(WIDEST, -(-outputs // unit) * unit)
    while slab > unit and (row_bytes * slab > SLAB_BYTES or (outputs > slab and outputs % slab)):
        slab = -(-slab // 2 // unit) * unit
    return slab, unit


def event_limit(planes: NDArray[Any], copies: int) -> int:
    """The most events of a window whose sums fit 16 bits, whichever events they are; all of them
    count as `LARGEST`."""
    flat = np.moveaxis(planes, -1, 1).reshape(len(planes) * planes.shape[-1], -1)
    parts = (flat[i : i + UNIT] for i in range(0, len(flat), UNIT))
    counts = np.concatenate([_tally(part) for part in parts]) * copies
    positive, negative = np.arange(127, 0, -1), np.arange(128, 0, -1)
    rows = (counts[:, positive], positive), (counts[:, 256 - negative], negative)
    return min(_fitting(*each) for each in rows)


def _tally(weights: NDArray[np.int8]) -> NDArray[Any]:
    """How often each output has each byte, for weights (outputs, inputs): (outputs, 256)."""
    outputs = len(weights)
    places = weights.view(np.uint8) + 256 * np.arange(outputs)[:, None]
    return np.bincount(places.ravel(), minlength=256 * outputs).reshape(outputs, 256)


def _fitting(counts: NDArray[Any], sizes: NDArray[Any]) -> int:
    """How many numbers of an output have a sum of 16 bits, the largest first; the least of outputs.

    counts: of numbers of every size, (outputs, sizes); sizes: descending. All count as `LARGEST`.
    """
    sums = np.cumsum(counts * sizes, axis=1)
    room = np.maximum(INT16 - (sums - counts * sizes), 0)
    taken = np.minimum(counts, room // sizes).sum(1)
    beyond = sums[:, -1] > INT16
    return int(taken[beyond].min()) if beyond.any() else LARGEST


def weight_words(planes: NDArray[Any], slab: int, unit: int) -> NDArray[Any]:
    """The words of weights (digits, rows, columns, inputs, outputs), as in `EventLayer`."""
    digits, outputs, taps = planes.shape[0], planes.shape[-1], int(np.prod(planes.shape[1:-1]))
    slabs = -(-outputs // slab)
    words = np.zeros((slabs, taps, slab // unit, digits, unit // 2, 2), np.int8)
    for first in range(0, outputs, unit):  # many at a time would not stay in the cache
        some = planes[..., first : first + unit].reshape(digits, taps, -1)
        some = np.pad(some, ((0, 0), (0, 0), (0, unit - some.shape[-1])))
        place = words[first // slab, :, first % slab // unit]
        place[:] = some.reshape(digits, taps, 2, unit // 2).transpose(1, 0, 3, 2)
    words[..., 0] ^= -128
    return words.view("<i2")
