"""A chip of equal tiles, from the options of the target."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from snnc.device import Device, ReadNoise, levels_of
from snnc_backends.crossbar.cells import CELLS, Column, Scheme, weights_of
from snnc_backends.crossbar.converters import Converter, converter
from snnc_backends.crossbar.imperfections import Imperfections

LARGEST_SIDE = 1 << 15
"""Most rows, and most columns, of a tile."""


@dataclass(frozen=True)
class Chip:
    """A chip of equal tiles.

    Attributes:
        rows, cols: cells of a tile.
        cell_bits: bits a cell holds.
        weight_bits: width of a weight, its sign included.
        scheme: how a weight is stored in cells.
        device: the model of the cells.
        converter: the analog-to-digital converters of the columns.
        seed: of this chip: of everything random in its cells.
        imperfections: faults, wires, and what is done about them.
    """

    rows: int
    cols: int
    cell_bits: int
    weight_bits: int
    scheme: Scheme
    device: Device
    converter: Converter
    seed: int = 0
    imperfections: Imperfections = field(default_factory=Imperfections)

    @property
    def largest_level(self) -> int:
        """2^cell_bits - 1."""
        return (1 << self.cell_bits) - 1

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The columns of one weight; all in the same tile."""
        return self.scheme.columns(self.weight_bits, self.cell_bits)

    @property
    def outputs_per_tile(self) -> int:
        """Weights per row of a tile."""
        return self.cols // len(self.columns)

    def levels(self, weights: NDArray[np.integer]) -> NDArray[np.uint8]:
        """Levels (…, physical columns) of weights (…, outputs)."""
        return self.scheme.levels(weights, self.columns, self.cell_bits)

    @property
    def exact_cells(self) -> bool:
        """Whether every cell is read as the level it is programmed to."""
        return self.device.facts.ideal and not self.imperfections.reasons

    @property
    def exact(self) -> bool:
        """Whether the result of a layer is that of its integer weights."""
        return self.exact_cells and self.converter.bits is None

    def conductances_us(
        self, weights: NDArray[np.integer], rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """Conductances (…, physical columns) of cells programmed to weights (…, outputs)."""
        return self.device.program(self.levels(weights), self.largest_level, rng)

    def aged_us(
        self,
        weights: NDArray[np.integer],
        rng: np.random.Generator,
        faults: np.random.Generator,
        seconds: float,
    ) -> NDArray[np.float32]:
        """The same `seconds` after programming, with the stuck cells that `faults` draws."""
        programmed = self.conductances_us(weights, rng)
        aged = self.device.read(programmed, rng, seconds)
        return self.imperfections.with_stuck(aged, self.device.facts, faults)

    def in_levels(self, conductances_us: NDArray[np.floating]) -> NDArray[np.float64]:
        """Conductances in units of a level."""
        return levels_of(conductances_us, self.device.facts, self.largest_level)

    def noise_in_levels(
        self, conductances_us: NDArray[np.float32], seconds: float
    ) -> NDArray[np.float64] | None:
        """Standard deviation of one read of each cell, in levels; None without read noise."""
        device, facts = self.device, self.device.facts
        if not isinstance(device, ReadNoise):
            return None
        unit = (facts.g_max_us - facts.g_min_us) / self.largest_level
        return device.read_noise_us(conductances_us, seconds).astype(np.float64) / unit

    def read_weights(
        self,
        weights: NDArray[np.integer],
        rng: np.random.Generator,
        seconds: float | None = None,
    ) -> NDArray[np.float64]:
        """The weights read from cells that were programmed to `weights`, in one read.

        With faults, read noise, and the factors of the compensation; wires have no resistance.

        Args:
            weights: (…, outputs), integers of at most `weight_bits` bits.
            rng: source of all errors.
            seconds: time from programming to reading; None for that of the device.
        """
        after = self.device.facts.read_after_s if seconds is None else seconds
        aged = self.aged_us(weights, rng, rng, after)
        levels = self.in_levels(aged)
        wanted = self.levels(weights).reshape(-1, levels.shape[-1]).sum(0, dtype=np.float64)
        found = levels.reshape(-1, levels.shape[-1]).sum(0)
        levels *= self.imperfections.factors(wanted, found, self.largest_level)
        noise = self.noise_in_levels(aged, after)
        if noise is not None:
            levels += noise * rng.standard_normal(noise.shape)
        return weights_of(levels, self.columns)


def chip(
    *,
    rows: int,
    cols: int,
    cells: str,
    cell_bits: int,
    adc_bits: int | str,
    device: Device,
    weight_bits: int,
    seed: int,
    imperfections: Imperfections,
) -> Chip:
    """The chip with these options. Raises `ValueError` naming the one that is wrong."""
    for name, size in (("rows", rows), ("cols", cols)):
        if not 1 <= size <= LARGEST_SIDE:
            raise ValueError(f"{name} must be 1 to {LARGEST_SIDE}, not {size}")
    if not 1 <= cell_bits <= 8:
        raise ValueError(f"cell-bits must be 1 to 8, not {cell_bits}")
    if not 2 <= weight_bits <= 16:
        raise ValueError(f"weight-bits must be 2 to 16, not {weight_bits}")
    if cells not in CELLS:
        raise ValueError(f"cells must be one of {', '.join(CELLS)}, not {cells!r}")
    if seed < 0:
        raise ValueError(f"chip-seed must not be negative, but is {seed}")
    most = device.facts.max_levels
    if most is not None and 1 << cell_bits > most:
        raise ValueError(
            f"cell-bits={cell_bits} needs {1 << cell_bits} levels, "
            f"a cell of {device.name} has {most}"
        )
    built = Chip(
        rows=rows,
        cols=cols,
        cell_bits=cell_bits,
        weight_bits=weight_bits,
        scheme=CELLS[cells],
        device=device,
        converter=converter(adc_bits),
        seed=seed,
        imperfections=imperfections,
    )
    if not built.outputs_per_tile:
        raise ValueError(
            f"cols must be at least {len(built.columns)}, the columns of one weight, not {cols}"
        )
    return built
