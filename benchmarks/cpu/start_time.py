"""How long the first answer of a saved artifact takes, beside the import of numpy and llvmlite.

    python -m benchmarks.cpu.start_time net.snnc

Every measurement is a fresh process with one thread: one that imports numpy and llvmlite, and one
that opens the artifact and runs one sample; both in turns, `--runs` pairs
of them, behind one that fills the caches of compiled kernels and of Python's bytecode. Seconds are
those of the whole process on the clock; processor seconds are its own, and a machine that is busy
otherwise changes them less.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.machine import machine
from snnc.artifact import open_artifact

BARE = "import numpy, llvmlite.binding, llvmlite.ir"
FIRST = """
import numpy as np
import snnc
x = np.full((1, *{shape}), 0.5, np.float32)
snnc.load({artifact!r}, threads=1).run(x)
"""


def measured(code: str) -> dict[str, float]:
    """Seconds of a fresh process."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", code])
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit("the process failed")
    return {
        "seconds": time.perf_counter() - start,
        "processor_seconds": usage.ru_utime + usage.ru_stime,
    }


def paired(artifact: Path, runs: int) -> Mapping[str, Any]:
    """Both processes in turns, and the medians of what the artifact takes longer."""
    shape = tuple(open_artifact(artifact).manifest["input_shape"])
    first = FIRST.format(shape=shape, artifact=str(artifact))
    measured(first)
    pairs = [(measured(BARE), measured(first)) for _ in range(runs)]
    more = {
        kind: statistics.median(own[kind] - bare[kind] for bare, own in pairs)
        for kind in ("seconds", "processor_seconds")
    }
    return {"artifact": artifact.name, "more": more, "pairs": pairs}


def main() -> None:
    """Measure, print, and write JSON if asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("artifacts", nargs="+", type=Path, metavar="ARTIFACT")
    parser.add_argument("--runs", type=int, default=20, help="pairs of processes")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    if options.runs < 1:
        parser.error("--runs is at least 1")
    for artifact in options.artifacts:
        if not artifact.is_file():
            parser.error(f"{artifact}: no such file")
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    rows = [paired(artifact, options.runs) for artifact in options.artifacts]
    for row in rows:
        more = row["more"]
        print(
            f"{row['artifact']}: {more['seconds']:.3f} s more than the bare imports, "
            f"{more['processor_seconds']:.3f} s of the processor"
        )
    if options.json is not None:
        figures = {"machine": machine(), "rows": rows}
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
