"""Packing of rectangles into equal tiles, under two rules.

Disjoint: two parts of a tile share neither a row nor a column, so that both can be read at once; an
instance of vector bin packing. Time-multiplexed: parts do not overlap, but may share rows or
columns, and are then read one after the other; two-dimensional bin packing without rotation. Both
are NP-hard; what is here are heuristics, to be judged by the lower bounds in `bounds`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

Size = tuple[int, int]
"""Rows and columns of a part."""
Order = Callable[[Size], tuple[float, ...]]
"""Sorting key; parts are placed from the largest to the smallest."""

ROUNDS = 200
"""Attempts to do with fewer tiles: some tiles are emptied, their parts placed anew."""
LARGEST = 120
"""Most parts that are improved in rounds."""


class Place(NamedTuple):
    """Where a part lies: number of the tile, and its first row and column in it."""

    tile: int
    top: int
    left: int


class Tiles:
    """Tiles that are being filled, by one of the rules."""

    def __init__(self, size: Size) -> None:
        self.size = size

    def place(self, part: Size) -> Place:
        """Put a part in the tile where it fits best, or in a new one."""
        raise NotImplementedError


class DisjointTiles(Tiles):
    """Parts lie on the diagonal of a tile; best is where least of rows and columns is left."""

    def __init__(self, size: Size) -> None:
        super().__init__(size)
        self._left = np.zeros((2, 0), np.int64)

    def place(self, part: Size) -> Place:
        rows, cols = self._left
        fits = np.flatnonzero((rows >= part[0]) & (cols >= part[1]))
        if not len(fits):
            self._left = np.append(self._left, np.array([self.size]).T, axis=1)
            fits = np.array([self._left.shape[1] - 1])
        left = self._left[:, fits] / np.array([self.size]).T
        tile = int(fits[left.sum(0).argmin()])
        rows, cols = self._left[:, tile]
        self._left[:, tile] -= part
        return Place(tile, self.size[0] - int(rows), self.size[1] - int(cols))


class Free(NamedTuple):
    """A rectangle of free cells of a tile."""

    top: int
    left: int
    bottom: int
    right: int

    def without(self, other: Free) -> Iterator[Free]:
        """The largest rectangles of this one that do not touch another; itself if it is apart."""
        apart = other.top >= self.bottom or other.bottom <= self.top
        if apart or other.left >= self.right or other.right <= self.left:
            yield self
            return
        if other.top > self.top:
            yield self._replace(bottom=other.top)
        if other.bottom < self.bottom:
            yield self._replace(top=other.bottom)
        if other.left > self.left:
            yield self._replace(right=other.left)
        if other.right < self.right:
            yield self._replace(left=other.right)

    def holds(self, other: Free) -> bool:
        """Whether another lies in this one."""
        rows = self.top <= other.top and other.bottom <= self.bottom
        return rows and self.left <= other.left and other.right <= self.right


class SharedTiles(Tiles):
    """Maximal rectangles (Jylänki 2010): best is the free one that leaves the shortest side."""

    def __init__(self, size: Size) -> None:
        super().__init__(size)
        self._free: list[list[Free]] = []

    def place(self, part: Size) -> Place:
        rows, cols = part
        best: tuple[int, int, int, Free] | None = None
        for tile, free in enumerate(self._free):
            for each in free:
                high, wide = each.bottom - each.top - rows, each.right - each.left - cols
                if high >= 0 and wide >= 0:
                    found = (min(high, wide), max(high, wide), tile, each)
                    best = found if best is None or found < best else best
        if best is None:
            best = (0, 0, len(self._free), Free(0, 0, *self.size))
            self._free.append([best[3]])
        _, _, tile, chosen = best
        self._take(tile, Free(chosen.top, chosen.left, chosen.top + rows, chosen.left + cols))
        return Place(tile, chosen.top, chosen.left)

    def _take(self, tile: int, taken: Free) -> None:
        rest = sorted({part for each in self._free[tile] for part in each.without(taken)})
        kept = [a for a in rest if not any(b != a and b.holds(a) for b in rest)]
        self._free[tile] = kept


RULES: Mapping[str, type[Tiles]] = {"disjoint": DisjointTiles, "time-multiplexed": SharedTiles}

ORDERS: tuple[Order, ...] = (
    lambda part: (part[0] * part[1], part[0]),
    lambda part: (max(part), min(part)),
    lambda part: (part[0], part[1]),
    lambda part: (part[1], part[0]),
    lambda part: (part[0] + part[1], part[0]),
)


def pack(parts: Sequence[Size], size: Size, rule: str, bound: int) -> list[Place]:
    """Where parts lie in as few tiles as were found.

    Parts that fill a tile take one each. The others are placed from the largest to the smallest, in
    several orders, of which the best is kept. Up to `LARGEST` of them are then improved: the
    emptiest tile and random ones are emptied, and their parts placed in random order.

    Args:
        parts: rows and columns of each, at most those of a tile.
        size: rows and columns of a tile.
        rule: disjoint or time-multiplexed.
        bound: number of tiles below which no packing goes; the search ends there.
    """
    alone = [i for i, part in enumerate(parts) if part == size]
    small = [i for i, part in enumerate(parts) if part != size]
    places = _packed([parts[i] for i in small], size, RULES[rule], bound - len(alone))
    count = _count(places)
    found = dict(zip(small, places, strict=True))
    found |= {i: Place(count + number, 0, 0) for number, i in enumerate(alone)}
    return [found[i] for i in range(len(parts))]


def _count(places: Sequence[Place]) -> int:
    return max((place.tile for place in places), default=-1) + 1


def _packed(parts: Sequence[Size], size: Size, rule: type[Tiles], bound: int) -> list[Place]:
    best: list[Place] | None = None
    for order in ORDERS:
        ordered = sorted(range(len(parts)), key=lambda i: order(parts[i]), reverse=True)
        found = _in_order(parts, ordered, rule(size))
        best = found if best is None or _count(found) < _count(best) else best
        if _count(best) <= bound:
            return best
    assert best is not None
    return _improved(parts, best, size, rule, bound) if len(parts) <= LARGEST else best


def _in_order(parts: Sequence[Size], order: Sequence[int], tiles: Tiles) -> list[Place]:
    places = {i: tiles.place(parts[i]) for i in order}
    return [places[i] for i in range(len(parts))]


def _improved(
    parts: Sequence[Size], places: list[Place], size: Size, rule: type[Tiles], bound: int
) -> list[Place]:
    """Random orders that keep full tiles first; a change is kept where it is no worse."""
    rng = np.random.default_rng(0)
    order = sorted(range(len(parts)), key=lambda i: places[i].tile)
    for _ in range(ROUNDS):
        if _count(places) <= bound:
            break
        filled = np.bincount([place.tile for place in places], [r * c for r, c in parts])
        chosen = {int(filled.argmin()), *rng.integers(len(filled), size=3).tolist()}
        moved = [i for i in order if places[i].tile in chosen]
        trial = [i for i in order if places[i].tile not in chosen]
        trial += rng.permutation(moved).tolist()
        found = _in_order(parts, trial, rule(size))
        if _count(found) <= _count(places):
            places, order = found, trial
    return places
