"""Analog-to-digital converters of the columns, by the value of `adc-bits`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

STEP_BITS = 10
"""Binary places of the step of a converter of finite resolution, in levels."""
MOST_BITS = 16
"""Largest resolution of a converter."""


@dataclass(frozen=True)
class Converter:
    """From the sum of a column, in levels, to a whole number, rounded half to even.

    An ideal one gives the nearest whole number of levels, without limit. One of N bits has the
    codes 0..2^N - 1, code 0 at exactly 0; a sum beyond its range is clipped.

    Attributes:
        bits: resolution; None if ideal.
    """

    bits: int | None = None

    @property
    def top(self) -> int:
        """The largest code; 0 for no limit."""
        return 0 if self.bits is None else (1 << self.bits) - 1

    @property
    def step_bits(self) -> int:
        """Binary places of a step: steps are whole multiples of 2^-step_bits levels."""
        return 0 if self.bits is None else STEP_BITS

    def steps(self, ranges: NDArray[Any]) -> NDArray[np.int32]:
        """The sum at code 1 of converters whose largest code stands for `ranges` levels.

        In 2^-step_bits levels. A step is never less than a level: what has more codes than its
        range has levels resolves single levels, as an ideal converter does.
        """
        if self.bits is None:
            return np.ones(ranges.shape, np.int32)
        one = 1 << STEP_BITS
        return np.maximum(one, np.ceil(ranges * one / self.top)).astype(np.int32)


def converter(adc_bits: int | str) -> Converter:
    """The converter of an option `adc-bits`. Raises `ValueError`."""
    if adc_bits == "ideal":
        return Converter()
    if not isinstance(adc_bits, int) or not 1 <= adc_bits <= MOST_BITS:
        raise ValueError(f"adc-bits must be ideal or 1 to {MOST_BITS}, not {adc_bits}")
    return Converter(adc_bits)
