"""Conversion without training: accuracy lost and agreement kept, by window and kind of neuron.

    python -m benchmarks.conversion.table --data-dir DIR

DIR holds `mnist/`, `fashion-mnist/`, `cifar10/` (official layouts; CIFAR-10 with `exact_train.npy`
and `exact_test.npy`, the images that are bit-exact) and `models/` with the weights of the first
three networks. The fourth is trained into `--work`, once, in minutes.
Every row is one `snnc compile` with the default recipe and 1,024 training images, drawn anew for
each of `--draws`, and one run of the test images: the gap to the ANN on the exact ones with its
paired 95 % interval, agreement with the ANN on all 10,000 (of the first draw; the others see the
exact images only), and what an inference takes. Of the neurons `latency` and `signed latency` the
numbers of `--timesteps` are latencies, for which `convert{latency=N}` chooses the window. Those of
`any time` (`convert{prefixes=all}`) are judged after every quarter of the window, too. Rows are
kept in `--work`, and the same command goes on where it was stopped.
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
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import snnc
from benchmarks.conversion.judged_networks import NETWORKS, Judge
from benchmarks.markdown_table import markdown_table
from benchmarks.repository import EXAMPLES
from snnc.analysis.energy import energy
from snnc.artifact import open_artifact
from snnc.data import open_data
from snnc.ir import AnyNeuron, Graph

CALIBRATION_IMAGES = 1024
BATCH = 100
START, STOP = "<!-- accuracy-table -->", "<!-- /accuracy-table -->"
NEURONS = {
    "synchronous": "",
    "wait": "wait=T",
    "signed": "signed=true",
    "latency": "latency={}",
    "signed latency": "latency={} signed=true",
    "any time": "prefixes=all",
}
QUARTERS = (1, 2, 3, 4)
USUAL = ("synchronous", "wait", "signed")
PRECISIONS = {"float": "", "8 bits": "bits=8", "4 bits": "bits=4"}


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
        options = [NEURONS[self.neurons].format(self.timesteps), PRECISIONS[self.precision]]
        return f"convert{{{' '.join(filter(None, options))}}}".replace("{}", "")


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
        parts = QUARTERS if setting.neurons == "any time" else QUARTERS[-1:]
        ends = tuple(setting.timesteps * part // QUARTERS[-1] for part in parts)
        classes: dict[int, list[NDArray[np.int64]]] = {end: [] for end in ends}
        spikes: dict[str, float] = {}
        for x, _ in images:
            run = program.run(x, record="counts", prefixes=ends[:-1])
            answers = {**run.stats.get("prefixes", {}), ends[-1]: run.output}
            for end in ends:
                classes[end].append(answers[end].argmax(axis=1))
            for node, counts in run.counts.items():
                spikes[node] = spikes.get(node, 0.0) + float(counts.sum(dtype=np.float64))
        seconds = {"run_seconds": time.perf_counter() - start}
        per_image = {node: total / len(chosen) for node, total in spikes.items()}
        taken = expenses(open_artifact(artifact).graph(), per_image, compiled["window"])
        figures = {t: judge.figures(np.concatenate(c), chosen) for t, c in classes.items()}
        early = {"prefixes": {str(end): figures[end] for end in ends[:-1]}}
        row = {**asdict(setting), **compiled, **figures[ends[-1]], **early, **taken, **seconds}
        artifact.unlink()
        kept.write_text(json.dumps(row, indent=2) + "\n", encoding="utf-8")
        return row

    def compile(self, setting: Setting, artifact: Path) -> dict[str, Any]:
        """One conversion in a process of its own: pipeline, latency, seconds and peak memory."""
        net = NETWORKS[setting.network]
        command = [
            sys.executable, "-m", "snnc", "compile", EXAMPLES / net.model,
            "--weights", self._judges[setting.network].weights,
            "--input-shape", ",".join(map(str, net.input_shape)),
            *(["--mean", ",".join(map(str, net.mean))] if net.mean else []),
            *(["--std", ",".join(map(str, net.std))] if net.std else []),
            "--target", "cpu", "--recipe", setting.recipe,
            *([] if "latency" in setting.neurons else ["-T", setting.timesteps]),
            "--calibration", self._calibration(setting), "-o", artifact, "--json", "--quiet",
        ]  # fmt: skip
        start = time.perf_counter()
        process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE)
        assert process.stdout is not None
        report = json.loads(process.stdout.read() or b"{}")
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            sys.exit(f"{setting.name}: snnc compile failed")
        starts = [s["metrics"]["start"] for s in report["steps"] if s["name"] == "late-readout"]
        return {
            "pipeline": report["pipeline"],
            "window": report["timesteps"],
            "readout_start": starts[0] if starts else 0,
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


def expenses(graph: Graph, spikes: Mapping[str, float], timesteps: int) -> dict[str, float]:
    """What an inference takes.

    Every neuron reads and writes its potential in every step of the window and of its wait: two
    accesses. Energy is the estimate of `snnc/analysis/energy.py`, its first layer computed once.

    Args:
        graph: the spiking network.
        spikes: by node, the mean number of spikes of an image.
        timesteps: the window.
    """
    sizes = {name: kind.size for name, kind in graph.types().items()}
    steps = {n.name: timesteps + n.op.wait for n in graph if isinstance(n.op, AnyNeuron)}
    neurons = sum(sizes[name] for name in steps)
    estimate = energy(graph, {name: spikes[name] / sizes[name] for name in spikes}, timesteps)
    additions = estimate.cost.ac * estimate.acs
    return {
        "neurons_in_all": neurons,
        "spikes_per_neuron": sum(spikes[name] for name in steps) / neurons,
        "energy_of_ann": estimate.once_pj / estimate.ann_pj,
        "first_layer_share": 1 - additions / estimate.once_pj,
        "membrane_accesses": 2 * sum(sizes[name] * count for name, count in steps.items()),
    }


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows in Markdown; draws of one setting in one line, gaps as they were drawn."""
    heads = ["network", "neurons", "precision", "T", "latency", "gap (points)", "agreement (%)"]
    heads += ["spikes per neuron", "energy (%)", "of it layer 1 (%)", "membrane accesses (10⁶)"]
    lines: list[list[object]] = []
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        key = (row["network"], row["neurons"], row["precision"], row["timesteps"])
        groups.setdefault(key, []).append(row)
    for (network, neurons, precision, timesteps), drawn in groups.items():
        title, latency = NETWORKS[network].title, drawn[0]["latency_timesteps"]
        window = drawn[0].get("window", timesteps)
        for end in drawn[0].get("prefixes", {}):
            cells = _gaps_and_agreement([{**row, **row["prefixes"][end]} for row in drawn])
            lines.append([title, f"{neurons}, {window}", precision, end, end, *cells, *[""] * 4])
        cells = _gaps_and_agreement(drawn)
        lines.append([title, neurons, precision, window, latency, *cells, *_taken(drawn[0])])
    return markdown_table(heads, lines, text_columns=range(3))


def _gaps_and_agreement(drawn: Sequence[Mapping[str, Any]]) -> list[str]:
    """The gaps as they were drawn, and the agreement of the draws with the most images."""
    gaps = " · ".join(f"{r['gap_points']:.2f} ± {r['gap_interval_95']:.2f}" for r in drawn)
    most = max(row["images"] for row in drawn)
    agreements = [100 * row["agreement"] for row in drawn if row["images"] == most]
    return [gaps, " · ".join(f"{percent:.2f}" for percent in agreements)]


def _taken(row: Mapping[str, Any]) -> list[str]:
    """The cells of `expenses`; empty for a row that was kept before they were measured."""
    if "spikes_per_neuron" not in row:
        return [""] * 4
    accesses = row["membrane_accesses"] / 1e6
    return [
        f"{row['spikes_per_neuron']:.2f}",
        f"{100 * row['energy_of_ann']:.1f}",
        f"{100 * row['first_layer_share']:.1f}",
        f"{accesses:.2f}",
    ]


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
    parts.append(
        "- Energy of the arithmetic as a part of the ANN's, its first layer computed once: 32-bit "
        "floating point in 45 nm, 4.6 pJ a product, 0.9 pJ a sum (`snnc/analysis/energy.py`)."
    )
    return "\n".join(parts)


def write_readme(path: Path, text: str) -> None:
    """Put `text` between the two markers."""
    page = path.read_text(encoding="utf-8")
    before, rest = page.split(START)
    after = rest.split(STOP)[1]
    path.write_text(f"{before}{START}\n{text}\n{STOP}{after}", encoding="utf-8")


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
    parser.add_argument("--neurons", nargs="+", choices=[*NEURONS], default=[*USUAL])
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
    early = "".join(
        f"gap after {end} steps {figures['gap_points']:.2f}, "
        for end, figures in row.get("prefixes", {}).items()
    )
    return (
        f"{row['network']} {row['neurons']} {row['precision']} T={row['timesteps']} "
        f"draw {row['draw']}: {early}gap {row['gap_points']:.2f} ± {row['gap_interval_95']:.2f}, "
        f"agreement {100 * row['agreement']:.2f} % of {row['images']}; compiled in "
        f"{row['compile_seconds']:.0f} s, {row['compile_peak_gb']:.2f} GB"
    )


if __name__ == "__main__":
    main()
