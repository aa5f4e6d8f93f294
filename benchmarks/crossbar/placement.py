"""The placement of cores beside the optimum and the bounds: of random problems and of networks.

    OMP_NUM_THREADS=1 python -m benchmarks.crossbar.placement

Random problems: between two cores there are up to 99 packets with a probability of 0.2, 0.4 or 0.8,
none otherwise; meshes have 3 x 2 and 3 x 3 sites. The optimum is that of branch and bound, which
ended every time. Networks are those of `graphs.py`; every population fires with a rate of
0.1 a neuron and step, T = 4, and the tiles are put evenly into the cores of two meshes: 3 x 3, with
the optimum, and 8 x 8. Nothing is written until all rows are there.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.crossbar.graphs import GRAPHS, TIMESTEPS
from benchmarks.markdown_table import table_of_columns
from benchmarks.repository import RESULTS
from snnc.ir import Graph
from snnc_backends.crossbar import CrossbarBackend
from snnc_backends.crossbar.cost.spike_rates import expected, uniform
from snnc_backends.crossbar.mapping.layer_shapes import layer_shapes
from snnc_backends.crossbar.mapping.mapping import layout
from snnc_backends.crossbar.mapping.placed_parts import parts_of
from snnc_backends.crossbar.placement.assignment import hops
from snnc_backends.crossbar.placement.lower_bounds import bounds
from snnc_backends.crossbar.placement.mesh import Mesh
from snnc_backends.crossbar.placement.optimum import optimum
from snnc_backends.crossbar.placement.placement import cores_of, place
from snnc_backends.crossbar.placement.search import search
from snnc_backends.crossbar.placement.traffic import traffic


def measured(problems: int, seed: int) -> dict[str, Any]:
    """Ratios to the optimum: of the search, of the order along a snake; and of the bounds."""
    rng = np.random.default_rng(seed)
    found: dict[str, list[float]] = {"search": [], "snake": [], "bound": []}
    seconds = 0.0
    while len(found["search"]) < problems:
        cores = int(rng.integers(4, 10))
        mesh = Mesh(3, 3 if cores > 6 else 2)
        some = rng.random((cores, cores)) < rng.choice([0.2, 0.4, 0.8])
        flow = (rng.integers(0, 100, (cores, cores)) * some).astype(np.float64)
        np.fill_diagonal(flow, 0)
        start = time.perf_counter()
        sites = search(flow, mesh.distances, mesh.along(cores), np.random.default_rng(0))
        seconds += time.perf_counter() - start
        best = optimum(flow, mesh, mesh.along(cores))
        assert best is not None
        least = hops(flow, mesh.distances, best)
        if not least:
            continue
        found["search"].append(hops(flow, mesh.distances, sites) / least)
        found["snake"].append(hops(flow, mesh.distances, mesh.along(cores)) / least)
        found["bound"].append(max(bounds(flow, mesh.distances).values()) / least)
    return {
        "problems": problems,
        "optimal": sum(ratio < 1 + 1e-9 for ratio in found["search"]),
        "search_seconds": round(seconds / problems, 4),
        **{
            f"{name}_over_optimum": {
                "mean": round(float(np.mean(ratios)), 4),
                "least": round(min(ratios), 4),
                "most": round(max(ratios), 4),
            }
            for name, ratios in found.items()
        },
    }


SIDES = (64, 128, 256)
MESHES = (Mesh(3, 3), Mesh(8, 8))


def placed(name: str, graph: Graph, side: int) -> Iterator[dict[str, Any]]:
    """The figures of a network on every mesh."""
    chip = CrossbarBackend(rows=side, cols=side).chip()
    mapped = layout(graph, chip, TIMESTEPS)
    shapes = layer_shapes(graph, chip, parts_of(mapped), TIMESTEPS)
    events = expected(graph, shapes, uniform(graph), TIMESTEPS).events
    for mesh in MESHES:
        start = time.process_time()
        core_of = cores_of(mapped, mesh)
        packets = traffic(graph, shapes, core_of, events, TIMESTEPS)
        found = place(mesh, core_of, packets, seed=0)
        total = sum(found.hops(packets).values())
        bound = max(v for k, v in found.found.items() if k.startswith("bound_") and v is not None)
        best = found.found["hops_optimum"]
        yield {
            "network": name,
            "side": side,
            "mesh": f"{mesh.columns}x{mesh.rows}",
            "tiles": mapped.tiles,
            "cores": packets.cores,
            "hops": round(total),
            "in_tile_order": _ratio(found.found["hops_in_tile_order"], total),
            "search_to_optimum": _ratio(found.found["hops_of_search"], best),
            "to_bound": _ratio(total, bound),
            "seconds": round(time.process_time() - start, 1),
        }


def _ratio(value: float | None, other: float | None) -> float | None:
    return round(value / other, 3) if value is not None and other else None


COLUMNS = {
    "network": "network",
    "side": "tile",
    "mesh": "mesh",
    "tiles": "tiles",
    "cores": "cores",
    "hops": "hops",
    "in_tile_order": "order of the tiles : hops",
    "search_to_optimum": "search : optimum",
    "to_bound": "hops : bound",
    "seconds": "s",
}


def table(rows: list[dict[str, Any]]) -> str:
    """The rows in Markdown."""
    return table_of_columns(COLUMNS, rows)


def main() -> None:
    """Measure, and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--problems", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=RESULTS / "crossbar_placement.json")
    options = parser.parse_args()
    rows = [
        row
        for name, make in GRAPHS.items()
        for graph in [make()]
        for side in SIDES
        for row in placed(name, graph, side)
    ]
    found = {"random": measured(options.problems, options.seed), "networks": rows}
    options.results.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found["random"], indent=1))
    print(table(rows))


if __name__ == "__main__":
    main()
