"""Accuracy of pruned networks against sparsity, and what they cost on a crossbar.

    python -m benchmarks.compression.table --data-dir DIR [--only mnist]

DIR is as for `conversion/table.py`. A network is converted for T = 8 on 256 training images (of
CIFAR-10 bit-exact ones). Its synapses are then removed by one of `METHODS` at equal sparsity, on
the same images, and it is judged on test images at four stages: pruned; calibrated, when
`calibrate` has solved for the weights that stay (no labels, the same images); learned, after some
epochs of training towards the outputs of the ANN (no labels); levels, after as many more with four
levels of weights. It is costed as 8-bit integers on tiles of 128x128 cells that layers share, by
the backend's own table. Where rows are removed, the levels are three evenly spaced ones, and it is
costed as 3-bit integers in cells of 2 bits, too. Constants of the rule and of the training were
chosen on training images. A seed is a draw of the images of conversion, choice and training. A row
of the results is a network, a seed and a way to remove; rows that are there are not measured again,
and a row does not depend on those before it.
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
from numpy.typing import NDArray

from benchmarks.conversion.judged_networks import NETWORKS
from benchmarks.markdown_table import markdown_table
from benchmarks.repository import EXAMPLES, RESULTS
from snnc.artifact import open_artifact, write
from snnc.data import open_data
from snnc.driver import ModelSource, load_model
from snnc.ir import Graph
from snnc.pipeline import Pipeline, parse_one
from snnc.plugins import BACKENDS, Registry
from snnc.training import FastInterpreter
from snnc.transform import PassContext
from snnc_passes.recipes.convert import Convert

TIMESTEPS = 8
CALIBRATED, CHUNK = 256, 50
STRUCTURED = ("stdp", "magnitude")


@dataclass(frozen=True)
class Plan:
    """What is measured of a network.

    Attributes:
        seeds: draws of images.
        sparsities: of single weights, by every method.
        rows: of rows as a whole, by the methods `STRUCTURED`.
        train: images for training.
        epochs: of each of the two trainings.
        lr: of training.
        judged: test images.
    """

    seeds: Sequence[int]
    sparsities: Sequence[float]
    rows: Sequence[float]
    train: int
    epochs: int
    lr: float
    judged: int


PLANS: Mapping[str, Plan] = {
    "mnist": Plan((0, 1, 2), (0.75, 0.5, 0.9), (0.5, 0.75), 2048, 2, 1e-4, 2000),
    "resnet20": Plan((0,), (0.75, 0.5, 0.9), (0.5,), 512, 1, 1e-4, 500),
}
METHODS: Mapping[str, str] = {
    "stdp": "method=stdp",
    "stdp, plain rule": "method=stdp rule=plain",
    "magnitude": "method=magnitude",
    "random": "method=random",
}
LEARN = "learn{{epochs={} lr={} batch=32 loss=ann v-init=true surrogate=triangle{}}}"
SNAP = {
    "none": " snap=quantize-conductance{levels=4}",
    "rows": " snap=quantize-conductance{levels=[0.333333 0.666667 1]}",
}
"""Levels fitted to each layer, or those of `TARGETS[FEW_BITS]`."""
FEW_BITS = 3
TARGETS = {
    8: "crossbar{packing=time-multiplexed technology=isaac-32nm}",
    FEW_BITS: "crossbar{weight-bits=3 cell-bits=2 packing=time-multiplexed technology=isaac-32nm}",
}
"""By bits of a weight; those of few bits take one cell a sign, with three levels above zero."""
STAGES = ("pruned", "calibrated", "learned", "levels", "few_bits")


@dataclass(frozen=True)
class Setting:
    """A network, a draw of images, and how synapses are chosen; method "dense" removes none."""

    network: str
    seed: int
    method: str
    sparsity: float
    structure: str


class Judge:
    """A converted network with the images that it is pruned, trained and judged by."""

    def __init__(self, name: str, seed: int, data: Path, work: Path) -> None:
        self.net, self.plan, self.seed, self.data = NETWORKS[name], PLANS[name], seed, data
        work.mkdir(parents=True, exist_ok=True)
        self.work, self.stem = work, f"{name}-{seed}"
        first = seed * (CALIBRATED + self.plan.train)
        self.calibration, _ = self._images("train", first, CALIBRATED)
        self.train, _ = self._images("train", first + CALIBRATED, self.plan.train)
        self.test = self._images("test", 0, self.plan.judged)

    def _images(self, split: str, start: int, count: int) -> tuple[NDArray[np.float32], Any]:
        exact = f"[@exact_{split}.npy]" if self.net.exact else ""
        images = open_data(f"{self.net.kind}:{self.data / self.net.kind}#{split}{exact}")
        return images.take(np.arange(start, start + count))

    @cached_property
    def graphs(self) -> tuple[Graph, Graph]:
        """The ANN before neurons replace its activations, and the spiking network."""
        files = [self.work / f"{self.stem}-{stage}.snnc" for stage in ("ann", "snn")]
        if not files[1].exists():
            weights = self.net.find_weights(self.data, self.work)
            source = ModelSource(
                model=str(EXAMPLES / self.net.model),
                weights=weights,
                input_shape=self.net.input_shape,
                mean=self.net.mean,
                std=self.net.std,
            )
            pipeline = Pipeline.from_text(Convert().pipeline())
            result = pipeline.run(load_model(source), self._context(None))
            assert result.ann is not None
            for file, graph in zip(files, (result.ann, result.graph), strict=True):
                write(file, graph)
        ann, snn = (open_artifact(file).graph() for file in files)
        return ann, snn

    def _context(self, ann: Graph | None) -> PassContext:
        """The data that passes see, with random numbers from their beginning."""
        return PassContext(
            rng=np.random.default_rng(self.seed),
            timesteps=TIMESTEPS,
            ann=ann,
            calibration=[(self.calibration, None)],
            train=[(self.train, None)],
        )

    def passed(self, graph: Graph, passes: str) -> tuple[Graph, Mapping[str, Any]]:
        """What passes make of a graph, and the metrics of the first."""
        result = Pipeline.from_text(passes).run(graph, self._context(self.graphs[0]))
        return result.graph, result.steps[0].metrics

    def learned(self, graph: Graph, snap: str) -> Graph:
        """The network trained towards the ANN, with levels or none."""
        passes = LEARN.format(self.plan.epochs, self.plan.lr, snap)
        return self.passed(graph, passes)[0]

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

    def cost(self, graph: Graph, bits: int) -> dict[str, Any]:
        """Tiles, energy and area of a network as integers of so many bits."""
        integers = self.passed(graph, f"quantize{{bits={bits}}}")[0]
        backend = parse_one(TARGETS[bits], Registry(BACKENDS))
        files = backend.lower(integers, self._context(None))
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
        row["cost_before"] = self.cost(graph, 8)
        graph = self.learned(graph, "")
        row["learned"] = self.accuracy(graph)
        graph = self.learned(graph, SNAP[setting.structure])
        row["levels"] = self.accuracy(graph)
        row["cost"] = self.cost(graph, 8)
        if setting.structure == "rows":
            few, _ = self.passed(graph, f"quantize{{bits={FEW_BITS}}}")
            row["few_bits"] = self.accuracy(few)
            row["few_bits_cost"] = self.cost(graph, FEW_BITS)
        return {**row, "images": self.plan.judged, "seconds": time.process_time() - start}


def settings(network: str, seed: int) -> Iterator[Setting]:
    """The dense network, every method at every sparsity, and rows as a whole."""
    for structure in SNAP:
        yield Setting(network, seed, "dense", 0.0, structure)
    for sparsity in PLANS[network].sparsities:
        for method in METHODS:
            yield Setting(network, seed, method, sparsity, "none")
    for sparsity in PLANS[network].rows:
        for method in STRUCTURED:
            yield Setting(network, seed, method, sparsity, "rows")


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows in Markdown; of several seeds the means, with the standard deviation behind them."""
    few = f"{FEW_BITS} bits"
    heads = ["network", "removed", "method", "seeds", *STAGES[:-1], few, "8 bits: tiles", "µJ",
             "mm²", f"{few}: tiles", "µJ", "mm²"]  # fmt: skip
    lines: list[list[str]] = []
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        key = tuple(row[name] for name in ("network", "sparsity", "structure", "method"))
        groups.setdefault(key, []).append(row)
    for (network, sparsity, structure, method), group in groups.items():
        removed = f"{100 * sparsity:.0f} %{', rows' if structure == 'rows' else ''}"
        accuracies = [_spread([row[stage] for row in group if stage in row]) for stage in STAGES]
        costs = [c for key in ("cost", "few_bits_cost") for c in _cells(group[0].get(key))]
        lines.append([network, removed, method, str(len(group)), *accuracies, *costs])
    return markdown_table(heads, lines, text_columns=range(3))


def _spread(values: Sequence[float]) -> str:
    if not values:
        return ""
    behind = f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{np.mean(values):.1f}{behind}"


def _cells(cost: Mapping[str, Any] | None) -> list[str]:
    if cost is None:
        return [""] * 3
    return [str(cost["tiles"]), f"{cost['energy_nj'] / 1e3:.2f}", f"{cost['area_mm2']:.3f}"]


def main() -> None:
    """Measure what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data-dir", type=Path, required=True, help="data and weights")
    parser.add_argument("--work", type=Path, default=Path("compression-out"), help="networks")
    parser.add_argument("--only", nargs="+", choices=[*PLANS], default=[*PLANS])
    parser.add_argument("--seeds", nargs="+", type=int, help="of those that there are")
    parser.add_argument("--results", type=Path, default=RESULTS / "compression.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = json.loads(options.results.read_text()) if options.results.exists() else []
    for network in options.only:
        for seed in options.seeds or PLANS[network].seeds:
            judge = Judge(network, seed, options.data_dir.resolve(), options.work)
            for setting in settings(network, seed):
                if any(asdict(setting).items() <= row.items() for row in rows):
                    continue
                rows.append(judge.row(setting))
                options.results.write_text(json.dumps(rows, indent=0) + "\n", encoding="utf-8")
                print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
