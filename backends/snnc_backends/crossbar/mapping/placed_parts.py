"""Parts of layers, and where in which tile they lie."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

from snnc.errors import ArtifactError, one_line
from snnc.ir import Graph
from snnc_backends.crossbar.chip import Chip
from snnc_backends.crossbar.mapping.mapping import Layout, layout
from snnc_backends.crossbar.mapping.matrices import WeightMatrix, placed_matrices
from snnc_backends.crossbar.mapping.packing import Place
from snnc_backends.crossbar.mapping.tiling import Part, parts


class PlacedPart(NamedTuple):
    """A part, and where it lies."""

    part: Part
    place: Place

    @property
    def tile(self) -> int:
        """The number of its tile."""
        return self.place.tile


PartsOfLayers = Mapping[str, Sequence[PlacedPart]]
"""Per layer the parts of all its copies."""


def parts_of(mapped: Layout) -> list[PlacedPart]:
    """The parts of a layout."""
    pairs = zip(mapped.parts, mapped.places, strict=True)
    return [PlacedPart(part, place) for part, place in pairs]


def alone(matrix: WeightMatrix, chip: Chip) -> list[PlacedPart]:
    """The parts of one copy of a layer, each in the upper left corner of a tile of its own."""
    return [PlacedPart(part, Place(i, 0, 0)) for i, part in enumerate(parts(matrix, chip))]


def by_layer(placed: Sequence[PlacedPart]) -> PartsOfLayers:
    """Parts of all layers, layer by layer."""
    found: defaultdict[str, list[PlacedPart]] = defaultdict(list)
    for each in placed:
        found[each.part.layer].append(each)
    return found


def laid_out(graph: Graph, chip: Chip, timesteps: int) -> PartsOfLayers:
    """The parts of an integer graph; none where results do not depend on them."""
    return by_layer(parts_of(layout(graph, chip, timesteps))) if chip.places_matter else {}


def stored_parts(mapping: Mapping[str, Any]) -> list[PlacedPart]:
    """The parts in a `mapping.json`. Raises `LookupError`, `TypeError` or `ValueError`."""
    columns, layers = mapping["columns"], mapping["layers"]
    names = [field.name for field in fields(Part)]
    places = [columns.index(name) for name in names]
    where = [columns.index(name) for name in Place._fields]
    layer = names.index("layer")
    found: list[PlacedPart] = []
    for row in mapping["parts"]:
        values = [row[place] for place in places]
        values[layer] = layers[values[layer]]
        found.append(PlacedPart(Part(*values), Place(*(row[place] for place in where))))
    return found


def checked_parts(mapping: Mapping[str, Any], graph: Graph, chip: Chip) -> PartsOfLayers:
    """The parts in the `mapping.json` of a graph on a chip.

    Raises:
        ArtifactError: they are not those of the graph, or lie outside of tiles.
    """
    try:
        found = by_layer(stored_parts(mapping))
        for matrix in placed_matrices(graph, chip):
            own = found[matrix.layer]
            copies = 1 + max((each.part.copy for each in own), default=0)
            if len(own) % copies or [each.part for each in own] != list(
                parts(matrix, chip, copies)
            ):
                raise ValueError(f"the parts of {matrix.layer} are not those of its weights")
            for part, place in own:
                down, right = chip.rows - part.rows, chip.cols - part.cols
                if not (0 <= place.top <= down and 0 <= place.left <= right):
                    raise ValueError(f"a part of {matrix.layer} is not within its tile")
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ArtifactError(f"the mapping is damaged: {one_line(error)}") from None
    return found
