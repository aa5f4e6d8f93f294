"""Accuracy of pruned networks against sparsity, and what they cost on a crossbar.

    python benchmarks/compression.py --data-dir DIR [--only mnist]

DIR is as for `conversion_table.py`. A network is converted for T = 8 on 256 training images (of
CIFAR-10 bit-exact ones). Its synapses are then removed by one of `METHODS` at equal sparsity, on
the same images, and it is judged on test images at four stages: pruned; calibrated, when
`calibrate` has solved for the weights that stay (no labels, the same images); learned, after two
epochs of training towards the outputs of the ANN (no labels); levels, after two more with four
levels of weights. Before and after it is costed: 8-bit integers on tiles of 128x128 cells
that layers share, energies and areas by the backend's own table. Constants of the rule and of the
training were chosen on training images. A row of the results is one network; rows that are there
are not measured again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from conversion_table import NETWORKS
from numpy.typing import NDArray

from snnc.artifact import open_artifact, write
from snnc.data import open_data
from snnc.driver import ModelSource, load_model
from snnc.ir import Graph
from snnc.pipeline import Pipeline, parse_one
from snnc.plugins import BACKENDS, Registry
from snnc.training import FastInterpreter
from snnc.transform import PassContext
from snnc_passes.recipes.convert import Convert

ROOT = Path(__file__).resolve().parent.parent
TIMESTEPS = 8
CALIBRATED, CHUNK = 256, 50
TRAINED = {"mnist": 2048, "resnet20": 512}
JUDGED = {"mnist": 2000, "resnet20": 500}
LEARNED: Mapping[str, Sequence[tuple[str, float, str]]] = {
    "mnist": [
        *((method, 0.75, "none") for method in ("stdp", "stdp, plain rule", "magnitude", "random")),
        ("stdp", 0.5, "rows"),
    ],
    "resnet20": [("stdp", 0.75, "none"), ("magnitude", 0.75, "none")],
}
"""What is trained: methods, sparsities and structures of each network."""
SNAPPED = ("mnist",)
METHODS: Mapping[str, str] = {
    "stdp": "method=stdp",
    "stdp, plain rule": "method=stdp rule=plain",
    "magnitude": "method=magnitude",
    "random": "method=random",
}
LEARN = "learn{{epochs=2 lr=0.0001 batch=32 loss=ann v-init=true surrogate=triangle{}}}"
SNAP = {
    "none": " snap=quantize-conductance{levels=4}",
    "rows": " snap=quantize-conductance{levels=[0.25 0.5 0.75 1]}",
}
"""Levels fitted to each layer, or those of `CELLS`."""
TARGET = "crossbar{packing=time-multiplexed technology=isaac-32nm}"
CELLS = (
    "crossbar{packing=time-multiplexed technology=isaac-32nm cell-bits=list "
    "device=level-list{us=[0 25 50 75 100]}}"
)
"""One cell a sign, with four levels above zero."""
STAGES = ("pruned", "calibrated", "learned", "levels")


@dataclass(frozen=True)
class Setting:
    """A network, and how its synapses are chosen; method "dense" removes none."""

    network: str
    method: str
    sparsity: float
    structure: str


class Judge:
    """A converted network with the images that it is pruned, trained and judged by."""

    def __init__(self, name: str, data: Path, work: Path) -> None:
        self.name, self.net, self.data, self.work = name, NETWORKS[name], data, work
        work.mkdir(parents=True, exist_ok=True)

    def _images(self, split: str, start: int, count: int) -> tuple[NDArray[np.float32], Any]:
        exact = f"[@exact_{split}.npy]" if self.net.exact else ""
        images = open_data(f"{self.net.kind}:{self.data / self.net.kind}#{split}{exact}")
        return images.take(np.arange(start, start + count))

    @cached_property
    def context(self) -> PassContext:
        """The data that passes see, and the ANN."""
        calibration, _ = self._images("train", 0, CALIBRATED)
        train, _ = self._images("train", CALIBRATED, TRAINED[self.name])
        return PassContext(
            timesteps=TIMESTEPS,
            ann=self.graphs[0],
            calibration=[(calibration, None)],
            train=[(train, None)],
        )

    @cached_property
    def graphs(self) -> tuple[Graph, Graph]:
        """The ANN before neurons replace its activations, and the spiking network."""
        files = [self.work / f"{self.name}-{stage}.snnc" for stage in ("ann", "snn")]
        if not files[1].exists():
            weights = self.net.find_weights(self.data, self.work)
            source = ModelSource(
                model=str(ROOT / "examples" / self.net.model),
                weights=weights,
                input_shape=self.net.input_shape,
                mean=self.net.mean,
                std=self.net.std,
            )
            calibration, _ = self._images("train", 0, CALIBRATED)
            ctx = PassContext(timesteps=TIMESTEPS, calibration=[(calibration, None)])
            result = Pipeline.from_text(Convert().pipeline()).run(load_model(source), ctx)
            assert result.ann is not None
            for file, graph in zip(files, (result.ann, result.graph), strict=True):
                write(file, graph)
        ann, snn = (open_artifact(file).graph() for file in files)
        return ann, snn

    @cached_property
    def test(self) -> tuple[NDArray[np.float32], Any]:
        """Test images and labels."""
        return self._images("test", 0, JUDGED[self.name])

    def passed(self, graph: Graph, passes: str) -> tuple[Graph, Mapping[str, Any]]:
        """What passes make of a graph, and the metrics of the first."""
        result = Pipeline.from_text(passes).run(graph, self.context)
        return result.graph, result.steps[0].metrics

    def accuracy(self, graph: Graph) -> float:
        """On the test images, in percent."""
        x, y = self.test
        interpreter, name = FastInterpreter(graph), graph.outputs[0]
        with torch.no_grad():
            right = sum(
                int((interpreter.snn(x[i : i + CHUNK], TIMESTEPS).outputs[name].argmax(1).numpy()
                     == y[i : i + CHUNK]).sum())
                for i in range(0, len(x), CHUNK)
            )  # fmt: skip
        return round(100 * right / len(x), 2)

    def cost(self, graph: Graph, target: str = TARGET) -> dict[str, Any]:
        """Tiles, energy and area of the network as 8-bit integers."""
        integers, _ = self.passed(graph, "quantize{bits=8}")
        files = parse_one(target, Registry(BACKENDS)).lower(integers, self.context)
        totals = json.loads(files["crossbar/figures.json"])["totals"]
        cost = json.loads(files["crossbar/cost.json"])
        return {
            "tiles": totals["tiles"],
            "cells": totals["cells_used"],
            "energy_nj": round(cost["energy_pj"] / 1e3, 3),
            "tiles_energy_nj": round(cost["tiles_energy_pj"] / 1e3, 3),
            "area_mm2": round(cost["area_um2"] / 1e6, 4),
        }

    def row(self, setting: Setting) -> dict[str, Any]:
        """The figures of one setting."""
        start, graph = time.process_time(), self.graphs[1]
        row: dict[str, Any] = asdict(setting)
        if setting.method != "dense":
            prune = f"sparsity={setting.sparsity} structure={setting.structure}"
            passes = f"stdp-prune{{{prune} {METHODS[setting.method]}}}"
            graph, metrics = self.passed(graph, passes)
            kept = ("zeros", "rule_zeros", "weights", "dead_outputs")
            row |= {key: metrics[key] for key in kept}
            row["empty_rows"] = sum(each["empty_rows"] for each in metrics["layers"].values())
        row["pruned"] = self.accuracy(graph)
        if setting.method != "dense":
            graph, _ = self.passed(graph, "calibrate,fold-scale")
            row["calibrated"] = self.accuracy(graph)
        row["cost"] = self.cost(graph)
        chosen = (setting.method, setting.sparsity, setting.structure)
        if chosen in LEARNED[self.name]:
            graph, _ = self.passed(graph, LEARN.format(""))
            row["learned"] = self.accuracy(graph)
            if self.name in SNAPPED:
                graph, _ = self.passed(graph, LEARN.format(SNAP[setting.structure]))
                row["levels"] = self.accuracy(graph)
            row["cost"] = self.cost(graph)
            if setting.structure == "rows":
                row["cells_cost"] = self.cost(graph, CELLS)
        return {**row, "images": JUDGED[self.name], "seconds": time.process_time() - start}


def settings(options: argparse.Namespace) -> Iterator[Setting]:
    """The dense network, every method at every sparsity, and rows as a whole."""
    for network in options.only:
        yield Setting(network, "dense", 0.0, "none")
        for sparsity in options.sparsities:
            for method in options.methods:
                yield Setting(network, method, sparsity, "none")
        for sparsity in options.structured:
            for method in ("stdp", "magnitude"):
                yield Setting(network, method, sparsity, "rows")


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows in Markdown."""
    heads = ["network", "removed", "method", "pruned", "calibrated", "learned", "4 levels",
             "tiles", "energy (µJ)", "area (mm²)"]  # fmt: skip
    lines = [heads, ["---"] * 3 + ["---:"] * 7]
    for row in rows:
        cost, whole = row["cost"], ", rows" if row["structure"] == "rows" else ""
        accuracies = [f"{row[s]:.2f}" if s in row else "" for s in STAGES]
        removed = f"{100 * row['sparsity']:.0f} %{whole}"
        costs = [str(cost["tiles"]), f"{cost['energy_nj'] / 1e3:.2f}", f"{cost['area_mm2']:.3f}"]
        lines.append([row["network"], removed, row["method"], *accuracies, *costs])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Measure what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data-dir", type=Path, required=True, help="data and weights")
    parser.add_argument("--work", type=Path, default=Path("compression-out"), help="networks")
    parser.add_argument("--only", nargs="+", choices=[*TRAINED], default=[*TRAINED])
    parser.add_argument("--methods", nargs="+", choices=[*METHODS], default=[*METHODS])
    parser.add_argument("--sparsities", nargs="+", type=float, default=[0.75, 0.5, 0.25, 0.9])
    parser.add_argument("--structured", nargs="*", type=float, default=[0.5, 0.25])
    results = ROOT / "benchmarks" / "results" / "compression.json"
    parser.add_argument("--results", type=Path, default=results)
    options = parser.parse_args()
    torch.set_num_threads(1)
    judges = {name: Judge(name, options.data_dir.resolve(), options.work) for name in options.only}
    rows = json.loads(options.results.read_text()) if options.results.exists() else []
    for setting in settings(options):
        if any(asdict(setting).items() <= row.items() for row in rows):
            continue
        rows.append(judges[setting.network].row(setting))
        options.results.write_text(json.dumps(rows, indent=0) + "\n", encoding="utf-8")
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
