"""A chip of equal tiles, from the options of the target."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from snnc.device import Device, ReadNoise, levels_of
from snnc_backends.crossbar.cells import CELLS, MatrixCode, WeightCode
from snnc_backends.crossbar.converters import Converter, converter
from snnc_backends.crossbar.cores import CoreLimits
from snnc_backends.crossbar.imperfections import Imperfections
from snnc_backends.crossbar.level_table import LevelTable, level_table, whole_top

LARGEST_SIDE = 1 << 15
"""Most rows, and most columns, of a tile."""
MOST_CELL_BITS = 8
PACKINGS = ("none", "groups", "disjoint", "time-multiplexed")
"""What shares a tile: nothing; groups of a layer; also layers, by one of the rules of `packing`."""
PARTIAL_SUMS = ("digital", "analog")
"""Row blocks of a layer are converted one by one, or their currents are added before that."""
REPLICATIONS = ("none", "balanced")


@dataclass(frozen=True)
class Chip:
    """A chip of equal tiles.

    Attributes:
        rows, cols: cells of a tile.
        cell_bits: bits a cell holds, of the numbers that weights are cut into; sums of columns are
            in units of the largest conductance / `largest_level`, a level.
        weight_bits: width of a weight, its sign included.
        code: how a weight is stored in cells.
        device: the model of the cells.
        converter: the analog-to-digital converters of the columns.
        partial_sums: how the row blocks of a layer are added, one of `PARTIAL_SUMS`.
        seed: of this chip: of everything random in its cells.
        packing: what shares a tile, one of `PACKINGS`.
        replication: whether layers are copied, so that all take about the same time.
        tiles: of the chip; None for as many as it takes.
        cores: how tiles are grouped, and what a group holds.
        imperfections: faults, wires, and what is done about them.
    """

    rows: int
    cols: int
    cell_bits: int
    weight_bits: int
    code: WeightCode
    device: Device
    converter: Converter
    partial_sums: str = "digital"
    seed: int = 0
    packing: str = "none"
    replication: str = "none"
    tiles: int | None = None
    cores: CoreLimits = field(default_factory=CoreLimits)
    imperfections: Imperfections = field(default_factory=Imperfections)

    @property
    def analog_sums(self) -> bool:
        """Whether the currents of all row blocks of a column are added before one conversion."""
        return self.partial_sums == "analog"

    @property
    def exact_cells(self) -> bool:
        """Whether every cell is read as the level it is programmed to."""
        return self.device.facts.ideal and self.table.exact and not self.imperfections.reasons

    @cached_property
    def table(self) -> LevelTable:
        """The levels of its cells, and which of them numbers take."""
        slices = self.code.slices
        bits = min(slices * self.cell_bits, self.weight_bits)
        return level_table(self.device.facts, slices, self.cell_bits, bits, self.largest_level)

    @property
    def listed_weights(self) -> bool:
        """Whether one cell of a device with a list of levels holds the whole size of a weight."""
        one = self.code.slices == 1 and not self.code.shift
        return one and self.device.facts.levels_us is not None

    @property
    def exact(self) -> bool:
        """Whether the result of a layer is that of its integer weights."""
        return self.exact_cells and self.converter.bits is None

    @property
    def places_matter(self) -> bool:
        """Whether a result depends on where the cells of a weight lie, besides its weights.

        Copies of a layer have errors of their own, and wires are longer away from the corner.
        """
        packed = self.packing != "none" and self.imperfections.wire_ohm > 0
        return not self.exact_cells and (packed or self.replication != "none")

    @property
    def most_tiles(self) -> int | None:
        """Tiles of the chip, by `tiles` or by its cores, whichever is less; None for no limit."""
        limits = [limit for limit in (self.tiles, self.cores.chip_tiles) if limit is not None]
        return min(limits, default=None)

    @property
    def limited(self) -> bool:
        """Whether there are networks too large for it."""
        return self.most_tiles is not None or self.cores.given

    @property
    def room(self) -> str:
        """What to do where a network takes too many tiles."""
        packed = "packing=time-multiplexed" if self.packing != "time-multiplexed" else "fewer bits"
        return f"choose {packed} or a larger chip"

    @cached_property
    def largest_level(self) -> int:
        """What the last level stands for: 2^cell_bits - 1, or at most that where a list of levels
        holds whole weights, see `whole_top`.
        """
        most = (1 << self.cell_bits) - 1
        return whole_top(self.device.facts, most) if self.listed_weights else most

    @property
    def outputs_per_tile(self) -> int:
        """Weights per row of a tile; the columns of a weight are all in the same tile."""
        references = self.code.reference is not None
        return (self.cols - references) // len(self.code.columns)

    def matrix(self, outputs: int) -> MatrixCode:
        """The physical columns of a matrix with this many outputs."""
        return MatrixCode(self.code, outputs, self.outputs_per_tile)

    def levels(self, weights: NDArray[np.integer]) -> NDArray[np.unsignedinteger]:
        """Levels (…, physical columns) that cells are programmed to for weights (…, outputs)."""
        return self.matrix(weights.shape[-1]).levels(weights, self.table)

    def values(self, weights: NDArray[np.integer]) -> NDArray[Any]:
        """What these cells add to sums without errors, in units of a level; whole numbers where
        every weight is exact.
        """
        return self.table.values[self.levels(weights)]

    def conductances_us(
        self, weights: NDArray[np.integer], rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """Conductances (…, physical columns) of cells programmed to weights (…, outputs)."""
        return self.device.program(self.levels(weights), self.table.largest, rng)

    def aged_us(
        self,
        levels: NDArray[np.integer],
        rng: np.random.Generator,
        faults: np.random.Generator,
        seconds: float,
    ) -> NDArray[np.float32]:
        """Conductances of cells `seconds` after they were programmed to levels, with the stuck
        cells that `faults` draws.
        """
        programmed = self.device.program(levels, self.table.largest, rng)
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
            weights: (…, outputs), integers of at most `weight_bits` bits; outputs of a tile share
                its reference column, where there is one.
            rng: source of all errors.
            seconds: time from programming to reading; None for that of the device.
        """
        after = self.device.facts.read_after_s if seconds is None else seconds
        aged = self.aged_us(self.levels(weights), rng, rng, after)
        levels = self.in_levels(aged)
        wanted = self.values(weights).reshape(-1, levels.shape[-1]).sum(0, dtype=np.float64)
        found = levels.reshape(-1, levels.shape[-1]).sum(0)
        levels *= self.imperfections.factors(wanted, found, self.largest_level)
        noise = self.noise_in_levels(aged, after)
        if noise is not None:
            levels += noise * rng.standard_normal(noise.shape)
        return self.matrix(weights.shape[-1]).weights(levels)


def chip(
    *,
    rows: int,
    cols: int,
    cells: str,
    cell_bits: int | Literal["list"],
    adc_bits: int | str,
    device: Device,
    partial_sums: str,
    weight_bits: int,
    seed: int,
    packing: str,
    replication: str,
    tiles: int | None,
    cores: CoreLimits,
    imperfections: Imperfections,
) -> Chip:
    """The chip with these options. Raises `ValueError` naming the one that is wrong."""
    for name, size in (("rows", rows), ("cols", cols)):
        if not 1 <= size <= LARGEST_SIDE:
            raise ValueError(f"{name} must be 1 to {LARGEST_SIDE}, not {size}")
    if not 2 <= weight_bits <= 16:
        raise ValueError(f"weight-bits must be 2 to 16, not {weight_bits}")
    if cells not in CELLS:
        raise ValueError(f"cells must be one of {', '.join(CELLS)}, not {cells!r}")
    if seed < 0:
        raise ValueError(f"chip-seed must not be negative, but is {seed}")
    bits = _cell_bits(cell_bits, cells, weight_bits, device)
    built = Chip(
        rows, cols, bits, weight_bits, CELLS[cells](weight_bits, bits), device,
        converter(adc_bits), partial_sums, seed, packing, replication, tiles, cores, imperfections,
    )  # fmt: skip
    if built.outputs_per_tile < 1:
        needed = MatrixCode(built.code, 1, 1).physical
        raise ValueError(f"cols must be at least {needed}, the columns of one weight, not {cols}")
    _require_layout(built)
    return built


def _cell_bits(
    cell_bits: int | Literal["list"], cells: str, weight_bits: int, device: Device
) -> int:
    """The bits of the number that a cell holds. Raises `ValueError`."""
    most = device.facts.most_levels
    if cell_bits == "list":
        if device.facts.levels_us is None:
            raise ValueError(f"cell-bits=list needs a device with a list, {device.name} has none")
        if cells != "differential":
            raise ValueError(
                "cell-bits=list needs cells=differential, where weights of 0 are exact"
            )
        if weight_bits - 1 > MOST_CELL_BITS:
            most_bits = MOST_CELL_BITS + 1
            raise ValueError(
                f"cell-bits=list needs weight-bits up to {most_bits}, not {weight_bits}"
            )
        return weight_bits - 1
    if not 1 <= cell_bits <= MOST_CELL_BITS:
        raise ValueError(f"cell-bits must be 1 to {MOST_CELL_BITS}, not {cell_bits}")
    if most is not None and 1 << cell_bits > most:
        raise ValueError(
            f"cell-bits={cell_bits} needs {1 << cell_bits} levels, "
            f"a cell of {device.name} has {most}"
        )
    return cell_bits


def _require_layout(chip: Chip) -> None:
    """Raise `ValueError` for options of the mapping that are wrong, or wrong together."""
    choices = {
        "packing": (chip.packing, PACKINGS),
        "replication": (chip.replication, REPLICATIONS),
        "partial-sums": (chip.partial_sums, PARTIAL_SUMS),
    }
    for name, (value, allowed) in choices.items():
        if value not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")
    limits = {"tiles": chip.tiles, "cores": chip.cores.cores, "tiles-per-core": chip.cores.tiles}
    limits |= {"axons-per-core": chip.cores.axons, "synapses-per-core": chip.cores.synapses}
    for name, limit in limits.items():
        if limit is not None and limit < 1:
            raise ValueError(f"{name} must be 1 or more, not {limit}")
    spaced = {"remap": chip.imperfections.remap, "cells=two-sided": chip.code.two_sided}
    for name, chosen in spaced.items():
        if chosen and chip.device.facts.levels_us is not None:
            device = chip.device.name
            raise ValueError(f"{name} needs evenly spaced levels, {device} has a list of them")
    if chip.analog_sums and chip.packing in ("disjoint", "time-multiplexed"):
        raise ValueError(
            "partial-sums=analog adds currents of whole columns, which layers must not share: "
            f"packing must be none or groups, not {chip.packing}"
        )
    if chip.cores.cores is not None and not chip.cores.given:
        raise ValueError("cores need tiles-per-core: how many tiles one of them holds")
    if chip.replication == "none":
        return
    if chip.most_tiles is None:
        raise ValueError("replication needs tiles: how many tiles the copies may take")
    if chip.packing == "time-multiplexed":
        raise ValueError("replication is for speed, time-multiplexed tiles wait for each other")
