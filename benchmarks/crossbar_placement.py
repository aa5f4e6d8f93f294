"""The placement of up to 9 cores beside the optimum, and beside the bounds, on random problems.

    python benchmarks/crossbar_placement.py

Between two cores there are up to 99 packets with a probability of 0.2, 0.4 or 0.8, none otherwise;
meshes have 3 x 2 and 3 x 3 sites. The optimum is that of branch and bound, which ended every time.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from snnc_backends.crossbar.placement.assignment import bounds, hops, optimum, search
from snnc_backends.crossbar.placement.mesh import Mesh

ROOT = Path(__file__).resolve().parent.parent


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
        sites = search(flow, mesh.distances, mesh.snake(cores), np.random.default_rng(0))
        seconds += time.perf_counter() - start
        best = optimum(flow, mesh, mesh.snake(cores))
        assert best is not None
        least = hops(flow, mesh.distances, best)
        if not least:
            continue
        found["search"].append(hops(flow, mesh.distances, sites) / least)
        found["snake"].append(hops(flow, mesh.distances, mesh.snake(cores)) / least)
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


def main() -> None:
    """Measure, and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--problems", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    results = ROOT / "benchmarks" / "results" / "crossbar_placement.json"
    parser.add_argument("--results", type=Path, default=results)
    options = parser.parse_args()
    found = measured(options.problems, options.seed)
    options.results.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
