"""VGG16 for 224x224 images on a crossbar: seconds, peak memory and size of the artifact.

    python -m benchmarks.crossbar.vgg16

The network is an integer graph with random weights of 8 bits (138 million), for tiles of 128 x 128:
the default, differential pairs of cells of 4 bits, and one column a weight, each also packed. Two
processes are measured: `map` checks, maps and writes the artifact, `load` reads it and makes the
program that runs it. What is imported is told apart. Peak memory is that of the whole process, the
network that is mapped included.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.repository import RESULTS

STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
FEATURES = (4096, 4096, 1000)
TARGETS = (
    "crossbar",
    "crossbar{packing=time-multiplexed}",
    "crossbar{cells=offset cell-bits=8}",
    "crossbar{cells=offset cell-bits=8 packing=time-multiplexed}",
)
TIMESTEPS = 4


def vgg16() -> Any:
    """The integer graph: thirteen convolutions, maxima of counts, three linear layers."""
    from snnc import ir
    from snnc.testing import windows

    rng = np.random.default_rng(0)
    graph = ir.Graph(ir.Stage.SNN)

    def weight(name: str, *shape: int) -> Any:
        return graph.set_param(name, rng.integers(-127, 128, shape, np.int8))

    def neurons(name: str, x: str, inputs: int) -> str:
        threshold = graph.set_param(f"{name}.threshold", np.int32(64 * inputs**0.5 + 1))
        return graph.add(f"{name}.neurons", ir.Neuron(threshold=threshold), [x])

    graph.add("x", ir.Input(shape=(3, 224, 224)))
    x, size, before = graph.add("encode", ir.EncodeDirect(scale=1 / 255, hi=255), ["x"]), 224, 3
    for stage, (channels, depth) in enumerate(STAGES, 1):
        for i in range(1, depth + 1):
            name = f"conv{stage}_{i}"
            op = ir.Conv(weight=weight(name, channels, before, 3, 3), padding=((1, 1), (1, 1)))
            x = neurons(name, graph.add(name, op, [x]), 9 * before)
            before = channels
        halves = windows((size, size), 2, 2)
        x = graph.add(f"pool{stage}", ir.CountMaxPool(windows=halves), [x])
        size //= 2
    before *= size**2
    x = graph.add("flat", ir.Reshape(shape=(before,)), [x])
    for i, features in enumerate(FEATURES, 1):
        x = graph.add(f"fc{i}", ir.Linear(weight=weight(f"fc{i}", features, before)), [x])
        x = neurons(f"fc{i}", x, before) if i < len(FEATURES) else x
        before = features
    graph.add("out", ir.Readout(), [x])
    graph.outputs = ("out",)
    graph.meta["timesteps"] = TIMESTEPS
    return graph


def peak_mb() -> float:
    """Most memory that this process has used."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def backend(text: str) -> Any:
    """The target."""
    from snnc.pipeline import parse_one
    from snnc.plugins import BACKENDS, Registry

    return parse_one(text, Registry(BACKENDS))


def mapped(path: Path, text: str) -> dict[str, Any]:
    """Map the network and write the artifact."""
    from snnc.artifact import write
    from snnc.transform import PassContext

    start = time.perf_counter(), time.process_time()
    graph, target = vgg16(), backend(text)
    built = time.perf_counter(), time.process_time()
    problems = target.check(graph)
    assert not problems, problems
    files = target.lower(graph, PassContext(timesteps=TIMESTEPS))
    write(path, graph, target=text, files=files)
    totals = json.loads(files["crossbar/figures.json"])["totals"]
    return {
        "tiles": totals["tiles"],
        "rectangle_bound_tiles": totals["rectangle_bound_tiles"],
        "weights": totals["weights"],
        "seconds": round(time.perf_counter() - built[0], 2),
        "processor_seconds": round(time.process_time() - built[1], 2),
        "network_seconds": round(built[0] - start[0], 2),
        "peak_mb": peak_mb(),
        "artifact_mb": round(path.stat().st_size / 2**20, 1),
        "mapping_json_mb": round(len(files["crossbar/mapping.json"]) / 2**20, 1),
        "figures_json_mb": round(len(files["crossbar/figures.json"]) / 2**20, 1),
    }


def loaded(path: Path, text: str) -> dict[str, Any]:
    """Load the artifact."""
    from snnc.artifact import open_artifact

    begin = time.perf_counter()
    target = backend(text)
    import snnc_backends.crossbar.program  # noqa: F401

    imported = time.perf_counter(), time.process_time()
    target.load(open_artifact(path))
    return {
        "seconds": round(time.perf_counter() - imported[0], 2),
        "processor_seconds": round(time.process_time() - imported[1], 2),
        "import_seconds": round(imported[0] - begin, 2),
        "peak_mb": peak_mb(),
    }


def main() -> None:
    """Run both parts in processes of their own, and keep their figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--results", type=Path, default=RESULTS / "crossbar_vgg16.json")
    parser.add_argument("--part", choices=("map", "load"), help=argparse.SUPPRESS)
    parser.add_argument("--artifact", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--target", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        part = mapped if options.part == "map" else loaded
        print(json.dumps(part(options.artifact, options.target)))
        return
    found: dict[str, dict[str, Any]] = {}
    for target in TARGETS:
        with tempfile.TemporaryDirectory() as folder:
            artifact = ["--artifact", str(Path(folder) / "vgg16.snnc"), "--target", target]
            for part in ("map", "load"):
                command = [sys.executable, "-m", __spec__.name, "--part", part, *artifact]
                output = subprocess.run(command, check=True, stdout=-1).stdout
                found.setdefault(target, {})[part] = json.loads(output)
    options.results.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
