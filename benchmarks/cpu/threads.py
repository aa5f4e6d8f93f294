"""How much faster one sample runs in several threads of the CPU backend, and in longer windows.

    python -m benchmarks.cpu.threads --networks vgg16 resnet18 --threads 1 2
    python -m benchmarks.cpu.threads --networks vgg16 --timesteps 1 4 8 16 --batches 1 32

The networks are those of `kernels.py`. The same batch runs with each number of threads in
turns, five calls behind one that does not count; times are those of the clock, so that the machine
has to be idle. Outputs have to be equal, bit for bit. JSON goes to standard output: a line for each
network, window and batch, with the least, quarter and median of the milliseconds of a call, and how
many times as long the first number of threads takes as each.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.cpu.kernels import NETWORKS, How
from snnc_backends.cpu.lower import lower
from snnc_backends.cpu.program import CpuProgram, load

TURN = 5
"""Calls that count."""
QUANTILES = {"least": 0, "quarter": 25, "median": 50}


def milliseconds(
    programs: dict[int, CpuProgram], x: NDArray[np.float32], seconds: float
) -> dict[int, NDArray[np.float64]]:
    """The times of all calls, in turns for about so many seconds, by the number of threads."""
    found: dict[int, list[float]] = {threads: [] for threads in programs}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for threads, program in programs.items():
            program.run(x)
            for _ in range(TURN):
                start = time.perf_counter_ns()
                program.run(x)
                found[threads].append((time.perf_counter_ns() - start) / 1e6)
    return {threads: np.array(times) for threads, times in found.items()}


def measured(name: str, timesteps: int, batch: int, options: argparse.Namespace) -> dict[str, Any]:
    """Figures of one network, window and batch."""
    graph, samples = NETWORKS[name](How(options.real, timesteps, False, 0))
    x = np.ascontiguousarray(np.resize(samples, (batch, *samples.shape[1:])), np.float32)
    plan, weights = lower(graph, timesteps)
    text = plan.to_json()
    programs = {threads: load(text, weights, threads, None) for threads in options.threads}
    outputs = [program.run(x).output for program in programs.values()]
    for output in outputs[1:]:
        np.testing.assert_array_equal(output, outputs[0])
    times = milliseconds(programs, x, options.seconds)
    quantiles = {
        threads: {key: float(np.percentile(each, q)) for key, q in QUANTILES.items()}
        for threads, each in times.items()
    }
    first = quantiles[options.threads[0]]
    return {
        "network": name,
        "timesteps": timesteps,
        "batch": batch,
        "threads_used": {n: each.threads_of(batch, timesteps) for n, each in programs.items()},
        "ms": {n: {key: round(ms, 4) for key, ms in each.items()} for n, each in quantiles.items()},
        "times_as_fast": {
            n: {key: round(first[key] / ms, 3) for key, ms in each.items()}
            for n, each in quantiles.items()
        },
    }


def main() -> None:
    """Measure, and print a line of JSON for each row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=["vgg16"])
    parser.add_argument("--timesteps", nargs="+", type=int, default=[4])
    parser.add_argument("--batches", nargs="+", type=int, default=[1])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--seconds", type=float, default=5, help="of each row")
    parser.add_argument("--real", action="store_true", help="the weights as float32, on a grid")
    options = parser.parse_args()
    for row in product(options.networks, options.timesteps, options.batches):
        json.dump(measured(*row, options), sys.stdout)
        print(flush=True)


if __name__ == "__main__":
    main()
