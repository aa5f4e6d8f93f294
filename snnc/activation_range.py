"""The ranges of activations in a quantised model, which a graph keeps as hints. Plain Python."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

ACTIVATION_RANGES = "quantized_activations"
"""Key in `graph.meta`: the fields of an `ActivationRange`, by the name of the node."""


@dataclass(frozen=True, slots=True)
class ActivationRange:
    """How an activation was rounded to integers: q stands for scale * (q - zero_point).

    Attributes:
        scale: what a step stands for.
        zero_point: the integer that stands for 0.
        largest: the largest integer.
    """

    scale: float
    zero_point: int
    largest: int

    @property
    def high(self) -> float:
        """The largest value, in the unit of the activation."""
        return self.scale * (self.largest - self.zero_point)


def activation_ranges(meta: Mapping[str, Any]) -> dict[str, ActivationRange]:
    """The ranges in a graph's `meta`, by node; what is malformed is left out."""
    stored: Any = meta.get(ACTIVATION_RANGES)
    if not isinstance(stored, dict):
        return {}
    entries: dict[str, Any] = stored
    found = {name: _read(entry) for name, entry in entries.items()}
    return {name: entry for name, entry in found.items() if entry is not None}


def _read(entry: Any) -> ActivationRange | None:
    names = ("scale", "zero_point", "largest")
    numbers: list[Any] = [entry.get(name) for name in names] if isinstance(entry, dict) else [None]
    if not all(type(number) in (int, float) and math.isfinite(number) for number in numbers):
        return None
    scale, zero_point, largest = numbers
    return ActivationRange(float(scale), int(zero_point), int(largest))


def to_meta(ranges: Mapping[str, ActivationRange]) -> dict[str, Any]:
    """The ranges as an entry of `graph.meta`; empty if there are none."""
    return {ACTIVATION_RANGES: {n: asdict(r) for n, r in ranges.items()}} if ranges else {}
