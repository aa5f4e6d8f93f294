"""Converters at the foot of the columns, by the text of `adc-bits`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

Converter = Callable[["Tensor"], "Tensor"]
"""Column sums of one read, in levels, any shape, to digital numbers; it may work in place."""


def ideal(sums: Tensor) -> Tensor:
    """Every sum is told exactly: as many codes as there are sums, and zero is one of them."""
    return sums


CONVERTERS: Mapping[str, Converter] = {"ideal": ideal}
