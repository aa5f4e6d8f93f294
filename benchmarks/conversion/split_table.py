"""Groups of neurons in few steps (`convert{split=1.5}`): what they gain, and what they cost.

    python -m benchmarks.conversion.split_table --data-dir DIR

ResNet-20 on CIFAR-10 with groups in 4 steps, and without them in 4 and in 8. Gaps, agreement,
arithmetic energy and membrane accesses are defined as in `table.py`, of real values. What a
crossbar takes is that of the first draw with 8 bits: rows of all layers, tiles, and energy and
latency of an inference by `technology=isaac-32nm`, with the rates of calibration samples. Rows are
kept in `--work`, and the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import snnc
from benchmarks.conversion.conversions import Conversions
from benchmarks.conversion.expenses import expenses
from benchmarks.conversion.judged_networks import RESNET20, Judge
from benchmarks.markdown_table import markdown_table
from benchmarks.repository import EXAMPLES
from snnc.ir import Graph

BATCH = 100
RECIPES = {"synchronous": "convert", "split": "convert{split=1.5}"}
KINDS = (("synchronous", 4), ("split", 4), ("synchronous", 8))
HEADS = (
    "neurons",
    "T = latency",
    "gap (points)",
    "agreement (%)",
    "neurons added per neuron",
    "spikes per original neuron",
    "energy (%)",
    "membrane accesses (10⁶)",
    "crossbar rows",
    "tiles",
    "crossbar energy (µJ)",
    "crossbar latency (µs)",
)


@dataclass(frozen=True)
class Row:
    """One conversion of ResNet-20: its kind of populations, window, and draw of images."""

    kind: str
    timesteps: int
    draw: int

    @property
    def name(self) -> str:
        """Of its file."""
        return f"{self.kind}-{self.timesteps}-{self.draw}.json"


@dataclass(frozen=True)
class SplitBench:
    """Data, and the folder of kept rows."""

    judge: Judge

    def row(self, row: Row) -> dict[str, Any]:
        """Figures of a row, measured or kept; the first draw is judged on all test images."""
        kept = self.judge.work / row.name
        if kept.exists():
            return json.loads(kept.read_text(encoding="utf-8"))
        judge, everything = self.judge, row.draw == 0
        compiled = self._converted(row)
        chosen = np.arange(len(judge.images)) if everything else np.flatnonzero(judge.exact)
        images = replace(judge.images, indices=judge.images.indices[chosen], batch_size=BATCH)
        classes: list[NDArray[np.int64]] = []
        spikes: dict[str, float] = {}
        for x, _ in images:
            run = compiled.program.run(x, record="counts")
            classes.append(run.output.argmax(axis=1))
            for node, counts in run.counts.items():
                spikes[node] = spikes.get(node, 0.0) + float(counts.sum(dtype=np.float64))
        per_image = {node: total / len(chosen) for node, total in spikes.items()}
        figures = {
            **asdict(row),
            "latency_timesteps": compiled.report["latency_timesteps"],
            **judge.figures(np.concatenate(classes), chosen),
            **expenses(compiled.graph, per_image, row.timesteps),
            **(self._crossbar(row, compiled.graph) if everything else {}),
        }
        kept.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
        return figures

    def _converted(self, row: Row) -> Any:
        net = self.judge.net
        return snnc.compile(
            str(EXAMPLES / net.model),
            weights=self.judge.weights,
            input_shape=net.input_shape,
            mean=net.mean,
            std=net.std,
            recipe=RECIPES[row.kind],
            timesteps=row.timesteps,
            calibration=self._calibration(row.draw),
            target="cpu",
        )

    def _calibration(self, draw: int) -> str:
        """The draw of bit-exact training images that `table.py` takes, as DATA."""
        judge = self.judge
        conversions = Conversions(judge.net, judge.weights, judge.data, judge.work, threads=1)
        return conversions.calibration(draw)

    def _crossbar(self, row: Row, graph: Graph) -> dict[str, float]:
        """What the network takes on a crossbar with 8 bits."""
        report = snnc.compile(
            graph,
            passes="quantize{bits=8}",
            timesteps=row.timesteps,
            calibration=self._calibration(row.draw),
            target="crossbar{technology=isaac-32nm}",
        ).report
        hardware, cost = report["hardware"], report["cost"]
        layers = hardware["layers"].values()
        return {
            "crossbar_rows": sum(layer["matrix_rows"] * layer["groups"] for layer in layers),
            "crossbar_tiles": hardware["totals"]["tiles"],
            "crossbar_energy_uj": cost["energy_pj"] / 1e6,
            "crossbar_latency_us": cost["latency_ns"] / 1e3,
        }


def line(drawn: Sequence[Mapping[str, Any]], neurons: int) -> list[str]:
    """One row; `neurons` is the number of neurons of the network without groups."""
    first = drawn[0]
    gaps = " · ".join(f"{row['gap_points']:.2f} ± {row['gap_interval_95']:.2f}" for row in drawn)
    added = first["neurons_in_all"] / neurons - 1
    return [
        first["kind"],
        f"{first['latency_timesteps']}",
        gaps,
        f"{100 * first['agreement']:.2f}",
        f"{added:.2f}",
        f"{first['spikes_per_neuron'] * (1 + added):.2f}",
        f"{100 * first['energy_of_ann']:.1f}",
        f"{first['membrane_accesses'] / 1e6:.2f}",
        f"{first['crossbar_rows']:,}",
        f"{first['crossbar_tiles']}",
        f"{first['crossbar_energy_uj']:.1f}",
        f"{first['crossbar_latency_us']:.0f}",
    ]


def main() -> None:
    """Measure row by row; print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data-dir", type=Path, required=True, help="data and weights")
    parser.add_argument("--work", type=Path, default=Path("split-out"), help="rows are kept")
    parser.add_argument("--draws", nargs="+", type=int, default=[0, 1, 2], help="first of all 0")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    bench = SplitBench(Judge(RESNET20, options.data_dir.resolve(), options.work.resolve()))
    lines: list[list[str]] = []
    neurons = 0
    for kind, window in KINDS:
        drawn = [bench.row(Row(kind, window, draw)) for draw in options.draws]
        neurons = neurons or drawn[0]["neurons_in_all"]
        lines.append(line(drawn, neurons))
    print(markdown_table(HEADS, lines, text_columns=(0,)))


if __name__ == "__main__":
    main()
