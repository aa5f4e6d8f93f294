"""Conversion without training: accuracy lost and agreement kept, by window and kind of neuron.

    python benchmarks/conversion_table.py --data-dir DIR

DIR holds `mnist/`, `fashion-mnist/`, `cifar10/` (official layouts; CIFAR-10 with `exact_train.npy`
and `exact_test.npy`, the images that are bit-exact) and `models/` with the weights of the first two
networks. The third is trained into `--work`, once, in minutes.
Every row is one `snnc compile` with the default recipe and 1,024 training images, drawn anew for
each of `--draws`, and one run of the test images: the gap to the ANN on the exact ones with its
paired 95 % interval, agreement with the ANN on all 10,000 (of the first draw; the others see the
exact images only). Rows are kept in `--work`, and the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import snnc
from snnc.data import Dataset, open_data
from snnc.driver import ModelSource
from snnc.driver.models import eager

ROOT = Path(__file__).resolve().parent.parent
CALIBRATION_IMAGES = 1024
BATCH = 250
START, STOP = "<!-- accuracy-table -->", "<!-- /accuracy-table -->"


@dataclass(frozen=True)
class Network:
    """A trained network and the data it is judged on.

    Attributes:
        title: as in the table.
        model: its code, below `examples/`.
        weights: its weights, below `DIR/models/`.
        input_shape: of one image.
        kind: the DATA kind; its folder is `DIR/kind`.
        exact: whether only a part of the images is bit-exact.
        mean, std: what the network's author normalised by.
        training: a script below `examples/` that trains weights which are not there.
    """

    title: str
    model: str
    weights: str
    input_shape: tuple[int, ...]
    kind: str
    exact: bool
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    training: str = ""

    def find_weights(self, data: Path, work: Path) -> Path:
        """Below `data`, else below `work`, where they are trained if they are missing."""
        given, own = data / "models" / self.weights, work / Path(self.weights).name
        if given.exists() or not self.training:
            return given
        if not own.exists():
            script = ROOT / "examples" / self.training
            command = [sys.executable, script, data / self.kind, "-o", own]
            if subprocess.run(list(map(str, command)), stdout=sys.stderr, check=False).returncode:
                sys.exit(f"{script} failed")
        return own


NETWORKS: Mapping[str, Network] = {
    "resnet20": Network(
        "ResNet-20, CIFAR-10",
        "resnet20/net.py:resnet20",
        "cifar10-resnet20/weights.safetensors",
        (3, 32, 32),
        "cifar10",
        True,
        (0.485, 0.456, 0.406),
        (0.229, 0.224, 0.225),
    ),
    "mnist": Network(
        "4 conv/linear layers, MNIST",
        "mnist/net.py:mnist_cnn",
        "mnist-cnn-avgpool/weights.safetensors",
        (1, 28, 28),
        "mnist",
        False,
    ),
    "fashion": Network(
        "residual, 8 layers, Fashion-MNIST",
        "fashion_mnist/net.py:fashion_resnet",
        "fashion-resnet.safetensors",
        (1, 28, 28),
        "fashion-mnist",
        False,
        training="fashion_mnist/train.py",
    ),
}
NEURONS = {"synchronous": "", "wait": "wait=T", "signed": "signed=true"}
PRECISIONS = {"float": "", "8 bits": "bits=8"}


@dataclass(frozen=True)
class Setting:
    """One row: how a network is converted."""

    network: str
    neurons: str
    precision: str
    timesteps: int
    draw: int

    @property
    def name(self) -> str:
        """Of its files."""
        return "-".join(str(value).replace(" ", "") for value in asdict(self).values())

    @property
    def recipe(self) -> str:
        """The default recipe; nothing but the kind of neuron and the precision is told."""
        options = [NEURONS[self.neurons], PRECISIONS[self.precision]]
        return f"convert{{{' '.join(filter(None, options))}}}".replace("{}", "")


@dataclass(frozen=True)
class Judge:
    """The test images of a network, and what its ANN says of them."""

    net: Network
    data: Path
    work: Path

    @cached_property
    def weights(self) -> Path:
        """The file of the network's weights."""
        return self.net.find_weights(self.data, self.work)

    @cached_property
    def images(self) -> Dataset:
        """All test images."""
        return open_data(f"{self.net.kind}:{self.data / self.net.kind}#test")

    @cached_property
    def exact(self) -> NDArray[np.bool_]:
        """Which of them are bit-exact."""
        if not self.net.exact:
            return np.ones(len(self.images), bool)
        chosen = open_data(f"{self.images.spec}[@exact_test.npy]")
        return np.isin(self.images.indices, chosen.indices)

    @cached_property
    def ann(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The ANN's class of each image, and the label."""
        run = eager(
            ModelSource(
                model=str(ROOT / "examples" / self.net.model),
                weights=self.weights,
                mean=self.net.mean,
                std=self.net.std,
            )
        )
        batches = [(run(x).argmax(axis=1), y) for x, y in self.images]
        classes, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
        return classes, labels

    def figures(self, classes: NDArray[np.int64], chosen: NDArray[np.int64]) -> dict[str, Any]:
        """Of a program that answered `classes` to the `chosen` images."""
        theirs, labels = (array[chosen] for array in self.ann)
        exact = self.exact[chosen]
        lost = 100.0 * ((theirs == labels).astype(int) - (classes == labels))[exact]
        return {
            "accuracy": float((classes == labels)[exact].mean()),
            "ann_accuracy": float((theirs == labels)[exact].mean()),
            "gap_points": float(lost.mean()),
            "gap_interval_95": float(1.96 * lost.std(ddof=1) / np.sqrt(len(lost))),
            "judged": int(exact.sum()),
            "agreement": float((classes == theirs).mean()),
            "images": len(chosen),
        }


class Bench:
    """Networks, images and the folder of kept results."""

    def __init__(self, data: Path, work: Path) -> None:
        self.data, self.work = data.resolve(), work.resolve()
        self.work.mkdir(parents=True, exist_ok=True)
        self._judges = {name: Judge(net, self.data, self.work) for name, net in NETWORKS.items()}

    def row(self, setting: Setting, everything: bool) -> dict[str, Any]:
        """Figures of a setting, measured or kept."""
        kept = self.work / f"{setting.name}.json"
        if kept.exists():
            return json.loads(kept.read_text(encoding="utf-8"))
        judge, artifact = self._judges[setting.network], self.work / f"{setting.name}.snnc"
        compiled = self.compile(setting, artifact)
        chosen = np.arange(len(judge.images)) if everything else np.flatnonzero(judge.exact)
        images = replace(judge.images, indices=judge.images.indices[chosen], batch_size=BATCH)
        program, start = snnc.load(artifact), time.perf_counter()
        classes = np.concatenate([program.run(x).output.argmax(axis=1) for x, _ in images])
        seconds = {"run_seconds": time.perf_counter() - start}
        row = {**asdict(setting), **compiled, **judge.figures(classes, chosen), **seconds}
        artifact.unlink()
        kept.write_text(json.dumps(row, indent=2) + "\n", encoding="utf-8")
        return row

    def compile(self, setting: Setting, artifact: Path) -> dict[str, Any]:
        """One conversion in a process of its own: pipeline, latency, seconds and peak memory."""
        net = NETWORKS[setting.network]
        command = [
            sys.executable, "-m", "snnc", "compile", ROOT / "examples" / net.model,
            "--weights", self._judges[setting.network].weights,
            "--input-shape", ",".join(map(str, net.input_shape)),
            *(["--mean", ",".join(map(str, net.mean))] if net.mean else []),
            *(["--std", ",".join(map(str, net.std))] if net.std else []),
            "--target", "cpu", "--recipe", setting.recipe, "-T", setting.timesteps,
            "--calibration", self._calibration(setting), "-o", artifact, "--json", "--quiet",
        ]  # fmt: skip
        start = time.perf_counter()
        process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE)
        assert process.stdout is not None
        report = json.loads(process.stdout.read() or b"{}")
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            sys.exit(f"{setting.name}: snnc compile failed")
        return {
            "pipeline": report["pipeline"],
            "latency_timesteps": report["latency_timesteps"],
            "compile_seconds": time.perf_counter() - start,
            "compile_peak_gb": usage.ru_maxrss / 1e6,
        }

    def _calibration(self, setting: Setting) -> str:
        """A draw of bit-exact training images, as DATA."""
        net = NETWORKS[setting.network]
        train = f"{net.kind}:{self.data / net.kind}#train"
        pool = open_data(f"{train}[@exact_train.npy]" if net.exact else train).indices
        order = np.random.default_rng(setting.draw).permutation(len(pool))
        chosen = self.work / f"{net.kind}-calibration-{setting.draw}.npy"
        np.save(chosen, np.sort(pool[order[:CALIBRATION_IMAGES]]))
        return f"{train}[@{chosen}]"


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows in Markdown; draws of one setting in one line, gaps as they were drawn."""
    heads = ["network", "neurons", "precision", "T", "latency", "gap (points)", "agreement (%)"]
    lines = [_line(heads), _line(["---"] * 3 + ["---:"] * 4)]
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        key = (row["network"], row["neurons"], row["precision"], row["timesteps"])
        groups.setdefault(key, []).append(row)
    for (network, neurons, precision, timesteps), drawn in groups.items():
        gaps = " · ".join(f"{r['gap_points']:.2f} ± {r['gap_interval_95']:.2f}" for r in drawn)
        most = max(row["images"] for row in drawn)
        agreements = [100 * row["agreement"] for row in drawn if row["images"] == most]
        agreement = " · ".join(f"{percent:.2f}" for percent in agreements)
        title, latency = NETWORKS[network].title, drawn[0]["latency_timesteps"]
        cells = [title, neurons, precision, timesteps, latency, gaps, agreement]
        lines.append(_line([str(cell) for cell in cells]))
    return "\n".join(lines)


def notes(rows: Sequence[Mapping[str, Any]]) -> str:
    """What the table's figures are figures of."""
    parts: list[str] = []
    for name in dict.fromkeys(row["network"] for row in rows):
        own = [row for row in rows if row["network"] == name]
        parts.append(
            f"- {NETWORKS[name].title}: the ANN has {100 * own[0]['ann_accuracy']:.2f} % on the "
            f"{own[0]['judged']} test images the gap is measured on (±: its paired 95 % interval; "
            "several gaps are several draws of the calibration images); agreement with the ANN is "
            f"on {max(row['images'] for row in own)}."
        )
    return "\n".join(parts)


def write_readme(path: Path, text: str) -> None:
    """Put `text` between the two markers."""
    page = path.read_text(encoding="utf-8")
    before, rest = page.split(START)
    after = rest.split(STOP)[1]
    path.write_text(f"{before}{START}\n{text}\n{STOP}{after}", encoding="utf-8")


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def settings(options: argparse.Namespace) -> Iterator[Setting]:
    """Every row asked for, the first draw of all settings before the next."""
    for draw in options.draws:
        for network in options.networks:
            for precision in options.precisions:
                for neurons in options.neurons:
                    for timesteps in options.timesteps:
                        yield Setting(network, neurons, precision, timesteps, draw)


def main() -> None:
    """Measure row by row; the table of all kept rows, and the README if asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data-dir", type=Path, required=True, help="data and weights")
    parser.add_argument("--work", type=Path, default=Path("conversion-out"), help="rows are kept")
    parser.add_argument("--networks", nargs="+", choices=[*NETWORKS], default=[*NETWORKS])
    parser.add_argument("--neurons", nargs="+", choices=[*NEURONS], default=[*NEURONS])
    parser.add_argument("--precisions", nargs="+", choices=[*PRECISIONS], default=["float"])
    parser.add_argument("--timesteps", nargs="+", type=int, default=[4, 8, 16, 32])
    parser.add_argument("--draws", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--readme", type=Path, help="write all kept rows into this file")
    options = parser.parse_args()
    bench = Bench(options.data_dir, options.work)
    for setting in settings(options):
        row = bench.row(setting, everything=setting.draw == 0)
        print(_summary(row), file=sys.stderr, flush=True)
    rows = [json.loads(path.read_text()) for path in sorted(bench.work.glob("*-*-*.json"))]
    rows.sort(key=lambda r: (r["network"], r["precision"], r["neurons"], r["timesteps"], r["draw"]))
    text = f"{table(rows)}\n\n{notes(rows)}"
    print(text)
    if options.readme is not None:
        write_readme(options.readme, text)


def _summary(row: Mapping[str, Any]) -> str:
    return (
        f"{row['network']} {row['neurons']} {row['precision']} T={row['timesteps']} "
        f"draw {row['draw']}: gap {row['gap_points']:.2f} ± {row['gap_interval_95']:.2f}, "
        f"agreement {100 * row['agreement']:.2f} % of {row['images']}; compiled in "
        f"{row['compile_seconds']:.0f} s, {row['compile_peak_gb']:.2f} GB"
    )


if __name__ == "__main__":
    main()
