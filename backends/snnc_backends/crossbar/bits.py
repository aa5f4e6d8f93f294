"""Events as the one-bit inputs that word lines are driven with."""

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
        bits: 0/1, the shape of the events; None when no row is driven anywhere.
        worth: what a one is worth: a power of two, negative in the phase of negative events.
    """

    bits: Tensor | None
    worth: int


def phases(x: Tensor, kind: TensorType, dtype: torch.dtype) -> Iterator[Phase]:
    """Cut events into phases: x = sum of worth * bits.

    A spike is one phase. A count has one for each bit of `kind.levels`; signed events have these
    twice, first for the positive ones, then for the negative ones.

    Args:
        x: whole numbers, |x| <= kind.levels, not negative unless `kind.signed`.
        dtype: of the bits.
    """
    for sign in (1, -1) if kind.signed else (1,):
        magnitude = (sign * x).clamp(min=0)
        if kind.levels == 1:
            yield Phase(_driven(magnitude, dtype), sign)
            continue
        whole = magnitude.to(torch.int64)
        for place in range(kind.levels.bit_length()):
            yield Phase(_driven((whole >> place) & 1, dtype), sign << place)


def _driven(bits: Tensor, dtype: torch.dtype) -> Tensor | None:
    return bits.to(dtype) if bool(bits.any()) else None
