"""Schemes that store a signed weight in cells of one row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


class Column(NamedTuple):
    """One of the columns of a weight.

    Attributes:
        polarity: +1 or -1, the sign of the column in the sum.
        slice: which bits of the magnitude it holds, 0 for the lowest.
        significance: value of level 1 in units of the weight: 2^(slice * cell_bits).
    """

    polarity: int
    slice: int
    significance: int


class Scheme(Protocol):
    """How weights become levels of cells."""

    def columns(self, weight_bits: int, cell_bits: int) -> tuple[Column, ...]:
        """The columns of one weight, in physical order."""
        ...

    def levels(
        self, weights: NDArray[np.integer], columns: tuple[Column, ...], cell_bits: int
    ) -> NDArray[np.uint8]:
        """Levels (…, outputs * len(columns)) of integer weights (…, outputs)."""
        ...


@dataclass(frozen=True)
class Differential:
    """A pair of columns for a sign-magnitude weight: w = sum of significance * (g+ - g-).

    The magnitude, weight_bits - 1 bits, is split into slices of cell_bits. A positive weight is
    stored in the first half of the columns, a negative one in the second; the others hold 0.
    """

    def columns(self, weight_bits: int, cell_bits: int) -> tuple[Column, ...]:
        """ceil((weight_bits - 1) / cell_bits) slices for +, and as many for -."""
        slices = -(-(weight_bits - 1) // cell_bits)
        return tuple(
            Column(polarity, i, 1 << (i * cell_bits)) for polarity in (1, -1) for i in range(slices)
        )

    def levels(
        self, weights: NDArray[np.integer], columns: tuple[Column, ...], cell_bits: int
    ) -> NDArray[np.uint8]:
        """Level of a column: bits slice*cell_bits and on of max(polarity * weight, 0)."""
        wide = weights.astype(np.int64)
        mask = (1 << cell_bits) - 1
        parts = [
            (np.maximum(c.polarity * wide, 0) >> (c.slice * cell_bits)) & mask for c in columns
        ]
        stacked = np.stack(parts, axis=-1).astype(np.uint8)
        return stacked.reshape(*weights.shape[:-1], -1)


def weights_of(levels: NDArray[Any], columns: tuple[Column, ...]) -> NDArray[Any]:
    """The weights (…, outputs) of levels (…, outputs * len(columns)).

    int64 for whole levels, float64 for real ones.
    """
    worth = np.array([c.polarity * c.significance for c in columns], np.int64)
    wide = levels.astype(np.result_type(levels, np.int64))
    return wide.reshape(*levels.shape[:-1], -1, len(columns)) @ worth


CELLS: Mapping[str, Scheme] = {"differential": Differential()}
