"""Writes what `compare.py` compares: effective conductances of tiles, and networks for SANA-FE.

`python write.py FOLDER`, in an environment that has snnc. Every case is a folder: of `wires` with
`tile.npz`, of `hops` with the files of the exporter `sanafe` and the figures of snnc in
`expected.json`.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import snnc
from snnc.artifact import open_artifact, write
from snnc.data import open_data
from snnc.driver import export_artifact
from snnc.interp import run_snn
from snnc.ir import Graph
from snnc.pipeline import parse_one
from snnc.plugins import BACKENDS, Registry
from snnc.target import stored_window
from snnc.testing import random_graph
from snnc.transform import PassContext
from snnc_backends.crossbar.cost.files import MAPPING, PLACEMENT, stored_json
from snnc_backends.crossbar.mapping.layer_shapes import layer_shapes
from snnc_backends.crossbar.mapping.placed_parts import stored_parts
from snnc_backends.crossbar.placement import placement
from snnc_backends.crossbar.placement.packets import fires
from snnc_backends.crossbar.placement.traffic import traffic
from snnc_backends.crossbar.reading.wires import effective_us

DIGITS = Path(__file__).resolve().parents[2] / "examples" / "digits"
TIMESTEPS = 4
SMALL = "rows=7 cols=9 cell-bits=2"
RANDOM = {
    **{f"random-{seed}": (seed, f"{SMALL} mesh=3x2") for seed in (0, 1, 4, 5, 6, 7)},
    "random-8-packed": (8, f"{SMALL} mesh=4x4 packing=groups"),
    "random-9-shared": (9, f"{SMALL} mesh=4x4 packing=time-multiplexed"),
    "random-10-cores": (10, f"{SMALL} mesh=12x11 tiles-per-core=2"),
    "random-11-unit-column": (11, f"{SMALL} mesh=5x3 cells=unit-column"),
}


def tiles() -> Iterator[tuple[str, NDArray[np.float64], float, int]]:
    """Name, conductances in uS, resistance of the wire in ohm, empty rows below."""
    rng = np.random.default_rng(0)
    for rows, columns, ohm, below in (
        (1, 1, 5.0, 0), (1, 12, 2.0, 3), (16, 1, 2.0, 0), (24, 16, 1.0, 0), (16, 24, 300.0, 5),
        (64, 64, 2.82, 0), (64, 64, 0.35, 64),
    ):  # fmt: skip
        cells = rng.uniform(1, 100, (rows, columns))
        cells[rng.random((rows, columns)) < 0.3] = 0
        cells[0, 0] = 50
        yield f"{rows}x{columns}-{ohm:g}-{below}", cells, ohm, below
    on = np.full((32, 32), 1e6 / 1e4)
    yield "32x32-all-on-10k", on, 1.0, 0


def write_wires(folder: Path) -> None:
    """A case for every tile."""
    for name, cells, ohm, below in tiles():
        case = folder / name
        case.mkdir(parents=True)
        found = effective_us(cells, ohm, below)
        np.savez(case / "tile.npz", cells_us=cells, ohm=ohm, below=below, effective_us=found)


def write_hops(folder: Path) -> None:
    """Random networks, of which every element fires once, and the digits with their spikes."""
    folder.mkdir(parents=True)
    for name, (seed, options) in RANDOM.items():
        graph = random_graph(seed)
        text = f"crossbar{{{options}}}"
        backend = parse_one(text, Registry(BACKENDS))
        graph.meta["timesteps"] = TIMESTEPS
        if backend.check(graph):
            raise SystemExit(f"{name} is no network for a crossbar")
        files = backend.lower(graph, PassContext(timesteps=TIMESTEPS))
        write(folder / "net.snnc", graph, target=text, files=files)
        write_case(folder / name, folder / "net.snnc", once)
    x, _ = open_data("digits#test").take(np.arange(1))
    np.save(folder / "x.npy", x)
    digits(folder / "net.snnc")
    write_case(folder / "digits", folder / "net.snnc", once)
    spikes = f"{{input={json.dumps(str(folder / 'x.npy'))}}}"

    def fired(graph: Graph) -> Mapping[str, float]:
        nodes = [node.name for node in graph.nodes if fires(node)]
        steps = stored_window(graph)
        values = run_snn(graph, x, timesteps=steps, keep=nodes).values
        return {name: float(values[name].abs().sum()) for name in nodes}

    write_case(folder / "digits-spikes", folder / "net.snnc", fired, spikes)


def digits(path: Path) -> None:
    """The network of `make cost`."""
    snnc.compile(
        f"{DIGITS / 'net.py'}:build",
        weights=DIGITS / "weights.safetensors",
        output=path,
        target="crossbar{mesh=3x3}",
        recipe="convert{bits=8}",
        timesteps=8,
        calibration="digits#train",
    )


def once(graph: Graph) -> Mapping[str, float]:
    """An event of every element."""
    return {node.name: graph.type_of(node.name).size for node in graph.nodes if fires(node)}


def write_case(case: Path, network: Path, events: Any, options: str = "") -> None:
    """The files of SANA-FE, and what snnc counts for the same events."""
    export_artifact(network, f"sanafe{options}", case)
    artifact = open_artifact(network)
    graph = artifact.graph()
    chip = parse_one(artifact.manifest["target"], Registry(BACKENDS)).chip()
    placed = placement.from_json(stored_json(artifact, PLACEMENT))
    steps = stored_window(graph)
    parts = stored_parts(stored_json(artifact, MAPPING))
    shapes = layer_shapes(graph, chip, parts, steps)
    found = traffic(graph, shapes, placed.core_of, events(graph), steps)
    trains = re.findall(r"spikes: \[(.*?)\]", (case / "snn.yaml").read_text())
    expected = {
        "steps": max((train.count(",") + 1 for train in trains), default=1),
        "packets": found.spikes + found.sums,
        "hops": sum(placed.hops(found).values()),
        "cores": placed.cores,
    }
    (case / "expected.json").write_text(json.dumps(expected))


if __name__ == "__main__":
    write_wires(Path(sys.argv[1]) / "wires")
    write_hops(Path(sys.argv[1]) / "hops")
