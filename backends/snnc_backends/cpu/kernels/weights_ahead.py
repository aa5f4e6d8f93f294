"""Weights of a layer that are fetched before they are added."""

from __future__ import annotations

from dataclasses import dataclass

from snnc.native.code import Value
from snnc_backends.cpu.kernels.code import Code


@dataclass(frozen=True)
class WeightsAhead:
    """Weights that are fetched while others are added: `share` bytes at a visit."""

    start: Value
    share: Value
    visit: Value

    def fetch(self, code: Code, more: Value) -> None:
        """Ask for those of the visit that is so many further."""
        place = code.builder.mul(code.index(self.visit, more), self.share)
        place = code.builder.add(self.start, place)
        code.prefetch(code.at(code.arrays["weight"], "i8", place), self.share)
