"""Tiles whose columns are added as currents, which so stay in one core."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from snnc_backends.crossbar.mapping.packing import Place
from snnc_backends.crossbar.mapping.tiling import Part


def column_group(part: Part) -> Hashable:
    """The same for all row blocks of the same columns of a copy of a layer."""
    return part.layer, part.copy, part.group, part.first_col


def tiles_together(
    parts: Sequence[Part], places: Sequence[Place], analog_sums: bool
) -> list[list[int]]:
    """Tiles that must lie in one core, by their first tile; every tile is in one of the lists.

    Those of a column group where partial sums are analog; else each is alone.
    """
    if not analog_sums:
        return [[tile] for tile in range(1 + max((place.tile for place in places), default=-1))]
    groups: dict[Hashable, list[int]] = {}
    for part, place in zip(parts, places, strict=True):
        groups.setdefault(column_group(part), []).append(place.tile)
    return list(groups.values())
