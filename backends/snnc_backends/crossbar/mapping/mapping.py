"""The mapping of a network to a chip: parts of matrices, tiles, copies of layers, cores."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from snnc.ir import Graph
from snnc_backends.crossbar.chip import Chip
from snnc_backends.crossbar.cores import DoesNotFit, TileNeeds, assign
from snnc_backends.crossbar.mapping.bounds import concurrency_bound, rectangle_bound
from snnc_backends.crossbar.mapping.column_groups import tiles_together
from snnc_backends.crossbar.mapping.matrices import WeightMatrix, placed_matrices
from snnc_backends.crossbar.mapping.packing import Place, pack
from snnc_backends.crossbar.mapping.replication import Stage, balanced
from snnc_backends.crossbar.mapping.tiling import Part, parts

MOST_PARTS = 150_000
"""Parts of a mapping that are stored; the files of an artifact are then within its limits."""


@dataclass(frozen=True)
class Layout:
    """Where the weights of a network lie.

    Attributes:
        chip: the chip.
        layers: the matrices.
        stages: per layer, how often its tiles are read.
        copies: per layer.
        parts: of all copies of all layers, in order.
        places: where each of them lies.
        cores: per tile, where the chip has cores; else empty.
        bounds: by name, lower bounds on the number of tiles for these parts.
    """

    chip: Chip
    layers: tuple[WeightMatrix, ...]
    stages: Mapping[str, Stage]
    copies: Mapping[str, int]
    parts: tuple[Part, ...]
    places: tuple[Place, ...]
    cores: tuple[int, ...]
    bounds: Mapping[str, int]

    @property
    def tiles(self) -> int:
        """Tiles taken."""
        return max((place.tile for place in self.places), default=-1) + 1

    @property
    def period(self) -> int:
        """Reads of the busiest tile in an inference.

        Layers whose parts share a tile under the time-multiplexed rule are read one after the
        other, so their reads add up.
        """
        reads: defaultdict[int, int] = defaultdict(int)
        multiplexed = self.chip.packing == "time-multiplexed"
        for part, place in zip(self.parts, self.places, strict=True):
            own = self.stages[part.layer].period(self.copies[part.layer])
            total = reads[place.tile]
            reads[place.tile] = total + own if multiplexed else max(total, own)
        return max(reads.values(), default=0)


def layout(graph: Graph, chip: Chip, timesteps: int) -> Layout:
    """The layout of an integer graph. Raises `DoesNotFit`."""
    layers = placed_matrices(graph, chip)
    stages = _stages(graph, layers, chip, timesteps)
    _require_parts(stages, _copies(stages, chip))
    return layout_of(layers, chip, stages)


def require_room(graph: Graph, chip: Chip) -> None:
    """Raise `DoesNotFit` for an integer graph that is too large for a chip, or for its files."""
    if chip.limited:
        layout(graph, chip, timesteps=1)
    else:
        stages = _stages(graph, placed_matrices(graph, chip), chip, 1)
        _require_parts(stages, dict.fromkeys(stages, 1))


def layout_of(layers: Sequence[WeightMatrix], chip: Chip, stages: Mapping[str, Stage]) -> Layout:
    """The layout of matrices. Raises `DoesNotFit`.

    Args:
        stages: per layer; `tiles` is what it takes without packing.
    """
    copies = _copies(stages, chip)
    placed = tuple(part for m in layers for part in parts(m, chip, copies[m.layer]))
    size = (chip.rows, chip.cols)
    sizes = [(part.rows, part.cols) for part in placed]
    bounds = {
        "rectangle": rectangle_bound(sizes, size),
        "concurrency": concurrency_bound(sizes, size),
    }
    if chip.packing == "disjoint":
        places = _numbered(pack(sizes, size, chip.packing, bounds["concurrency"]))
    elif chip.packing == "time-multiplexed":
        places = _numbered(pack(sizes, size, chip.packing, bounds["rectangle"]))
    else:
        places = tuple(Place(number, 0, 0) for number in range(len(placed)))
    _require_tiles(placed, places, chip.most_tiles)
    cores = _cores(placed, places, chip)
    return Layout(chip, tuple(layers), stages, copies, placed, places, cores, bounds)


def _stages(
    graph: Graph, layers: Sequence[WeightMatrix], chip: Chip, timesteps: int
) -> Mapping[str, Stage]:
    return {m.layer: _stage(graph, m, chip, timesteps) for m in layers}


def _require_parts(stages: Mapping[str, Stage], copies: Mapping[str, int]) -> None:
    """Raise `DoesNotFit` for a mapping with too many parts, naming the layer with most of them."""
    counts = {layer: copies[layer] * stage.tiles for layer, stage in stages.items()}
    if sum(counts.values()) > MOST_PARTS:
        layer = max(counts, key=lambda name: counts[name])
        reason = f"has {counts[layer]} of {sum(counts.values())} parts, {MOST_PARTS} are stored"
        remedy = "choose larger tiles" if copies[layer] == 1 else "give the copies fewer tiles"
        raise DoesNotFit(layer, reason, remedy)


def _stage(graph: Graph, matrix: WeightMatrix, chip: Chip, timesteps: int) -> Stage:
    events = graph.type_of(graph.inputs_of(matrix.layer)[0])
    windows = graph.type_of(matrix.layer).size // (matrix.groups * matrix.all_outputs)
    phases = events.levels.bit_length() * (2 if events.signed else 1)
    steps = 1 if events.constant_in_time else timesteps
    tiles = sum(1 for _ in parts(matrix, chip))
    return Stage(matrix.layer, windows, phases * steps, tiles)


def _copies(stages: Mapping[str, Stage], chip: Chip) -> Mapping[str, int]:
    budget = chip.most_tiles
    single = sum(stage.tiles for stage in stages.values())
    if chip.replication == "none" or budget is None or single > budget:
        return dict.fromkeys(stages, 1)
    # a layer without a weight that is placed has nothing to copy
    return {
        layer: count if stages[layer].tiles else 1
        for layer, count in balanced(list(stages.values()), budget).items()
    }


def _numbered(places: Sequence[Place]) -> tuple[Place, ...]:
    """The same with tiles numbered in the order in which layers first use them."""
    numbers = {tile: i for i, tile in enumerate(dict.fromkeys(place.tile for place in places))}
    return tuple(place._replace(tile=numbers[place.tile]) for place in places)


def _require_tiles(placed: Sequence[Part], places: Sequence[Place], limit: int | None) -> None:
    """Raise `DoesNotFit` for the first layer that has a tile beyond the limit."""
    need = max((place.tile for place in places), default=-1) + 1
    if limit is None or need <= limit:
        return
    beyond = next(p for p, place in zip(placed, places, strict=True) if place.tile >= limit)
    own = {place.tile for p, place in zip(placed, places, strict=True) if p.layer == beyond.layer}
    free = sum(tile < limit for tile in own)
    raise DoesNotFit(
        beyond.layer,
        f"needs {len(own)} tiles, {free} of the chip's {limit} left (the network needs {need})",
    )


def _cores(placed: Sequence[Part], places: Sequence[Place], chip: Chip) -> tuple[int, ...]:
    if not chip.cores.given:
        return ()
    tiles: dict[int, TileNeeds] = {}
    for part, place in sorted(zip(placed, places, strict=True), key=lambda each: each[1].tile):
        tile = tiles.setdefault(place.tile, TileNeeds(part.layer, {}, 0))
        name: Hashable = (part.layer, part.copy, part.group, part.first_row)
        lines = {**tile.lines, name: part.rows}
        weights = tile.synapses + part.rows * part.outputs
        tiles[place.tile] = TileNeeds(tile.layer, lines, weights)
    together = tiles_together(placed, places, chip.analog_sums)
    assigned = assign([_joined([tiles[tile] for tile in each]) for each in together], chip.cores)
    core_of = {t: core for each, core in zip(together, assigned, strict=True) for t in each}
    return tuple(core_of[tile] for tile in sorted(core_of))


def _joined(needs: Sequence[TileNeeds]) -> TileNeeds:
    """What tiles need together."""
    lines = {name: rows for each in needs for name, rows in each.lines.items()}
    return TileNeeds(needs[0].layer, lines, sum(each.synapses for each in needs), len(needs))
