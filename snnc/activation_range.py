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
    stored = meta.get(ACTIVATION_RANGES)
    entries = stored.items() if isinstance(stored, dict) else ()  # pyright: ignore
    found = {str(name): _read(entry) for name, entry in entries}  # pyright: ignore
    return {name: entry for name, entry in found.items() if entry is not None}


def _read(entry: Any) -> ActivationRange | None:
    fields = ("scale", "zero_point", "largest")
    numbers = [entry.get(field) for field in fields] if isinstance(entry, dict) else []  # pyright: ignore
    if len(numbers) < 3 or not all(type(n) in (int, float) and math.isfinite(n) for n in numbers):
        return None
    return ActivationRange(float(numbers[0]), int(numbers[1]), int(numbers[2]))


def to_meta(ranges: Mapping[str, ActivationRange]) -> dict[str, Any]:
    """The ranges as an entry of `graph.meta`; empty if there are none."""
    return {ACTIVATION_RANGES: {n: asdict(r) for n, r in ranges.items()}} if ranges else {}
