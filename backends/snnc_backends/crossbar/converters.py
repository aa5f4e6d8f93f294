"""Analog-to-digital converters of the columns, by the value of `adc-bits`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

Converter = Callable[["Tensor"], "Tensor"]
"""From the column sums of one read (in levels, any shape) to numbers; may work in place."""


def ideal(sums: Tensor) -> Tensor:
    """The nearest whole number of levels, half to even: exact where the cells are."""
    return sums.round_()


CONVERTERS: Mapping[str, Converter] = {"ideal": ideal}
