"""What the default conversion costs: seconds and peak memory of one `snnc compile`.

    python benchmarks/conversion_cost.py --data-dir DIR

ResNet-20 of CIFAR-10 with 1,024 bit-exact training images (the first draw of
`conversion_table.py`), float, for the target `cpu`, every time in a fresh process with `--threads`
threads. Seconds are those of the whole command, imports included; memory is the largest resident
set. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from conversion_table import NEURONS, Bench, Setting


def measure(bench: Bench, setting: Setting, runs: int) -> dict[str, Any]:
    """The median and the worst of `runs` fresh processes."""
    costs = [bench.compile(setting, bench.work / "cost.snnc") for _ in range(runs)]
    seconds = [cost["compile_seconds"] for cost in costs]
    memory = [cost["compile_peak_gb"] for cost in costs]
    return {
        "neurons": setting.neurons,
        "timesteps": setting.timesteps,
        "seconds": seconds,
        "peak_gb": memory,
        "median_seconds": statistics.median(seconds),
        "largest_gb": max(memory),
    }


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows in Markdown."""
    lines = ["| neurons | T | seconds (median) | peak memory (GB) |", "|---|---:|---:|---:|"]
    for row in rows:
        seconds, memory = f"{row['median_seconds']:.1f}", f"{row['largest_gb']:.2f}"
        lines.append(f"| {row['neurons']} | {row['timesteps']} | {seconds} | {memory} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print a table, and write JSON if asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data-dir", type=Path, required=True, help="data and weights")
    parser.add_argument("--neurons", nargs="+", choices=[*NEURONS], default=["synchronous"])
    parser.add_argument("--timesteps", nargs="+", type=int, default=[8, 32])
    parser.add_argument("--runs", type=int, default=3, help="processes of each row")
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    if options.runs < 1 or options.threads < 1:
        parser.error("--runs and --threads are at least 1")
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    with TemporaryDirectory() as work:
        bench = Bench(options.data_dir, Path(work))
        rows: list[dict[str, Any]] = []
        for neurons in options.neurons:
            for timesteps in options.timesteps:
                setting = Setting("resnet20", neurons, "float", timesteps, draw=0)
                rows.append(measure(bench, setting, options.runs))
                print(table(rows[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
    print(table(rows))
    if options.json is not None:
        figures = {"threads": options.threads, "cores": os.cpu_count(), "rows": rows}
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
