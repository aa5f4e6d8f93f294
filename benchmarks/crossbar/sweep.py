"""Accuracy and energy of ResNet-20 on crossbars that are not ideal, one factor at a time.

    python -m benchmarks.crossbar.sweep --data-dir DIR [--chips 10] [--only sigma,stuck]
    python -m benchmarks.crossbar.sweep --data-dir DIR --day [--fine-tuned]

DIR is as for `conversion/table.py`. The network has its trained weights, 8-bit integers and T=8
(recipe `convert{bits=8}`, calibrated on 256 bit-exact training images); it is judged on the first
250 bit-exact test images. Every factor has four values, listed in `FACTORS` with the rest of the
chip; noise, faults and drift are judged on ten chips, what is deterministic on one. `--day` judges
phase-change memory after one day, on all 1,017 images; with `--fine-tuned` the network learns to
bear its errors before it is rounded to integers (`sweep_networks.py`).

A row of the results is one chip; rows that are there are not run again, so the script can be
stopped and resumed. Chips come in turns: after the first round every factor has a row for each
value. Networks and checkpoints are kept in `--work`. The tables are printed, and a picture is
written beside the results (`sweep_tables.py`).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.crossbar.sweep_networks import (
    FINE_TUNED,
    ORIGINAL,
    TIMESTEPS,
    calibration,
    integer_network,
)
from benchmarks.crossbar.sweep_tables import draw, tables
from benchmarks.repository import RESULTS
from snnc.cost import inference
from snnc.data import open_data
from snnc.errors import ArtifactError
from snnc.ir import Graph
from snnc.pipeline import parse_one
from snnc.plugins import BACKENDS, Registry
from snnc.transform import PassContext
from snnc_backends.crossbar import CrossbarBackend

TECHNOLOGY = "isaac-32nm"
SHOWN = 250
CHIPS = 10


@dataclass(frozen=True)
class Factor:
    """What is varied: the text of the target with a place for the value, and the values."""

    target: str
    values: tuple[float | str, ...]
    random: bool = True


FACTORS: Mapping[str, Factor] = {
    "cell-bits": Factor("crossbar{{cell-bits={} device=gaussian{{sigma=0.02}}}}", (1, 2, 4, 7)),
    "adc-bits": Factor("crossbar{{adc-bits={}}}", (4, 5, 6, 8), random=False),
    "sigma": Factor("crossbar{{device=gaussian{{sigma={}}}}}", (0.005, 0.01, 0.02, 0.05)),
    "stuck": Factor("crossbar{{stuck-on={0} stuck-off={0}}}", (0.00001, 0.0001, 0.001, 0.01)),
    "wire-ohm": Factor("crossbar{{wire-ohm={}}}", (0.1, 0.35, 1.0, 2.82), random=False),
    "seconds": Factor(
        "crossbar{{cell-bits=1 compensation=layer device=pcm{{seconds={}}}}}",
        (20, 3600, 86400, 2592000),
    ),
}
DAY = Factor("crossbar{{cell-bits=1 compensation={} device=pcm{{seconds=86400}}}}", ("column",))


@dataclass(frozen=True)
class Files:
    """An artifact that is in no file."""

    stored: Graph
    members: Mapping[str, bytes]
    manifest: Mapping[str, Any]

    def read(self, name: str) -> bytes:
        if name not in self.members:
            raise ArtifactError(f"{name} is not there")
        return self.members[name]

    def graph(self) -> Graph:
        return self.stored.clone()


def runs(only: Sequence[str], chips: int, day: bool) -> Iterator[tuple[str, Any, str, int]]:
    """(factor, value, text of the target, number of the chip), chip by chip."""
    yield "ideal", None, "crossbar", 0
    for chip in range(chips):
        if day:
            for value in DAY.values:
                yield "day", value, DAY.target.format(value), chip
            continue
        for name in only:
            factor = FACTORS[name]
            if factor.random or not chip:
                for value in factor.values:
                    yield name, value, factor.target.format(value), chip


class Chips:
    """Chips that a network is put on. What is compiled is the same for all chips of a target."""

    def __init__(self, graph: Graph, ctx: PassContext) -> None:
        self._graph, self._ctx = graph, ctx
        self._compiled: dict[str, Files] = {}

    def backend(self, target: str, chip: int) -> CrossbarBackend:
        """The target, with the seed of a chip."""
        backend = parse_one(target, Registry(BACKENDS))
        assert isinstance(backend, CrossbarBackend)
        return replace(backend, chip_seed=chip, technology=TECHNOLOGY, threads=1)

    def files(self, target: str) -> Files:
        """The network, compiled for a target."""
        if target not in self._compiled:
            members = self.backend(target, 0).lower(self._graph, self._ctx)
            self._compiled[target] = Files(self._graph, members, {})
        return self._compiled[target]


def measured(
    chips: Chips, target: str, chip: int, x: NDArray[np.float32], y: Any
) -> dict[str, Any]:
    """The figures of one chip."""
    start = time.process_time()
    backend, files = chips.backend(target, chip), chips.files(target)
    result = backend.load(files).run(x, record="counts")
    cost = backend.cost(files, inference(result))
    assert cost is not None
    right = result.output.argmax(1) == y
    clipped = sum(counted["clipped"] for counted in result.stats["activity"].values())
    return {
        "images": len(x),
        "accuracy": round(float(right.mean()), 5),
        "wrong": np.flatnonzero(~right).tolist(),
        "clip_rate": round(clipped / (cost["conversions"] * len(x)), 7),
        **energies(cost),
        "seconds": round(time.process_time() - start, 2),
    }


def energies(cost: Mapping[str, Any]) -> dict[str, float]:
    """Energies of an inference in nJ: of the chip; of its tiles, as run, if no read were skipped,
    and of those that run the ANN with bit-serial inputs of 8 bits; and conversions.
    """
    parts, skipped = cost["components"], cost["skipped_conversions"] / cost["conversions"]
    per_conversion = parts["converters_pj"] + parts["shift_and_add_pj"]
    picojoules = {
        "energy_nj": cost["energy_pj"],
        "tiles_nj": cost["tiles_energy_pj"],
        "dense_tiles_nj": cost["tiles_energy_pj"] + skipped * per_conversion,
        "ann_tiles_nj": cost["bitserial_ann_tiles_energy_pj"],
    }
    energy = {name: round(number / 1e3, 1) for name, number in picojoules.items()}
    return {**energy, "conversions": round(cost["conversions"])}


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--chips", type=int, default=CHIPS)
    parser.add_argument("--only", default=",".join(FACTORS))
    parser.add_argument("--day", action="store_true", help="PCM after one day, on 1,017 images")
    parser.add_argument("--fine-tuned", action="store_true", help="the network learns before")
    parser.add_argument("--work", type=Path, default=Path("crossbar-out"), help="networks are kept")
    parser.add_argument("--results", type=Path, default=RESULTS / "crossbar_sweep.json")
    options = parser.parse_args()
    data: Path = options.data_dir
    name = FINE_TUNED if options.fine_tuned else ORIGINAL
    graph = integer_network(name, data, options.work)
    images = open_data(f"cifar10:{data / 'cifar10'}#test[@exact_test.npy]")
    x, y = images.take(np.arange(len(images) if options.day else SHOWN))
    ctx = PassContext(timesteps=TIMESTEPS, calibration=[(calibration(data), None)])
    chips = Chips(graph, ctx)
    rows = json.loads(options.results.read_text()) if options.results.exists() else []
    only = options.only.split(",")
    for factor, value, target, chip in runs(only, options.chips, options.day):
        key = {"network": name, "factor": factor, "value": value, "chip": chip}
        key["images"] = len(x)
        if any(key.items() <= row.items() for row in rows):
            continue
        rows.append({**key, "target": target, **measured(chips, target, chip, x, y)})
        lines = ",\n".join(json.dumps(row) for row in rows)
        options.results.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
        print(rows[-1]["accuracy"], rows[-1]["seconds"], target, chip, file=sys.stderr, flush=True)
    print("\n".join(tables(rows)))
    shown = [row for row in rows if row["network"] == ORIGINAL and row["images"] == SHOWN]
    draw(shown, options.results.with_suffix(".svg"))


if __name__ == "__main__":
    main()
