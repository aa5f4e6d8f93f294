"""What torchvision's architectures cost at their own size: import, conversion, a run on the CPU.

    python -m benchmarks.frontends.architectures

The networks are those of `tests/models/architectures.py`, with random weights, and statistics of
batch norms from two random images. Every figure comes from a process of its own:

- import: `snnc.trace` of the module, which ends with the comparison of graph and module.
- conversion, of `CONVERTED`: import, the default recipe with 16 images (standard normal numbers)
  for `--timesteps` steps, lowering for the CPU, and a run of one image.

Seconds are told by the clock and of the processor; the second hardly depends on what else the
machine does. Peak memory is that of the whole process, torch and the module included. Rows are kept
in `--results`, and the same command goes on where it was stopped; `--only` takes names, `--kinds`
one of the two.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.machine import machine
from benchmarks.repository import RESULTS, ROOT

CONVERTED = ("resnet18", "mobilenet-v2", "vgg16", "squeezenet", "densenet121")
IMAGES = 16
KINDS = ("import", "convert")
Row = dict[str, Any]


@contextmanager
def timed(row: Row, what: str) -> Iterator[None]:
    """Add the seconds of a part, by the clock and of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    yield
    row[f"{what}_s"] = round(time.perf_counter() - clock, 1)
    row[f"{what}_cpu_s"] = round(time.process_time() - processor, 1)


def built(name: str) -> tuple[Any, int]:
    """The network at full width, and the height and width of its images."""
    import torch

    sys.path.insert(0, str(ROOT / "tests" / "models"))
    from architectures import ARCHITECTURES

    build, size = ARCHITECTURES[name]
    torch.manual_seed(0)
    module = build(1)
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.momentum = None  # statistics of all that it has seen
    with torch.no_grad():
        module.train()(torch.randn(2, 3, size, size))
    return module.eval(), size


def measured(name: str, convert: bool, timesteps: int) -> Row:
    """The row of one architecture, measured in this process."""
    import torch

    import snnc
    from snnc.driver import compile as compiled_graph

    logging.disable(logging.WARNING)
    module, size = built(name)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    row: Row = {"name": name, "built_gb": round(before, 2), "load": os.getloadavg()[0]}
    with timed(row, "import"):
        graph = snnc.trace(module, (3, size, size))
    row["nodes"] = len(list(graph))
    if convert:
        images = torch.randn(IMAGES, 3, size, size)
        with timed(row, "convert"):
            compiled = compiled_graph(
                graph, target="cpu", timesteps=timesteps, calibration=images.numpy()
            )
        with timed(row, "run"):
            found = torch.from_numpy(compiled.program.run(images[:1].numpy()).output)
        with torch.no_grad():
            wanted = module(images[:1])
        row["relative_error"] = round(float((found - wanted).norm() / wanted.norm()), 3)
    row["peak_gb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2)
    return row


def in_a_process(name: str, convert: bool, timesteps: int) -> Row:
    """The row of one architecture, measured in a process of its own."""
    command = [sys.executable, "-W", "ignore", "-m", __spec__.name, "--measure", name]
    command += ["--timesteps", str(timesteps), *(["--convert"] if convert else [])]
    made = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(made.stdout.splitlines()[-1])


def main() -> None:
    """Measure what `--results` does not have yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--timesteps", type=int, default=8)
    parser.add_argument("--only", nargs="*", help="names of architectures")
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=KINDS)
    parser.add_argument("--results", type=Path, default=RESULTS / "architectures.json")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--convert", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measured(options.measure, options.convert, options.timesteps)))
        return
    print(machine(), file=sys.stderr)
    kept = options.results
    found: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
    found = {"import": {}, "convert": {}, **found, "machine": machine()}
    sys.path.insert(0, str(ROOT / "tests" / "models"))
    from architectures import ARCHITECTURES

    for name in options.only or ARCHITECTURES:
        for kind in options.kinds:
            if name in found[kind] or (kind == "convert" and name not in CONVERTED):
                continue
            row = in_a_process(name, kind == "convert", options.timesteps)
            found[kind][name] = {**row, "timesteps": options.timesteps}
            print(kind, row, file=sys.stderr, flush=True)
            kept.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
