"""Time of compressed networks on the CPU against dense ones, and whether backends agree on them.

    python -m benchmarks.compression.speed --data-dir DIR

The networks are those of `table.py`, dense and with three quarters of their synapses removed,
calibrated, and with four levels of weights; both as 8-bit integers. A round is one run of some test
images on one thread of the CPU backend, in processor time; the least of the rounds counts. Of the
compressed network every spike and every sum of the readout is compared on the targets `COMPARED`.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.compression.table import PLANS, TIMESTEPS, Judge
from benchmarks.repository import RESULTS
from snnc.ir import Graph
from snnc.pipeline import parse_one
from snnc.plugins import BACKENDS, Registry
from snnc.target import Program
from snnc.testing import assert_equal_runs, load_program

COMPRESSED = "stdp-prune{sparsity=0.75},calibrate,fold-scale,quantize-conductance{levels=4}"
CPU = "cpu{threads=1}"
COMPARED = (CPU, "crossbar", "crossbar{packing=time-multiplexed}")
AGREED, ROUNDS = 4, 21
IMAGES = {"mnist": 1000, "resnet20": 24}
"""In a round: some hundredths of a second."""


def program(target: str, graph: Graph) -> Program:
    """The network, ready to run on a target."""
    return load_program(parse_one(target, Registry(BACKENDS)), graph, TIMESTEPS)


def milliseconds(programs: dict[str, Program], x: NDArray[np.float32]) -> dict[str, float]:
    """Least processor time an image, of rounds in turn."""
    rounds: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(ROUNDS):
        for name, each in programs.items():
            start = time.process_time()
            each.run(x)
            rounds[name].append(1e3 * (time.process_time() - start) / len(x))
    return {name: round(min(times), 4) for name, times in rounds.items()}


def row(judge: Judge, images: int) -> dict[str, Any]:
    """The figures of a network, with so many images a round.

    Raises:
        AssertionError: a target differs.
    """
    dense = judge.graphs[1]
    compressed = judge.passed(dense, COMPRESSED)[0]
    graphs = {"dense": dense, "compressed": compressed}
    integers = {k: judge.passed(graph, "quantize")[0] for k, graph in graphs.items()}
    x, _ = judge.test
    few = x[:AGREED]
    expected = program("reference", integers["compressed"]).run(few, record="spikes")
    for target in COMPARED:
        found = program(target, integers["compressed"]).run(few, record="spikes")
        assert_equal_runs(found, expected, target)
    spikes = sum(int(each.astype(bool).sum()) for each in expected.spikes.values())
    times = milliseconds({k: program(CPU, graph) for k, graph in integers.items()}, x[:images])
    return {"ms": times, "equal_on": COMPARED, "images": AGREED, "spikes": spikes}


def main() -> None:
    """Measure all networks, and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data-dir", type=Path, required=True, help="data and weights")
    parser.add_argument("--work", type=Path, default=Path("compression-out"), help="networks")
    parser.add_argument("--only", nargs="+", choices=[*PLANS], default=[*PLANS])
    parser.add_argument("--results", type=Path, default=RESULTS / "compression_speed.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = json.loads(options.results.read_text()) if options.results.exists() else {}
    for network in options.only:
        judge = Judge(network, 0, options.data_dir.resolve(), options.work)
        rows[network] = row(judge, IMAGES[network])
        options.results.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        print(network, json.dumps(rows[network]), flush=True)


if __name__ == "__main__":
    main()
