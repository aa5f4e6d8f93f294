"""Analog-to-digital converters of the columns, by the value of `adc-bits`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

Converter = Callable[["Tensor"], "Tensor"]
"""From the column sums of one read (in levels, any shape) to numbers; may work in place."""


def ideal(sums: Tensor) -> Tensor:
    """Every sum is converted exactly."""
    return sums


CONVERTERS: Mapping[str, Converter] = {"ideal": ideal}
