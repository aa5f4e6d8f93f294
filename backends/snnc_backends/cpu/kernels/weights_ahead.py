"""Weights of a layer that are fetched before they are added."""

from __future__ import annotations

from dataclasses import dataclass

from snnc.native.code import Value
from snnc_backends.cpu.kernels.code import Code


@dataclass(frozen=True)
class WeightsAhead:
    """Weights that are fetched into the cache while others are added, a part at every visit.

    Attributes:
        start: byte of the weights where the parts begin.
        share: bytes of a part.
        visit: number of the present visit.
    """

    start: Value
    share: Value
    visit: Value

    def fetch(self, code: Code, more: Value) -> None:
        """Fetch the part of the visit that comes `more` visits after the present one."""
        place = code.builder.mul(code.index(self.visit, more), self.share)
        place = code.builder.add(self.start, place)
        code.prefetch(code.at(code.arrays["weight"], "i8", place), self.share)
