"""Tiles in cores: what a core holds, and which tile lies in which."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field


class DoesNotFit(ValueError):
    """A layer needs more of a resource than there is.

    Attributes:
        layer: its node.
        reason: the resource, the need and the limit, in words.
        remedy: what to do besides taking a larger chip; "" for nothing.
    """

    def __init__(self, layer: str, reason: str, remedy: str = "") -> None:
        super().__init__(f"{layer} {reason}")
        self.layer, self.reason, self.remedy = layer, reason, remedy


@dataclass(frozen=True)
class CoreLimits:
    """The cores of a chip, and what one of them holds; None for no limit.

    Attributes:
        cores: of the chip.
        tiles: of a core.
        axons: word lines that enter a core: those of tiles side by side, which are driven
            together, count once.
        synapses: weights in a core.
    """

    cores: int | None = None
    tiles: int | None = None
    axons: int | None = None
    synapses: int | None = None

    @property
    def given(self) -> bool:
        """Whether there are cores at all."""
        return any(limit is not None for limit in (self.tiles, self.axons, self.synapses))

    @property
    def chip_tiles(self) -> int | None:
        """Tiles of all cores."""
        return None if self.cores is None or self.tiles is None else self.cores * self.tiles


@dataclass(frozen=True)
class TileNeeds:
    """What a tile, or tiles that stay together, need of their core.

    Attributes:
        layer: the first whose weights they hold.
        lines: name of their word lines -> how many.
        synapses: weights they hold.
        tiles: how many they are.
    """

    layer: str
    lines: dict[Hashable, int]
    synapses: int
    tiles: int = 1


@dataclass
class _Core:
    lines: set[Hashable] = field(default_factory=set)
    tiles: int = 0
    axons: int = 0
    synapses: int = 0

    def adds(self, tile: TileNeeds) -> tuple[int, int, int]:
        """(tiles, axons, synapses) in the core with this tile."""
        new = sum(rows for name, rows in tile.lines.items() if name not in self.lines)
        return self.tiles + tile.tiles, self.axons + new, self.synapses + tile.synapses

    def put(self, tile: TileNeeds) -> None:
        self.tiles, self.axons, self.synapses = self.adds(tile)
        self.lines |= tile.lines.keys()


def assign(tiles: Sequence[TileNeeds], limits: CoreLimits) -> list[int]:
    """The core of every tile (or tiles that stay together): in order, the first that has room.

    With `limits.tiles` only, and single tiles, this takes as few cores as there can be.

    Raises:
        DoesNotFit: one is larger than a core, or there is no core left.
    """
    allowed = (limits.tiles, limits.axons, limits.synapses)

    def holds(needs: tuple[int, int, int]) -> bool:
        return all(most is None or need <= most for need, most in zip(needs, allowed, strict=True))

    cores: list[_Core] = []
    assigned: list[int] = []
    first = 0
    for tile in tiles:
        _require_fits(tile, limits)
        fits = (i for i in range(first, len(cores)) if holds(cores[i].adds(tile)))
        core = next(fits, len(cores))
        if core == len(cores):
            cores.append(_Core())
        cores[core].put(tile)
        assigned.append(core)
        while first < len(cores) and cores[first].tiles == limits.tiles:
            first += 1
    _require_cores(tiles, assigned, limits.cores)
    return assigned


def _require_fits(tile: TileNeeds, limits: CoreLimits) -> None:
    needs = {"tiles": tile.tiles, "axons": sum(tile.lines.values()), "synapses": tile.synapses}
    for resource, need in needs.items():
        limit: int | None = getattr(limits, resource)
        if limit is None or need <= limit:
            continue
        if tile.tiles == 1:
            reason = f"has a tile with {need} {resource}, a core has {limit}"
            raise DoesNotFit(tile.layer, reason, "choose smaller tiles")
        have = "" if resource == "tiles" else f" with {need} {resource}"
        reason = f"adds the currents of {tile.tiles} tiles{have}, a core has {limit}"
        raise DoesNotFit(tile.layer, reason, "choose partial-sums=digital")


def _require_cores(tiles: Sequence[TileNeeds], assigned: Sequence[int], limit: int | None) -> None:
    need = max(assigned, default=-1) + 1
    if limit is not None and need > limit:
        layer = next(
            tile.layer for tile, core in zip(tiles, assigned, strict=True) if core >= limit
        )
        reason = f"is beyond the last core: the network takes {need} cores, the chip has {limit}"
        raise DoesNotFit(layer, reason)
