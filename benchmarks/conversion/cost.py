"""What the default conversion costs: seconds, processor seconds and peak memory of `snnc compile`.

    python -m benchmarks.conversion.cost --data-dir DIR

Networks of CIFAR-10 with 1,024 bit-exact training images (the first draw of `table.py`),
float, for the target `cpu`, every time in a fresh process with `--threads` threads: ResNet-20 and
ResNet-56 with trained weights, and VGG16 with those of its initialisation, whose accuracy means
nothing. Seconds are those of the whole command, imports included; processor seconds are summed over
its threads, and a machine that is busy otherwise changes them less; memory is the largest resident
set.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.machine import machine
from benchmarks.repository import EXAMPLES
from snnc.data import open_data

IMAGES = 1024
MEAN, STD = "0.485,0.456,0.406", "0.229,0.224,0.225"
NEURONS = {"synchronous": "convert", "wait": "convert{wait=T-1}", "signed": "convert{signed=true}"}


@dataclass(frozen=True)
class Network:
    """A network: its code below `examples/`, and its weights below `DIR/models/`, if any."""

    title: str
    model: str
    weights: str = ""


NETWORKS: Mapping[str, Network] = {
    "resnet20": Network("ResNet-20", "resnet20/net.py:resnet20", "cifar10-resnet20"),
    "resnet56": Network("ResNet-56", "resnet20/net.py:resnet56", "cifar10-resnet56"),
    "vgg16": Network("VGG16", "cifar10_iir/net.py:vgg16"),
}


@dataclass(frozen=True)
class Setting:
    """One row: a network, how it is converted, and from what data."""

    network: str
    neurons: str
    timesteps: int
    data: Path
    calibration: str

    def compile(self, artifact: Path) -> dict[str, float]:
        """One conversion in a process of its own."""
        net = NETWORKS[self.network]
        weights = self.data / "models" / net.weights / "weights.safetensors"
        command = [
            sys.executable, "-m", "snnc", "compile", EXAMPLES / net.model,
            *(["--weights", weights] if net.weights else []),
            "--input-shape", "3,32,32", "--mean", MEAN, "--std", STD,
            "--target", "cpu", "--recipe", NEURONS[self.neurons], "-T", self.timesteps,
            "--calibration", self.calibration, "-o", artifact, "--quiet",
        ]  # fmt: skip
        start = time.perf_counter()
        process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            sys.exit(f"{self.network}: snnc compile failed")
        return {
            "seconds": time.perf_counter() - start,
            "processor_seconds": usage.ru_utime + usage.ru_stime,
            "peak_gb": usage.ru_maxrss / 1e6,
        }


def calibration(data: Path, work: Path) -> str:
    """The first draw of bit-exact training images, as DATA."""
    train = f"cifar10:{data / 'cifar10'}#train"
    pool = open_data(f"{train}[@exact_train.npy]").indices
    chosen = work / "calibration.npy"
    np.save(chosen, np.sort(pool[np.random.default_rng(0).permutation(len(pool))[:IMAGES]]))
    return f"{train}[@{chosen}]"


def measure(setting: Setting, work: Path, runs: int) -> dict[str, Any]:
    """The medians and the worst of `runs` fresh processes."""
    costs = [setting.compile(work / "cost.snnc") for _ in range(runs)]
    figures = {kind: [cost[kind] for cost in costs] for kind in costs[0]}
    return {
        "network": setting.network,
        "neurons": setting.neurons,
        "timesteps": setting.timesteps,
        **figures,
        "median_seconds": statistics.median(figures["seconds"]),
        "median_processor_seconds": statistics.median(figures["processor_seconds"]),
        "largest_gb": max(figures["peak_gb"]),
    }


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows in Markdown."""
    lines = [
        "| network | neurons | T | seconds (median) | processor seconds | peak memory (GB) |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for row in rows:
        seconds, processor = (row[f"median_{kind}"] for kind in ("seconds", "processor_seconds"))
        lines.append(
            f"| {NETWORKS[row['network']].title} | {row['neurons']} | {row['timesteps']} "
            f"| {seconds:.1f} | {processor:.1f} | {row['largest_gb']:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, print a table, and write JSON if asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data-dir", type=Path, required=True, help="data and weights")
    parser.add_argument("--networks", nargs="+", choices=[*NETWORKS], default=[*NETWORKS])
    parser.add_argument("--neurons", nargs="+", choices=[*NEURONS], default=["synchronous"])
    parser.add_argument("--timesteps", nargs="+", type=int, default=[8])
    parser.add_argument("--runs", type=int, default=3, help="processes of each row")
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    if options.runs < 1 or options.threads < 1:
        parser.error("--runs and --threads are at least 1")
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    with TemporaryDirectory() as work:
        data, rows = options.data_dir.resolve(), list[dict[str, Any]]()
        images = calibration(data, Path(work))
        for kind in product(options.networks, options.neurons, options.timesteps):
            rows.append(measure(Setting(*kind, data, images), Path(work), options.runs))
            print(table(rows[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
    print(table(rows))
    if options.json is not None:
        figures = {"threads": options.threads, "machine": machine(), "rows": rows}
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
