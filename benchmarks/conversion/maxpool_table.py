"""Max pooling in spiking networks: the maximum of counts beside the average and the OR of spikes.

    python -m benchmarks.conversion.maxpool_table --data-dir DIR

DIR holds `fashion-mnist/` and `cifar10/` as for `learning/table.py`. The networks are trained into
`--work`, once, in minutes each, on 10,000 images. A row is one conversion by the default recipe
with 1,024 training images, for the window T, and one run of the CPU backend: the accuracy on all
test images (of CIFAR-10 the bit-exact ones and the others apart), or for T=128 the agreement with
the ANN on 1,000 of them. Rows are kept in `--results`, and the same command goes on where it was
stopped.

- count: nothing is told; `snnc compile` takes the maximum of counts.
- average: `convert{maxpool=average}`, which replaces the pools of the trained network.
- or: the same passes as `count`, but a pool fires where an input of it fires in that step.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import snnc
from benchmarks.learning.networks import Task, fitted, normalized, tasks
from benchmarks.markdown_table import markdown_table
from snnc.data import Dataset
from snnc.driver.models import normalize
from snnc.ir import CountMaxPool, Graph, MaxPool
from snnc.plugins import BACKENDS, RECIPES, Registry
from snnc.target import Program
from snnc.testing import load_program
from snnc.transform import Pass, PassContext, PassResult

CALIBRATED, AGREED = 1024, 1000
LONG = 128
"""The window in which agreement is judged, on `AGREED` images."""
RECIPES_OF = {"count": "convert", "average": "convert{maxpool=average}", "or": "convert"}


@dataclass(frozen=True)
class Network:
    """A max-pool CNN: blocks of a convolution, ReLU and a pool by 2, then two linear layers."""

    title: str
    task: str
    widths: tuple[int, ...]
    norm: bool
    epochs: int

    def module(self, task: Task) -> nn.Sequential:
        """The network before training."""
        layers: list[nn.Module] = []
        channels, size = task.shape[0], task.shape[1]
        for width in self.widths:
            layers.append(nn.Conv2d(channels, width, 3, padding=1, bias=not self.norm))
            layers += [*([nn.BatchNorm2d(width)] if self.norm else []), nn.ReLU(), nn.MaxPool2d(2)]
            channels, size = width, size // 2
        flat = channels * size**2
        head = (nn.Flatten(), nn.Linear(flat, 128), nn.ReLU(), nn.Linear(128, 10))
        return nn.Sequential(*layers, *head)


NETWORKS = {
    "fashion": Network("Fashion-MNIST", "fashion-mnist", (16, 32, 64), True, 15),
    "fashion-plain": Network(
        "Fashion-MNIST, no batch norm", "fashion-mnist", (16, 32, 64), False, 15
    ),
    "cifar": Network("CIFAR-10", "cifar10", (32, 64, 128), True, 20),
}


@dataclass(frozen=True, kw_only=True)
class OrOfSpikes(Pass):
    """Replace maxima of counts by the OR of the spikes of a step."""

    name: ClassVar[str] = "or-of-spikes"

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        """Replace every CountMaxPool."""
        for node in graph.nodes:
            if isinstance(node.op, CountMaxPool):
                graph.replace_op(node.name, MaxPool(windows=node.op.windows))
        return PassResult(graph)


@dataclass(frozen=True)
class Row:
    """One conversion."""

    network: str
    pool: str
    timesteps: int

    @property
    def name(self) -> str:
        """In the results."""
        return f"{self.network}-{self.pool}-{self.timesteps}"


class Bench:
    """The networks, their data and the rows that are known."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.tasks = tasks(options.data_dir)
        options.work.mkdir(parents=True, exist_ok=True)
        self.rows: dict[str, Any] = {}
        if options.results.exists():
            self.rows = json.loads(options.results.read_text(encoding="utf-8"))

    def measure(self, row: Row) -> None:
        """Convert and run, unless the row is known."""
        if row.name not in self.rows:
            self.rows[row.name] = {**asdict(row), **self._figures(row)}
            part = self.options.results.with_suffix(".part")
            part.write_text(json.dumps(self.rows, indent=1) + "\n", encoding="utf-8")
            part.replace(self.options.results)
        print(row.name, self.rows[row.name], file=sys.stderr, flush=True)

    def _figures(self, row: Row) -> dict[str, Any]:
        task, program = self.tasks[NETWORKS[row.network].task], self._program(row)
        figures: dict[str, Any] = {}
        for part, images in task.parts.items():
            if row.timesteps == LONG:
                images = replace(images, indices=images.indices[:AGREED])
            theirs, labels = self._ann(row.network, part)
            ours = np.concatenate([program.run(x).output.argmax(axis=1) for x, _ in images])
            theirs, labels = theirs[: len(ours)], labels[: len(ours)]
            figures[part] = {
                "images": len(ours),
                "accuracy": float((ours == labels).mean()),
                "ann_accuracy": float((theirs == labels).mean()),
                "agreement": float((ours == theirs).mean()),
            }
        return {"parts": figures}

    @cache  # noqa: B019
    def _ann(self, network: str, part: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The ANN's class of every test image, and its label."""
        task, model = self.tasks[NETWORKS[network].task], self._model(network)
        classes: list[NDArray[np.int64]] = []
        labels: list[NDArray[np.int64]] = []
        with torch.no_grad():
            for x, y in task.parts[part]:
                assert y is not None
                classes.append(model(normalized(task, x)).argmax(1).numpy())
                labels.append(y)
        return np.concatenate(classes), np.concatenate(labels)

    @cache  # noqa: B019
    def _model(self, network: str) -> nn.Sequential:
        net = NETWORKS[network]
        task, kept = self.tasks[net.task], self.options.work / f"{network}.safetensors"
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = net.module(task)
        return fitted(model, task, 0, net.epochs, kept)

    def _program(self, row: Row) -> Program:
        task, model = self.tasks[NETWORKS[row.network].task], self._model(row.network)
        images = task.train.limit(CALIBRATED)
        if row.pool != "or":
            return snnc.compile(
                model,
                recipe=RECIPES_OF[row.pool],
                timesteps=row.timesteps,
                calibration=images,
                input_shape=task.shape,
                mean=task.mean,
                std=task.std,
            ).program
        return self._with_or(model, task, images, row.timesteps)

    def _with_or(self, model: nn.Module, task: Task, images: Dataset, steps: int) -> Program:
        graph = normalize(snnc.trace(model, task.shape), task.mean, task.std)
        recipe = Registry(RECIPES).get("convert")()
        passes = list(snnc.Pipeline.from_text(recipe.pipeline()).passes)
        place = next(i for i, p in enumerate(passes) if p.name == "activations-to-neurons")
        passes.insert(place + 1, OrOfSpikes())
        ctx = PassContext(timesteps=steps, calibration=images)
        spiking = snnc.Pipeline(tuple(passes)).run(graph, ctx).graph
        return load_program(Registry(BACKENDS).get("cpu")(), spiking, steps)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Accuracy lost against the ANN, in points, per window; agreement at `LONG`."""
    windows = sorted({row["timesteps"] for row in rows} - {LONG})
    heads = ["network", "images", "ANN (%)", "pool", *(f"gap, T={t}" for t in windows)]
    heads.append(f"agreement, T={LONG} (%)")
    lines: list[list[str]] = []
    known = {(row["network"], row["pool"], row["timesteps"]): row["parts"] for row in rows}
    for network, pool in dict.fromkeys((row["network"], row["pool"]) for row in rows):
        for part in next(p for (n, k, _), p in known.items() if (n, k) == (network, pool)):
            cells = [known.get((network, pool, t), {}).get(part) for t in (*windows, LONG)]
            judged = [cell for cell in cells[:-1] if cell]
            ann = f"{100 * judged[0]['ann_accuracy']:.2f}" if judged else ""
            gaps = [
                f"{100 * (cell['ann_accuracy'] - cell['accuracy']):.2f}" if cell else ""
                for cell in cells[:-1]
            ]
            last = cells[-1]
            agreement = f"{100 * last['agreement']:.1f}" if last else ""
            lines.append([NETWORKS[network].title, part, ann, pool, *gaps, agreement])
    return markdown_table(heads, lines, text_columns=range(len(heads)))


def settings(options: argparse.Namespace) -> Iterator[Row]:
    """Every row asked for."""
    for network in options.networks:
        for pool in options.pools:
            for timesteps in options.timesteps:
                yield Row(network, pool, timesteps)


def main() -> None:
    """Measure row by row; print the table of all kept rows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data-dir", type=Path, required=True, help="data")
    parser.add_argument("--work", type=Path, default=Path("maxpool-out"), help="networks are kept")
    parser.add_argument("--results", type=Path, default=Path("maxpool-out/results.json"))
    parser.add_argument("--networks", nargs="+", choices=[*NETWORKS], default=[*NETWORKS])
    parser.add_argument("--pools", nargs="+", choices=[*RECIPES_OF], default=[*RECIPES_OF])
    parser.add_argument("--timesteps", nargs="+", type=int, default=[4, 8, 16, 32, LONG])
    options = parser.parse_args()
    bench = Bench(options)
    for row in settings(options):
        bench.measure(row)
    print(table([*bench.rows.values()]))


if __name__ == "__main__":
    main()
