"""Adversarial accuracy of an ANN and of spiking networks: full sets of attacks, and two claims.

    python -m benchmarks.robustness.table --data-dir DIR --table docs/robustness.md \
        --plot benchmarks/results/robustness.svg

DIR has `mnist/` and `cifar10/`. A row is one network under a set of attacks. Rows are kept in
`--results` as soon as they are known, trained networks and what attacks made in `--work`, and the
same command goes on where it was stopped. `--table FILE` writes the tables of all kept rows between
two markers of FILE, `--plot FILE` draws them, and `--only-tables` measures nothing.

- full: 200 images, eps 0.2 (MNIST) and 8/255 (CIFAR-10), all attacks, on the ANN, the converted
  network, and networks trained with direct and with Poisson input.
- timesteps, leak (trained with it), leak after training, eps: 100 images; FGSM, PGD of 7 and 20
  steps, the adaptive attack with 50, transfer. Three seeds on MNIST, one on CIFAR-10.
- draws: PGD and the adaptive attack again, with 20 draws for a gradient.

10,000 training images learn, 2,000 others choose the epoch; test images are seen once for a row.
Poisson input has 10 draws for a gradient in full sets, 5 in sweeps.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks.repository import RESULTS
from benchmarks.robustness.attacks import measured
from benchmarks.robustness.networks import Networks
from benchmarks.robustness.plan import rows
from benchmarks.robustness.plots import draw
from benchmarks.robustness.report import write_tables


class Results:
    """The rows that are known, in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def rows(self) -> dict[str, Any]:
        """All that is kept, by name."""
        return json.loads(self._path.read_text(encoding="utf-8")) if self._path.exists() else {}

    def keep(self, name: str, figures: Mapping[str, Any]) -> None:
        """Add a row."""
        text = json.dumps({**self.rows(), name: figures}, indent=1, sort_keys=True)
        part = self._path.with_suffix(".part")
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text + "\n", encoding="utf-8")
        part.replace(self._path)


def main() -> None:
    """Measure what is missing; then the tables."""
    options = _options()
    results = Results(options.results)
    if not options.only_tables:
        measure(options, results)
    kept = [*results.rows().values()]
    if options.table is not None:
        write_tables(options.table, kept)
    if options.plot is not None:
        draw(kept, options.plot)


def measure(options: argparse.Namespace, results: Results) -> None:
    """All rows that are not kept yet."""
    networks = Networks(options.data_dir, options.work)
    torch.set_num_threads(1)
    planned = list(rows())
    for number, row in enumerate(planned, 1):
        if row.name in results.rows():
            continue
        figures = measured(row, networks, options.work / "attacks")
        results.keep(row.name, figures)
        told = f"clean {figures['clean']:.1%}, minimum {figures['minimum']:.1%}"
        told += f", {figures['processor_seconds']:.0f} s of the processor"
        print(f"{number}/{len(planned)} {row.name}: {told}", file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data-dir", type=Path, required=True, help="data")
    parser.add_argument("--work", type=Path, default=Path("robustness-out"), help="networks")
    parser.add_argument("--results", type=Path, default=RESULTS / "robustness.json")
    parser.add_argument("--table", type=Path, help="write all kept rows into this file")
    parser.add_argument("--plot", type=Path, help="draw all kept rows into this SVG file")
    parser.add_argument("--only-tables", action="store_true", help="measure nothing")
    return parser.parse_args()


if __name__ == "__main__":
    main()
