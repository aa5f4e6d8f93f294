"""VGG16 for 224x224 images mapped, placed and costed on a crossbar by given spike rates.

    python -m benchmarks.crossbar.cost

The network is that of `vgg16.py`: random integer weights of 8 bits, tiles of 128 x 128,
T = 4; with the default differential pairs of 4-bit cells, and with one column a weight. Every
population fires with the rate of `--rate` per neuron and step, from a JSON file: the figures show
what the counts amount to, not what a trained network does. One process per layout checks, maps,
places, costs and writes the artifact, another one loads it; peak memory includes the network.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.crossbar.vgg16 import TIMESTEPS, loaded, peak_mb, vgg16
from benchmarks.repository import RESULTS
from snnc.artifact import open_artifact, write
from snnc.ir import Graph, Neuron
from snnc.pipeline import parse_one
from snnc.plugins import BACKENDS, Registry
from snnc.transform import PassContext

LAYOUTS = ("", "cells=offset cell-bits=8 ")
"""Options of the target besides those of cost and placement."""
SHOWN = (
    "energy_pj", "dynamic_energy_pj", "static_energy_pj", "input_output_energy_pj", "components",
    "latency_ns", "pipeline_period_ns", "area_um2", "conversions", "skipped_conversions",
    "conversions_vs_bitserial_ann", "bitserial_ann_tiles_energy_pj", "tiles_energy_pj",
)  # fmt: skip


def costed(graph: Graph, layout: str, rate: float, mesh: str, folder: Path) -> dict[str, Any]:
    """Seconds, memory, and the figures of placement and cost; `net.snnc` is left in the folder."""
    rates = {node.name: rate for node in graph.nodes if isinstance(node.op, Neuron)}
    (folder / "rates.json").write_text(json.dumps(rates))
    named = json.dumps(str(folder / "rates.json"))
    text = f"crossbar{{{layout}technology=isaac-32nm mesh={mesh} rates={named}}}"
    start = time.perf_counter(), time.process_time()
    target = parse_one(text, Registry(BACKENDS))
    assert not target.check(graph)
    files = target.lower(graph, PassContext(timesteps=TIMESTEPS))
    write(folder / "net.snnc", graph, target=text, files=files)
    spent = {
        "seconds": round(time.perf_counter() - start[0], 2),
        "processor_seconds": round(time.process_time() - start[1], 2),
        "peak_mb": peak_mb(),
        "artifact_mb": round((folder / "net.snnc").stat().st_size / 2**20, 1),
    }
    cost = json.loads(files["crossbar/cost.json"])
    placement = json.loads(files["crossbar/placement.json"])
    placed = {k: v for k, v in placement.items() if k not in ("cores", "links")}
    return {
        "target": text.replace(named, "rates.json"),
        "rate": rate,
        "tiles": json.loads(files["crossbar/figures.json"])["totals"]["tiles"],
        **spent,
        "placement": {**placed, "cores": len(placement["cores"])},
        "cost": {key: cost[key] for key in SHOWN},
    }


def measured(layout: str, rate: float, mesh: str) -> dict[str, Any]:
    """Both parts for a layout, in processes of their own."""
    with tempfile.TemporaryDirectory() as folder:
        shared = ["--layout", layout, "--rate", str(rate), "--mesh", mesh, "--folder", folder]
        parts = {}
        for part in ("map", "load"):
            command = [sys.executable, "-m", __spec__.name, "--part", part, *shared]
            output = subprocess.run(command, check=True, stdout=-1).stdout
            parts[part] = json.loads(output)
    return {**parts["map"], "load": parts["load"]}


def main() -> None:
    """Cost the network, and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rate", type=float, default=0.1)
    parser.add_argument("--mesh", default="19x19")
    parser.add_argument("--results", type=Path, default=RESULTS / "crossbar_cost.json")
    parser.add_argument("--part", choices=("map", "load"), help=argparse.SUPPRESS)
    parser.add_argument("--layout", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part == "map":
        graph = vgg16()
        found = costed(graph, options.layout, options.rate, options.mesh, options.folder)
        print(json.dumps(found))
        return
    if options.part == "load":
        path = options.folder / "net.snnc"
        print(json.dumps(loaded(path, open_artifact(path).manifest["target"])))
        return
    every = [measured(layout, options.rate, options.mesh) for layout in LAYOUTS]
    options.results.write_text(json.dumps(every, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(every, indent=1))


if __name__ == "__main__":
    main()
