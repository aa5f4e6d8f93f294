"""What importing a network costs: seconds of one thread, and peak memory.

    python -m benchmarks.frontends.import_time tests/models/architectures.py:densenet121 3,224,224

A model is code as for `snnc compile` (`file.py:factory`) with the shape of one sample. Every import
has a process of its own. Processor seconds are of all threads together, until the graph has been
compared with the model; torch, onnx and snnc are loaded before, and the module is built. Memory is
the largest resident set of the process: torch takes 0.2 GB of it, and the module its weights. With
`--onnx` a module is also exported by torch, its batch norms not folded, and the file imported.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

KINDS = ("torch", "onnx")


def imported(reference: str, shape: tuple[int, ...]) -> dict[str, Any]:
    """Import a model in this process; what it took."""
    import torch

    from snnc.frontends.loading import code_reference

    torch.set_num_threads(1)
    run = _of_file if code_reference(reference) is None else _of_module
    load = run(reference, shape)
    processor, clock = time.process_time(), time.perf_counter()
    graph = load()
    return {
        "processor_seconds": time.process_time() - processor,
        "seconds": time.perf_counter() - clock,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
        "nodes": len(graph.nodes),
    }


def _of_file(reference: str, shape: tuple[int, ...]) -> Callable[[], Any]:
    """The import of an ONNX file; the parser and the importer are loaded here."""
    from snnc.frontends import load
    from snnc.frontends.onnx import evaluation, walk

    del evaluation, walk
    return lambda: load(reference, input_shape=shape)


def _of_module(reference: str, shape: tuple[int, ...]) -> Callable[[], Any]:
    """The import of a module, which is built here."""
    from snnc.frontends.factory import load_module
    from snnc.frontends.tracing import trace

    module = load_module(reference, None)
    return lambda: trace(module, shape, name=reference)


def exported(reference: str, shape: tuple[int, ...], path: Path) -> dict[str, Any]:
    """Write a module as an ONNX file of any batch."""
    import torch

    from snnc.frontends.factory import load_module

    warnings.simplefilter("ignore")  # of the exporters about each other
    torch.onnx.export(
        load_module(reference, None),
        (torch.zeros(1, *shape),),
        path,
        dynamo=False,
        input_names=["x"],
        dynamic_axes={"x": {0: "N"}},
        training=torch.onnx.TrainingMode.PRESERVE,
        do_constant_folding=False,
    )
    return {}


def in_a_process(*arguments: str) -> dict[str, Any]:
    """The figures that this script prints in a process of its own, with one thread."""
    command = [sys.executable, "-m", __spec__.name, "--in-this-process", *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def measured(
    reference: str, shape: str, kinds: Sequence[str], folder: Path
) -> list[dict[str, Any]]:
    """The figures of a model, for each way of importing it."""
    rows = [{"model": reference, "shape": shape, "from": kind} for kind in kinds]
    for row in rows:
        if row["from"] == "torch":
            row |= in_a_process(reference, shape)
            continue
        path = folder / "model.onnx"
        in_a_process(reference, shape, "--export", str(path))
        row |= in_a_process(str(path), shape)
    return rows


def line(row: dict[str, Any]) -> str:
    """A row of the table."""
    seconds, clock = f"{row['processor_seconds']:.2f}", f"{row['seconds']:.2f}"
    name = row["model"].rpartition(":")[2]
    return f"| {name} | {row['from']} | {seconds} | {clock} | {row['peak_gb']:.2f} |"


def main() -> None:
    """Measure, print a table, and write JSON if asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("models", nargs="+", help="MODEL SHAPE, as often as wanted")
    parser.add_argument("--onnx", action="store_true", help="export each by torch, and import that")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--in-this-process", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--export", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if len(options.models) % 2:
        parser.error("every model needs a shape: net.py:build 3,224,224")
    pairs = list(zip(options.models[::2], options.models[1::2], strict=True))
    if options.in_this_process:
        ((reference, text),) = pairs
        shape = tuple(map(int, text.split(",")))
        found = (
            imported(reference, shape)
            if options.export is None
            else exported(reference, shape, options.export)
        )
        print(json.dumps(found))
        return
    print("| model | from | processor seconds | seconds | peak memory (GB) |")
    print("|---|---|---:|---:|---:|", flush=True)
    rows: list[dict[str, Any]] = []
    with TemporaryDirectory() as folder:
        for reference, shape in pairs:
            found = measured(reference, shape, KINDS[: 1 + options.onnx], Path(folder))
            print(*map(line, found), sep="\n", flush=True)
            rows += found
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
