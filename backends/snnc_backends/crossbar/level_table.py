"""Which levels of a cell a stored number takes, slice by slice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.device import DeviceFacts

WHOLE = 1e-9
"""What is this close to a whole number of levels is one: far above the errors of a division."""


@dataclass(frozen=True)
class LevelTable:
    """The levels of a cell, and how a number is stored in slices.

    Attributes:
        values: (levels,) ascending: what a cell of a level adds to a sum, from 0 to `top`; whole
            numbers of an integer type where every number is exact.
        levels: (numbers, slices): the level, 0.., of every slice of the numbers 0, 1, …
        exact: whether the values of the slices, each times 2^(slice * cell_bits), sum up to the
            number, for all numbers.
    """

    values: NDArray[Any]
    levels: NDArray[np.unsignedinteger]
    exact: bool

    @property
    def largest(self) -> int:
        """The last level."""
        return len(self.values) - 1

    def nearest(self, value: float) -> int:
        """The level whose value is nearest."""
        return int(np.abs(self.values - float(value)).argmin())


def whole_top(facts: DeviceFacts, most: int) -> int:
    """What the last level of a list should stand for, so that all of them are whole numbers.

    If no number up to `most` makes them so, that with the least error relative to itself; of
    several the largest.
    """
    listed = np.array(facts.levels_us) - facts.g_min_us
    tops = np.arange(1, most + 1)
    values = listed * (tops / (facts.g_max_us - facts.g_min_us))[:, None]
    errors = np.abs(values - np.rint(values)).max(1) / tops
    return int(tops[errors <= errors.min() + WHOLE / most].max())


def level_table(
    facts: DeviceFacts, slices: int, cell_bits: int, bits: int, top: int | None = None
) -> LevelTable:
    """How numbers of `bits` bits are stored in cells of a device.

    The last level stands for `top`, without it for 2^cell_bits - 1.

    Evenly spaced levels hold the bits of a slice. From a list, the highest slice takes the level
    just below or just above what it should hold, the lower ones what is then left, so that the
    error of the whole number is the less of both.
    """
    full, numbers = (1 << cell_bits) - 1, np.arange(1 << bits)
    top = full if top is None else top
    digits = numbers[:, None] >> (np.arange(slices) * cell_bits) & full
    if facts.levels_us is None:
        return LevelTable(np.arange(full + 1, dtype=np.uint8), digits.astype(np.uint8), True)
    listed = (np.array(facts.levels_us) - facts.g_min_us) * (
        top / (facts.g_max_us - facts.g_min_us)
    )
    whole = np.rint(listed)
    values = np.where(np.abs(listed - whole) < WHOLE, whole, listed)
    if top == full and np.isin(np.arange(top + 1), values).all():
        levels = np.searchsorted(values, digits)
        error = np.zeros(len(numbers))
    else:
        levels, error = _nearest(numbers.astype(np.float64), values, slices, cell_bits)
    exact = not error.any()
    kept = np.rint(values).astype(np.uint8) if exact else values
    return LevelTable(kept, levels.astype(np.min_scalar_type(len(values) - 1)), exact)


def _nearest(
    wanted: NDArray[np.float64], values: NDArray[np.float64], slices: int, cell_bits: int
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Levels (numbers, slices) for what should be stored, (numbers,), and what they lack of it."""
    worth = 1 << (slices - 1) * cell_bits
    above = np.searchsorted(values, wanted / worth).clip(max=len(values) - 1)
    tried: list[tuple[NDArray[np.intp], NDArray[np.float64]]] = []
    for level in ((above - 1).clip(min=0), above):
        lower, left = np.zeros((len(wanted), 0), np.intp), wanted - values[level] * worth
        if slices > 1:
            lower, left = _nearest(left, values, slices - 1, cell_bits)
        tried.append((np.column_stack([lower, level]), left))
    (first, first_left), (second, second_left) = tried
    better = np.abs(second_left) < np.abs(first_left)
    return np.where(better[:, None], second, first), np.where(better, second_left, first_left)
