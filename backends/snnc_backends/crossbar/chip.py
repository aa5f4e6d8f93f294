"""What the options of the target mean: the tile, its cells, and what stands in its columns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from snnc_backends.crossbar.cells import CELLS, Column, Scheme
from snnc_backends.crossbar.converters import CONVERTERS, Converter
from snnc_backends.crossbar.devices import DEVICES, Device

LARGEST_SIDE = 1 << 15
"""Rows or columns of a tile."""


@dataclass(frozen=True)
class Chip:
    """A chip of equal tiles.

    Attributes:
        rows, cols: cells of a tile.
        cell_bits: bits a cell holds.
        weight_bits: width of a weight, its sign included.
        scheme: how a weight becomes levels of cells.
        device: how a level becomes a conductance.
        converter: what reads a column.
    """

    rows: int
    cols: int
    cell_bits: int
    weight_bits: int
    scheme: Scheme
    device: Device
    converter: Converter

    @property
    def largest_level(self) -> int:
        """2^cell_bits - 1."""
        return (1 << self.cell_bits) - 1

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The columns of one weight; they stay together in one tile."""
        return self.scheme.columns(self.weight_bits, self.cell_bits)

    @property
    def outputs_per_tile(self) -> int:
        """Whole weights side by side in one tile."""
        return self.cols // len(self.columns)

    def levels(self, weights: NDArray[np.integer]) -> NDArray[np.uint8]:
        """Levels (…, physical columns) of weights (…, outputs)."""
        return self.scheme.levels(weights, self.columns, self.cell_bits)


def chip(
    *,
    rows: int,
    cols: int,
    cells: str,
    cell_bits: int,
    adc_bits: int | str,
    device: str,
    weight_bits: int,
) -> Chip:
    """The chip of given options. Raises `ValueError` naming the one that is wrong."""
    for name, size in (("rows", rows), ("cols", cols)):
        if not 1 <= size <= LARGEST_SIDE:
            raise ValueError(f"{name} must be 1 to {LARGEST_SIDE}, not {size}")
    if not 1 <= cell_bits <= 8:
        raise ValueError(f"cell-bits must be 1 to 8, not {cell_bits}")
    if not 2 <= weight_bits <= 16:
        raise ValueError(f"weight-bits must be 2 to 16, not {weight_bits}")
    for name, value, known in (("cells", cells, CELLS), ("device", device, DEVICES)):
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}, not {value!r}")
    if isinstance(adc_bits, int) and adc_bits < 1:
        raise ValueError(f"adc-bits must be ideal, not {adc_bits}: no bits tell nothing apart")
    if adc_bits not in CONVERTERS:
        raise ValueError(
            f"adc-bits must be one of {', '.join(CONVERTERS)}, not {adc_bits}: "
            "converters of finite resolution are not modelled yet"
        )
    built = Chip(
        rows, cols, cell_bits, weight_bits,
        CELLS[cells], DEVICES[device], CONVERTERS[str(adc_bits)],
    )  # fmt: skip
    if not built.outputs_per_tile:
        raise ValueError(
            f"cols must be at least {len(built.columns)}, the columns of one weight, not {cols}"
        )
    return built
