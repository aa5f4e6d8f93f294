"""ResNet-18 and MobileNet-v2 at a quarter of the width on CIFAR-10: accuracy lost by conversion.

    python -m benchmarks.cifar10.table --data-dir DIR

DIR holds `cifar10/` as for `conversion/table.py`. The networks are trained into `--work`, once, on
all training images; how was not chosen by any test image. A row is one `snnc compile` with the
default recipe and 1,024 bit-exact training images, for the window T, and one run of all test images
on the CPU backend: those that are bit-exact and the others apart. Rows of 8 bits also run on the
crossbar with its default device, which has to give the same readouts. Rows are kept in `--results`,
and the same command goes on where it was stopped. An empty `--precisions` only trains.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import snnc
from benchmarks.cifar10.networks import BUILDERS
from benchmarks.cifar10.training import Training, trained
from benchmarks.learning.networks import normalized, tasks
from benchmarks.markdown_table import markdown_table
from snnc.data import Dataset, open_data
from snnc.driver import Compiled
from snnc.plugins import BACKENDS, Registry
from snnc.testing import load_program

CALIBRATED, ON_CROSSBAR = 1024, 200
TITLES = {"resnet18": "ResNet-18, width 1/4", "mobilenet-v2": "MobileNet-v2, width 1/4"}
TRAININGS = {
    "resnet18": Training(epochs=7, bfloat16=True),
    "mobilenet-v2": Training(epochs=7, bfloat16=False),
}
RECIPES = {"real": "convert", "8 bits": "convert{bits=8}"}


@dataclass(frozen=True)
class Row:
    """One conversion."""

    network: str
    precision: str
    timesteps: int

    @property
    def name(self) -> str:
        """In the results."""
        return f"{self.network}-{self.precision.replace(' ', '')}-{self.timesteps}"


class Bench:
    """The networks, their data and the rows that are known."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.task = tasks(options.data_dir)["cifar10"]
        options.work.mkdir(parents=True, exist_ok=True)

    def rows(self) -> dict[str, Any]:
        """All that are known, by name."""
        path = self.options.results
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def measure(self, row: Row) -> None:
        """Convert and run, unless the row is known."""
        if row.name not in self.rows():
            entry = {**asdict(row), **self._figures(row)}
            text = json.dumps({**self.rows(), row.name: entry}, indent=1, sort_keys=True)
            part = self.options.results.with_suffix(".part")
            part.write_text(text + "\n", encoding="utf-8")
            part.replace(self.options.results)
        print(row.name, self.rows()[row.name], file=sys.stderr, flush=True)

    @cached_property
    def parts(self) -> Mapping[str, Dataset]:
        """The test images that are bit-exact, and the first `--others` of those that are not."""
        parts, most = self.task.parts, self.options.others
        others = parts["decoded"]
        return {"exact": parts["exact"], "other": replace(others, indices=others.indices[:most])}

    @cache  # noqa: B019
    def model(self, network: str) -> nn.Sequential:
        """The network after training."""
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = BUILDERS[network]()
        kept = self.options.work / f"{network}.safetensors"
        return trained(model, self.task, TRAININGS[network], kept)

    def _figures(self, row: Row) -> dict[str, Any]:
        compiled, figures = self._compiled(row), dict[str, Any]()
        for part, images in self.parts.items():
            theirs, labels = self._ann(row.network, part)
            ours = np.concatenate(
                [compiled.program.run(x).output.argmax(axis=1) for x, _ in images]
            )
            lost = 100.0 * ((theirs == labels).astype(int) - (ours == labels))
            figures[part] = {
                "images": len(ours),
                "accuracy": float((ours == labels).mean()),
                "ann_accuracy": float((theirs == labels).mean()),
                "gap_points": float(lost.mean()),
                "gap_interval_95": float(1.96 * lost.std(ddof=1) / np.sqrt(len(lost))),
                "agreement": float((ours == theirs).mean()),
            }
        equal = {} if row.precision == "real" else {"crossbar": self._crossbar(row, compiled)}
        return {"parts": figures, **equal}

    def _compiled(self, row: Row) -> Compiled:
        task = self.task
        exact = open_data(f"cifar10:{task.data / 'cifar10'}#train[@exact_train.npy]")
        return snnc.compile(
            self.model(row.network),
            recipe=RECIPES[row.precision],
            timesteps=row.timesteps,
            calibration=exact.limit(CALIBRATED),
            input_shape=task.shape,
            mean=task.mean,
            std=task.std,
        )

    def _crossbar(self, row: Row, compiled: Compiled) -> dict[str, Any]:
        """Bit-exact test images that run on both targets, and those with equal readouts."""
        program = load_program(Registry(BACKENDS).get("crossbar")(), compiled.graph, row.timesteps)
        x, _ = self.parts["exact"].take(np.arange(ON_CROSSBAR))
        ours, theirs = program.run(x).readout, compiled.program.run(x).readout
        equal = (ours == theirs).reshape(len(x), -1).all(axis=1)
        return {"images": len(x), "equal": int(equal.sum())}

    @cache  # noqa: B019
    def _ann(self, network: str, part: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The ANN's class of every test image, and its label."""
        classes: list[NDArray[np.int64]] = []
        labels: list[NDArray[np.int64]] = []
        with torch.no_grad():
            for x, y in self.parts[part]:
                assert y is not None
                classes.append(self.model(network)(normalized(self.task, x)).argmax(1).numpy())
                labels.append(y)
        return np.concatenate(classes), np.concatenate(labels)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Accuracy lost against the ANN, in points, and agreement with it in percent, per window."""
    windows = sorted({row["timesteps"] for row in rows})
    heads = [
        "network",
        "images",
        "ANN (%)",
        "weights",
        *(f"gap (agreement), T={t}" for t in windows),
        "crossbar",
    ]
    lines: list[list[str]] = []
    known = {(row["network"], row["precision"], row["timesteps"]): row for row in rows}
    for network, precision in product(BUILDERS, RECIPES):
        own = [known.get((network, precision, t)) for t in windows]
        first = next((row for row in own if row), {"parts": {}})
        for part, figures in first["parts"].items():
            ann = f"{100 * figures['ann_accuracy']:.2f}"
            cells = [_gap(row["parts"][part]) if row else "" for row in own]
            images = f"{figures['images']:,} {part}"
            equal = _equal(own) if part == "exact" else ""
            lines.append([TITLES[network], images, ann, precision, *cells, equal])
    return markdown_table(heads, lines, text_columns=range(len(heads)))


def _gap(figures: Mapping[str, Any]) -> str:
    interval, agreement = figures["gap_interval_95"], 100 * figures["agreement"]
    return f"{figures['gap_points']:.2f} ± {interval:.2f} ({agreement:.1f})"


def _equal(rows: Sequence[Mapping[str, Any] | None]) -> str:
    """Images with equal readouts of those that ran on the crossbar too."""
    runs = [row["crossbar"] for row in rows if row and "crossbar" in row]
    if not runs:
        return ""
    return f"{sum(run['equal'] for run in runs)} of {sum(run['images'] for run in runs)} equal"


def settings(options: argparse.Namespace) -> Iterator[Row]:
    """Every row asked for."""
    for network in options.networks:
        for precision in options.precisions:
            for timesteps in options.timesteps:
                yield Row(network, precision, timesteps)


def main() -> None:
    """Train what is missing, measure row by row; print the table of all kept rows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data-dir", type=Path, required=True, help="data")
    parser.add_argument("--work", type=Path, default=Path("cifar-out"), help="networks are kept")
    parser.add_argument("--results", type=Path, default=Path("cifar-out/results.json"))
    parser.add_argument("--networks", nargs="+", choices=[*BUILDERS], default=[*BUILDERS])
    parser.add_argument("--precisions", nargs="*", choices=[*RECIPES], default=[*RECIPES])
    parser.add_argument("--others", type=int, help="so many of the test images not bit-exact")
    parser.add_argument("--timesteps", nargs="+", type=int, default=[8, 16, 32])
    options = parser.parse_args()
    bench = Bench(options)
    for network in options.networks:
        bench.model(network)
    for row in settings(options):
        bench.measure(row)
    if rows := bench.rows():
        print(table([*rows.values()]))


if __name__ == "__main__":
    main()
