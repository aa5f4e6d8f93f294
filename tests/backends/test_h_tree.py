"""Cores on an H-tree: distances, links, the search beside the optimum, the files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnc.artifact import write
from snnc.driver import export_artifact
from snnc.errors import UsageError
from snnc.ir import Graph
from snnc.pipeline import format_spec
from snnc.report.mesh import mesh_map
from snnc.transform import PassContext
from snnc_backends.crossbar import CrossbarBackend
from snnc_backends.crossbar.mapping.layer_shapes import layer_shapes
from snnc_backends.crossbar.mapping.mapping import layout
from snnc_backends.crossbar.mapping.placed_parts import parts_of
from snnc_backends.crossbar.placement.assignment import hops
from snnc_backends.crossbar.placement.h_tree import HTree
from snnc_backends.crossbar.placement.lower_bounds import bounds
from snnc_backends.crossbar.placement.mesh import Mesh
from snnc_backends.crossbar.placement.optimum import optimum
from snnc_backends.crossbar.placement.placement import cores_of, from_json, place, to_json
from snnc_backends.crossbar.placement.search import search
from snnc_backends.crossbar.placement.topology import topology
from snnc_backends.crossbar.placement.traffic import traffic

SMALL = CrossbarBackend(rows=7, cols=9, cell_bits=2, mesh="h-tree-16")


def random_flow(cores: int, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    flow = rng.integers(0, 100, (cores, cores)) * (rng.random((cores, cores)) < 0.4)
    np.fill_diagonal(flow, 0)
    return flow.astype(np.float64)


def test_the_option_names_it() -> None:
    assert topology("h-tree-64") == HTree(3) and HTree(3).name == "h-tree-64"
    assert topology("4x3") == Mesh(4, 3) and topology("none") is None
    for wrong in ("h-tree-8", "h-tree-1", "h-tree-16384", "h-tree-", "tree-4"):
        with pytest.raises(ValueError, match=f"a power of 4 from 4 to 4096, not '{wrong}'"):
            topology(wrong)


def test_a_hop_is_a_link_up_or_down() -> None:
    tree = HTree(3)
    distance = tree.distances
    assert [int(distance[0, site]) for site in (0, 1, 3, 4, 15, 16, 63)] == [0, 2, 2, 4, 4, 6, 6]
    assert (distance == distance.T).all()
    x, y = tree.place(np.arange(64))
    assert sorted(zip(x.tolist(), y.tolist(), strict=True)) == [
        (i, j) for i in range(8) for j in range(8)
    ]
    below = x[:16].max() < 4 and y[:16].max() < 4
    assert below, "the sites below a router fill a square"


def test_links_carry_what_passes_them() -> None:
    tree = HTree(2)
    flow = np.zeros((3, 3))
    flow[0, 1], flow[1, 2] = 5, 2
    sites = np.array([0, 3, 9])
    first, second = tree.links(flow, sites)["levels"]
    assert first == [5, 0, 0, 7, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0] and second == [2, 0, 2, 0]
    assert sum(first) + sum(second) == hops(flow, tree.distances, sites)


def test_the_optimum_is_that_of_all_arrangements() -> None:
    tree, flow = HTree(2), random_flow(5)
    found = optimum(flow, tree, tree.along(5))
    least = min(
        hops(flow, tree.distances, np.array((0, *rest))) for rest in permutations(range(1, 16), 4)
    )
    assert found is not None and hops(flow, tree.distances, found) == least
    assert max(bounds(flow, tree.distances).values()) <= least + 1e-9
    assert bounds(flow, tree.distances)["flow"] == 2 * flow.sum(), "two hops at least"
    sites = search(flow, tree.distances, tree.along(5), np.random.default_rng(0))
    assert hops(flow, tree.distances, sites) <= 1.05 * least


def test_a_network_is_placed_and_drawn(chain: Callable[..., Graph], tmp_path: Path) -> None:
    graph = chain((6, 40, 30, 5))
    tree, events = HTree(2), {"act1": 77.0, "act2": 31.0}
    mapped = layout(graph, SMALL.chip(), 4)
    core_of = cores_of(mapped, tree)
    shapes = layer_shapes(graph, mapped.chip, parts_of(mapped), 4)
    packets = traffic(graph, shapes, core_of, events, 4)
    placed = place(tree, core_of, packets, seed=0)
    stored = to_json(placed, packets, "made up")
    assert stored["h_tree"] == 16 and "mesh" not in stored
    assert sum(map(sum, stored["links"]["levels"])) == pytest.approx(stored["hops"], abs=0.1)
    again = from_json(stored)
    assert again.mesh == tree and again.hops(packets) == placed.hops(packets)
    tiles = [{"tile": tile, "layer": "fc1"} for tile in core_of]
    drawn = mesh_map({"hardware": {"placement": stored, "tiles": tiles}})
    assert drawn is not None and drawn.title == "H-tree" and "fc1" in drawn.svg
    with pytest.raises(ValueError, match="not on the mesh"):
        from_json({**stored, "h_tree": 4})
    with pytest.raises(UsageError, match="mesh h-tree-4 has 4 sites"):
        cores_of(layout(graph, replace(SMALL, tiles_per_core=1).chip(), 4), HTree(1))


def test_sanafe_has_no_trees(small: Callable[..., Graph], tmp_path: Path) -> None:
    graph = small()
    graph.meta["timesteps"] = 3
    files = SMALL.lower(graph, PassContext(timesteps=3))
    write(tmp_path / "net.snnc", graph, target=format_spec(SMALL), files=files)
    with pytest.raises(UsageError, match="meshes only, and the network lies on h-tree-16"):
        export_artifact(tmp_path / "net.snnc", "sanafe", tmp_path / "out")
