"""Events as one-bit inputs of the word lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from snnc.ir import TensorType


@dataclass(frozen=True)
class Phase:
    """One drive of the word lines.

    Attributes:
        bits: 0/1, of the shape of the events; None if no row is driven.
        worth: value of a 1: a power of two, negative in the phases of negative events.
    """

    bits: Tensor | None
    worth: int


def phases(x: Tensor, kind: TensorType, dtype: torch.dtype) -> Iterator[Phase]:
    """Split events into phases: x = sum of worth * bits.

    Spikes take one phase, counts one per bit of `kind.levels`. Signed events take twice as many,
    first for the positive events, then for the negative ones.

    Args:
        x: whole numbers, |x| <= kind.levels, not negative unless `kind.signed`.
        dtype: of the bits.
    """
    for sign in (1, -1) if kind.signed else (1,):
        magnitude = (sign * x).clamp(min=0)
        if kind.levels == 1:
            yield Phase(_driven(magnitude, dtype), sign)
            continue
        integers = magnitude.to(torch.int64)
        for place in range(kind.levels.bit_length()):
            yield Phase(_driven((integers >> place) & 1, dtype), sign << place)


def _driven(bits: Tensor, dtype: torch.dtype) -> Tensor | None:
    return bits.to(dtype) if bool(bits.any()) else None
