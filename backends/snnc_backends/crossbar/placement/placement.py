"""Placement of tiles in the cores of a mesh."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.errors import UsageError
from snnc_backends.crossbar.mapping.column_groups import tiles_together
from snnc_backends.crossbar.mapping.mapping import Layout
from snnc_backends.crossbar.placement.assignment import hops
from snnc_backends.crossbar.placement.lower_bounds import bounds
from snnc_backends.crossbar.placement.optimum import optimum
from snnc_backends.crossbar.placement.search import search
from snnc_backends.crossbar.placement.topology import Topology
from snnc_backends.crossbar.placement.topology import from_json as topology_of
from snnc_backends.crossbar.placement.traffic import Traffic


@dataclass(frozen=True)
class Placement:
    """Cores of a mesh with their tiles.

    Attributes:
        mesh: the sites.
        sites: (cores,), where each core lies.
        core_of: per tile its core.
        found: figures of the search: hops of the order of the tiles, of the search, lower bounds,
            the optimum where it is known.
    """

    mesh: Topology
    sites: NDArray[np.int64]
    core_of: Mapping[int, int]
    found: Mapping[str, float | None]

    @property
    def cores(self) -> int:
        """Cores in use."""
        return len(self.sites)

    def hops(self, packets: Traffic) -> dict[str, float]:
        """Per layer, packets times hops of what is sent to it in an inference."""
        return {
            name: hops(flow, self.mesh.distances, self.sites)
            for name, flow in packets.layers.items()
        }


def cores_of(mapped: Layout, grid: Topology) -> dict[int, int]:
    """The core of every tile: that of the machine, if it has cores.

    Else tiles are put into cores in their order, as many in each as the number of sites asks for;
    tiles whose currents are added are all put where the first one is.

    Raises `UsageError` for one with fewer sites than the machine takes cores.
    """
    if mapped.chip.cores.given:
        need = max(mapped.cores, default=-1) + 1
        if need > grid.sites:
            raise UsageError(
                f"mesh {grid.name} has {grid.sites} sites, the network takes {need} cores"
            )
        return dict(enumerate(mapped.cores))
    per_core = max(1, -(-mapped.tiles // grid.sites))
    found: dict[int, int] = {}
    numbers: dict[int, int] = {}
    for tiles in tiles_together(mapped.parts, mapped.places, mapped.chip.analog_sums):
        core = numbers.setdefault(len(found) // per_core, len(numbers))
        found |= dict.fromkeys(tiles, core)
    return found


def place(grid: Topology, core_of: Mapping[int, int], packets: Traffic, seed: int) -> Placement:
    """The cores of `core_of` on the sites where their packets take few hops.

    The start is the order of the tiles along the sites; see `search.search`. Where the optimum is
    found, it is taken.
    """
    flow, distance = packets.total, grid.distances
    start = grid.along(packets.cores)
    searched = search(flow, distance, start, np.random.default_rng(seed))
    best = optimum(flow, grid, searched)
    lower = bounds(flow, distance)
    found: dict[str, float | None] = {
        "hops_in_tile_order": hops(flow, distance, start),
        "hops_of_search": hops(flow, distance, searched),
        **{f"bound_{name}": bound for name, bound in lower.items()},
        "hops_optimum": None if best is None else hops(flow, distance, best),
    }
    return Placement(grid, searched if best is None else best, core_of, found)


def to_json(placement: Placement, packets: Traffic, basis: str) -> dict[str, Any]:
    """The content of `placement.json`; see docs/crossbar.md."""
    x, y = placement.mesh.place(placement.sites)
    tiles: list[list[int]] = [[] for _ in placement.sites]
    for tile, core in placement.core_of.items():
        tiles[core].append(tile)
    return {
        **placement.mesh.json,
        "rates": basis,
        "cores": [
            {"core": core, "x": int(x[core]), "y": int(y[core]), "tiles": tiles[core]}
            for core in range(placement.cores)
        ],
        "hops": sum(placement.hops(packets).values()),
        **placement.found,
        "spike_packets": packets.spikes,
        "sum_packets": packets.sums,
        "links": placement.mesh.links(packets.total, placement.sites),
    }


def from_json(stored: Mapping[str, Any]) -> Placement:
    """The placement in a `placement.json`. Raises `ValueError`, `KeyError` or `TypeError`."""
    grid = topology_of(stored)
    x, y = grid.place(np.arange(grid.sites))
    site_at = {place: site for site, place in enumerate(zip(x.tolist(), y.tolist(), strict=True))}
    numbers = [core["core"] for core in stored["cores"]]
    places = [(core["x"], core["y"]) for core in stored["cores"]]
    if numbers != list(range(len(numbers))) or not set(places) <= set(site_at):
        raise ValueError("cores that are not on the mesh")
    sites = [site_at[place] for place in places]
    core_of = {tile: core["core"] for core in stored["cores"] for tile in core["tiles"]}
    return Placement(grid, np.array(sites, np.int64), core_of, {})
