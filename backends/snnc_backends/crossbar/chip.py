"""A chip of equal tiles, from the options of the target."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from snnc.device import Device, levels_of
from snnc_backends.crossbar.cells import CELLS, MatrixCode, WeightCode
from snnc_backends.crossbar.converters import CONVERTERS, Converter
from snnc_backends.crossbar.cores import CoreLimits

LARGEST_SIDE = 1 << 15
"""Most rows, and most columns, of a tile."""
PACKINGS = ("none", "groups", "disjoint", "time-multiplexed")
"""What shares a tile: nothing; groups of a layer; also layers, by one of the rules of `packing`."""
REPLICATIONS = ("none", "balanced")
READ_STEP = 2.0**-10
"""To which cells that are not ideal are rounded, in levels; far below any error of a device."""


@dataclass(frozen=True)
class Chip:
    """A chip of equal tiles.

    Attributes:
        rows, cols: cells of a tile.
        cell_bits: bits a cell holds.
        weight_bits: width of a weight, its sign included.
        code: how a weight is stored in cells.
        device: the model of the cells.
        converter: the analog-to-digital converter of a column.
        seed: of this chip: of everything random in its cells.
        packing: what shares a tile, one of `PACKINGS`.
        replication: whether layers are copied, so that all take about the same time.
        tiles: of the chip; None for as many as it takes.
        cores: how tiles are grouped, and what a group holds.
    """

    rows: int
    cols: int
    cell_bits: int
    weight_bits: int
    code: WeightCode
    device: Device
    converter: Converter
    seed: int = 0
    packing: str = "none"
    replication: str = "none"
    tiles: int | None = None
    cores: CoreLimits = field(default_factory=CoreLimits)

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

    @property
    def largest_level(self) -> int:
        """2^cell_bits - 1."""
        return (1 << self.cell_bits) - 1

    @property
    def outputs_per_tile(self) -> int:
        """Weights per row of a tile; the columns of a weight are all in the same tile."""
        references = self.code.reference is not None
        return (self.cols - references) // len(self.code.columns)

    def matrix(self, outputs: int) -> MatrixCode:
        """The physical columns of a matrix with this many outputs."""
        return MatrixCode(self.code, outputs, self.outputs_per_tile)

    def levels(self, weights: NDArray[np.integer]) -> NDArray[np.uint8]:
        """Levels (…, physical columns) of weights (…, outputs)."""
        return self.matrix(weights.shape[-1]).levels(weights, self.cell_bits)

    def cells_of(self, layer: str, weights: NDArray[np.integer]) -> NDArray[Any]:
        """The cells of a layer of this chip, in units of a level, as they are read.

        They are whole for an ideal device. Otherwise every layer is programmed with random numbers
        of its own, from the seed and the layer's name, and read once, right after; values are
        rounded to a multiple of `READ_STEP`, so that sums of them are exact in any order.

        Returns:
            (…, physical columns) of weights (…, outputs); uint8, float64 if not ideal.
        """
        if self.device.facts.ideal:
            return self.levels(weights)
        rng = np.random.default_rng([self.seed, crc32(layer.encode())])
        read = self.device.read(self.conductances_us(weights, rng), rng, 0.0)
        cells = levels_of(read, self.device.facts, self.largest_level)
        return np.rint(cells / READ_STEP) * READ_STEP

    def conductances_us(
        self, weights: NDArray[np.integer], rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """Conductances (…, physical columns) of cells programmed to weights (…, outputs)."""
        return self.device.program(self.levels(weights), self.largest_level, rng)

    def read_weights(
        self, weights: NDArray[np.integer], rng: np.random.Generator, seconds: float
    ) -> NDArray[np.float64]:
        """The weights read from cells that were programmed to `weights`, in one read.

        Args:
            weights: (…, outputs), integers of at most `weight_bits` bits; outputs of a tile share
                its reference column, where there is one.
            rng: source of the programming and read errors.
            seconds: time from programming to reading.
        """
        read = self.device.read(self.conductances_us(weights, rng), rng, seconds)
        cells = levels_of(read, self.device.facts, self.largest_level)
        return self.matrix(weights.shape[-1]).weights(cells)


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
    packing: str,
    replication: str,
    tiles: int | None,
    cores: CoreLimits,
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
    _require_levels(device, cell_bits)
    built = Chip(
        rows, cols, cell_bits, weight_bits, CELLS[cells](weight_bits, cell_bits), device,
        _converter(adc_bits), seed, packing, replication, tiles, cores,
    )  # fmt: skip
    if built.outputs_per_tile < 1:
        needed = MatrixCode(built.code, 1, 1).physical
        raise ValueError(f"cols must be at least {needed}, the columns of one weight, not {cols}")
    _require_layout(built)
    return built


def _require_levels(device: Device, cell_bits: int) -> None:
    most = device.facts.max_levels
    if most is not None and 1 << cell_bits > most:
        raise ValueError(
            f"cell-bits={cell_bits} needs {1 << cell_bits} levels, "
            f"a cell of {device.name} has {most}"
        )


def _require_layout(chip: Chip) -> None:
    """Raise `ValueError` for options of the mapping that are wrong, or wrong together."""
    choices = {"packing": (chip.packing, PACKINGS), "replication": (chip.replication, REPLICATIONS)}
    for name, (value, allowed) in choices.items():
        if value not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")
    limits = {"tiles": chip.tiles, "cores": chip.cores.cores, "tiles-per-core": chip.cores.tiles}
    limits |= {"axons-per-core": chip.cores.axons, "synapses-per-core": chip.cores.synapses}
    for name, limit in limits.items():
        if limit is not None and limit < 1:
            raise ValueError(f"{name} must be 1 or more, not {limit}")
    if chip.cores.cores is not None and not chip.cores.given:
        raise ValueError("cores need tiles-per-core: how many tiles one of them holds")
    if chip.replication == "none":
        return
    if chip.most_tiles is None:
        raise ValueError("replication needs tiles: how many tiles the copies may take")
    if chip.packing == "time-multiplexed":
        raise ValueError("replication is for speed, time-multiplexed tiles wait for each other")
    if not chip.device.facts.ideal:
        raise ValueError(
            f"replication with {chip.device.name} is not modelled: copies would differ"
        )


def _converter(adc_bits: int | str) -> Converter:
    if isinstance(adc_bits, int) and adc_bits < 1:
        raise ValueError(f"adc-bits must be ideal, not {adc_bits}: a converter needs a bit or more")
    if adc_bits not in CONVERTERS:
        raise ValueError(
            f"adc-bits must be one of {', '.join(CONVERTERS)}, not {adc_bits}: "
            "converters of finite resolution are not modelled yet"
        )
    return CONVERTERS[str(adc_bits)]
