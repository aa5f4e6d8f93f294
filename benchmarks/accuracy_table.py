"""Accuracy of the converted networks by the command line: JSON, and the table of the README.

    python benchmarks/accuracy_table.py --data-dir DIR

DIR holds `mnist/`, `cifar10/` (official layouts; CIFAR-10 with `exact_train.npy` and
`exact_test.npy`, the images that are bit-exact) and `models/` with the weights of both networks.
The thresholds of `convert` do not depend on T, so that one artifact is measured at all T, as
prefixes of one run. Agreement is measured on all 10,000 test images, accuracy on the exact ones:
about an hour on a small machine, unless `--limit` says less.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from snnc.data import open_data

ROOT = Path(__file__).resolve().parent.parent
TIMESTEPS = (8, 16, 32, 64, 128)
CALIBRATION_IMAGES = 1024
START, STOP = "<!-- accuracy-table -->", "<!-- /accuracy-table -->"


@dataclass(frozen=True)
class Network:
    """A trained network and the data it is judged on.

    Attributes:
        title: as in the table.
        model: its code, below `examples/`.
        weights: its weights, below `DIR/models/`.
        input_shape: as `--input-shape`.
        extra: further options of `compile`.
        kind: the DATA kind; its folder is `DIR/kind`.
        exact: whether only a part of the images is bit-exact.
    """

    title: str
    model: str
    weights: str
    input_shape: str
    extra: tuple[str, ...]
    kind: str
    exact: bool

    def test(self, folder: Path) -> str:
        """The images accuracy is measured on, as DATA."""
        return self.all_images(folder) + ("[@exact_test.npy]" if self.exact else "")

    def all_images(self, folder: Path) -> str:
        """The 10,000 test images, as DATA."""
        return f"{self.kind}:{folder / self.kind}#test"

    def calibration(self, folder: Path, work: Path) -> str:
        """The first bit-exact training images, as DATA."""
        train = f"{self.kind}:{folder / self.kind}#train"
        if not self.exact:
            return f"{train}[:{CALIBRATION_IMAGES}]"
        chosen = work / f"{self.kind}-calibration.npy"
        np.save(chosen, open_data(f"{train}[@exact_train.npy]").indices[:CALIBRATION_IMAGES])
        return f"{train}[@{chosen}]"


NETWORKS: Mapping[str, Network] = {
    "resnet20": Network(
        "ResNet-20, CIFAR-10",
        "resnet20/net.py:resnet20",
        "cifar10-resnet20/weights.safetensors",
        "3,32,32",
        ("--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225"),
        "cifar10",
        True,
    ),
    "mnist": Network(
        "4 conv/linear layers, MNIST",
        "mnist/net.py:mnist_cnn",
        "mnist-cnn-avgpool/weights.safetensors",
        "1,28,28",
        (),
        "mnist",
        False,
    ),
}
RECIPES = {"float": "convert", "8 bits": "convert{bits=8}"}


def snnc(*arguments: object) -> dict[str, Any]:
    """Run `snnc … --json`; its document. Ends the script where it fails."""
    command = [sys.executable, "-m", "snnc", *map(str, arguments), "--json"]
    print("$", " ".join(command[2:]), file=sys.stderr, flush=True)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    return json.loads(done.stdout)


def measure(name: str, precision: str, options: argparse.Namespace) -> dict[str, Any]:
    """Compile one network in one precision and measure it."""
    net, folder, work = NETWORKS[name], options.data_dir.resolve(), options.work.resolve()
    model = [ROOT / "examples" / net.model]
    source = ["--weights", folder / "models" / net.weights, "--input-shape", net.input_shape]
    source += net.extra
    artifact = work / f"{name}-{precision.replace(' ', '')}.snnc"
    compiled = snnc(
        "compile", *model, *source, "-o", artifact, "-T", max(TIMESTEPS), "--target", "cpu",
        "--recipe", RECIPES[precision], "--calibration", net.calibration(folder, work),
    )  # fmt: skip
    sweep = ("--sweep", ",".join(map(str, TIMESTEPS)), "--compare", *model, *source)
    limit = () if options.limit is None else ("--limit", options.limit)
    exact = snnc("eval", artifact, "--data", net.test(folder), *sweep, *limit)
    everything = exact
    if net.exact:
        everything = snnc("eval", artifact, "--data", net.all_images(folder), *sweep, *limit)
    return {
        "network": net.title,
        "precision": precision,
        "compile": {key: compiled[key] for key in ("pipeline", "target", "calibration", "neurons")},
        "accuracy": _without_paths(exact),
        "agreement": _without_paths(everything),
    }


def _without_paths(figures: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in figures.items() if key not in ("artifact", "data")}


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """The results in Markdown."""
    heads = ["network", "precision", "ANN", *(f"T={t}" for t in TIMESTEPS)]
    lines = [_row(heads), _row(["---"] * 2 + ["---:"] * (len(heads) - 2))]
    for result in results:
        accuracy, agreement = result["accuracy"], result["agreement"]
        lines += [
            _row(
                [result["network"], result["precision"], _percent(accuracy["ann_accuracy"])]
                + [_percent(window["accuracy"]) for window in accuracy["sweep"]]
            ),
            _row(
                ["", "agreement", ""]
                + [_percent(window["agreement"]) for window in agreement["sweep"]]
            ),
        ]
    return "\n".join(lines)


def notes(results: Sequence[Mapping[str, Any]]) -> str:
    """What the table's figures are figures of."""
    parts = [
        f"{r['network']}, {r['precision']}: accuracy on {r['accuracy']['samples']} test images "
        f"(standard error {100 * r['accuracy']['accuracy_standard_error']:.1f} points), agreement "
        f"with the ANN on {r['agreement']['samples']} "
        f"(standard error {100 * r['agreement']['agreement_standard_error']:.2f}), "
        f"{r['accuracy']['spikes_per_neuron']:.1f} spikes per neuron at T={max(TIMESTEPS)}."
        for r in results
    ]
    return "\n".join(f"- {part}" for part in parts)


def write_readme(path: Path, text: str) -> None:
    """Put `text` between the two markers."""
    page = path.read_text(encoding="utf-8")
    before, rest = page.split(START)
    after = rest.split(STOP)[1]
    path.write_text(f"{before}{START}\n{text}\n{STOP}{after}", encoding="utf-8")


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f}"


def main() -> None:
    """Measure everything, write the JSON, then the README."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data-dir", type=Path, required=True, help="data and weights")
    parser.add_argument("--work", type=Path, default=Path("accuracy-out"), help="artifacts, JSON")
    parser.add_argument("--networks", nargs="+", choices=[*NETWORKS], default=[*NETWORKS])
    parser.add_argument("--precisions", nargs="+", choices=[*RECIPES], default=[*RECIPES])
    parser.add_argument("--limit", type=int, help="only so many images (not for the README)")
    parser.add_argument("--readme", type=Path, help="write the table into this file")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    results = [measure(n, p, options) for n in options.networks for p in options.precisions]
    (options.work / "accuracy.json").write_text(json.dumps(results, indent=2) + "\n")
    text = f"{table(results)}\n\n{notes(results)}"
    print(text)
    if options.readme is not None:
        write_readme(options.readme, text)


if __name__ == "__main__":
    main()
