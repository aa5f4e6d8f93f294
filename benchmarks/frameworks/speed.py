"""snnc beside SpikingJelly, snnTorch, sinabs, torch, torch.compile and ONNX Runtime.

    make bench
    .venv-bench/bin/python -m benchmarks.frameworks.speed --work DIR --quick --data-dir DATA
    .venv-bench/bin/python -m benchmarks.frameworks.speed --work DIR \\
        --networks vgg16 --timesteps 1 4 8 16

Every tool runs the same network on the same batch, in one process on pinned cores, in turns, A B C
A B C, each in the faster of its layouts. A turn is a call that does not count and then calls for 5
ms, or one longer call. A tool whose output differs from that of the reference is marked;
`snnc, float` has other weights, and the ANNs are networks of their own. Times are processor time
with one thread, which other programs on the machine disturb less, else time on the clock. Rows are
kept in DIR, and the same command goes on where it was stopped; a row of other versions or of
another machine is measured again. See README.md.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import torch

from benchmarks.frameworks.networks import NAMES, TRAINED, Sources
from benchmarks.frameworks.report import plotted, tables
from benchmarks.frameworks.tools import ANN, EXACT, TOOLS, Call, Case

PACKAGES = (
    "llvmlite",
    "numpy",
    "onnxruntime",
    "sinabs",
    "snnc",
    "snntorch",
    "spikingjelly",
    "torch",
)
FEATURES = ("avx2", "avx512f", "avx512vnni", "amx-int8", "neon")
QUICK = (
    *(("lenet", 4, 1), ("mlp", 4, 1), ("vgg16", 4, 1), ("resnet18", 4, 1)),
    *((TRAINED, 8, 1), ("vgg9", 4, 32)),
)
"""Network, window and batch of `--quick`."""
TURN = 5_000_000
"""Nanoseconds in which a tool calls again and again before it is the next one's turn."""
ROUNDING = 1e-6
"""Of the largest output: what a factor in float32 makes of the sum; a spike makes more of it."""
FEWEST, TRIALS = 5, 2
"""Rounds, however long they take: of measuring, and of choosing a layout."""


@dataclass(frozen=True)
class Row:
    """One setting."""

    network: str
    timesteps: int
    batch: int
    threads: int

    @property
    def name(self) -> str:
        """In the results."""
        return f"{self.network} T={self.timesteps} batch={self.batch} threads={self.threads}"


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    has = llvm.get_host_cpu_features()
    return {
        "processor": llvm.get_host_cpu_name(),
        "features": [name for name in FEATURES if has.get(name)],
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "versions": {name: version(name) for name in PACKAGES},
    }


def calls(case: Case, tools: Sequence[str]) -> Iterator[tuple[str, str, Call]]:
    """Tool, variant and call of all that can be built; others are named on stderr."""
    for name in tools:
        try:
            built = TOOLS[name].build(case)
            for variant, call in built.items():
                call()
                yield name, variant, call
        except Exception as error:  # of a foreign tool, which is left out
            print(f"  {name}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)


def spent(call: Call) -> tuple[float, float]:
    """Mean nanoseconds, processor and clock, of the calls of a turn behind the first of them.

    The first one fetches what the tool before it has driven from the caches, which counts only for
    calls that are shorter than a turn: a longer one is the only one.
    """
    first = _spent(call, 0)
    return first if first[0] >= TURN else _spent(call, TURN)


def _spent(call: Call, least: int) -> tuple[float, float]:
    """Mean nanoseconds of so many calls that they take `least`."""
    processor, clock, calls = time.process_time_ns(), time.perf_counter_ns(), 0
    while not calls or time.perf_counter_ns() - clock < least:
        call()
        calls += 1
    own, whole = time.process_time_ns() - processor, time.perf_counter_ns() - clock
    return own / calls, whole / calls


def rounds(
    built: Mapping[Any, Call], seconds: float, fewest: int = FEWEST
) -> dict[Any, list[tuple[float, float]]]:
    """Nanoseconds of every call, in turns, for about so many seconds."""
    found: dict[Any, list[tuple[float, float]]] = {key: [] for key in built}
    end, done = time.perf_counter() + seconds, 0
    while done < fewest or time.perf_counter() < end:
        for key, call in built.items():
            found[key].append(spent(call))
        done += 1
    return found


def fastest(built: Mapping[tuple[str, str], Call]) -> dict[str, tuple[str, Call]]:
    """By tool its variant of least processor time, in a few rounds over all."""
    several = {name for name, variant in built if (name, variant) != (name, "")}
    trial = {key: call for key, call in built.items() if key[0] in several}
    least = {key: min(times) for key, times in rounds(trial, 0, TRIALS).items()}
    chosen = dict[str, tuple[str, Call]]()
    for name, variant in sorted(built, key=lambda key: least.get(key, (0, 0))):
        chosen.setdefault(name, (variant, built[name, variant]))
    return {name: chosen[name] for name in dict.fromkeys(name for name, _ in built)}


def agreement(name: str, call: Call, case: Case) -> dict[str, Any]:
    """Whether a tool gives the output of the reference, and if not, how far off it is."""
    kind, network = TOOLS[name].kind, case.network
    if kind == ANN:
        return {}
    expected = network.expected if kind == EXACT else network.expected_off_grid
    given = np.asarray(call())
    same = float(np.mean(given.argmax(1) == expected.argmax(1)))
    off = float(np.abs(given - expected).max() / np.abs(expected).max())
    return {"equal": off <= ROUNDING, "same_class": same, "largest_difference": off}


def quantiles(nanoseconds: Sequence[float]) -> dict[str, float]:
    """In milliseconds."""
    values = np.array(nanoseconds) / 1e6
    parts = {"least": 0, "quarter": 25, "median": 50, "three_quarters": 75}
    return {name: round(float(np.percentile(values, part)), 5) for name, part in parts.items()}


def measured(case: Case, tools: Sequence[str], seconds: float) -> dict[str, Any]:
    """Figures by tool."""
    with torch.inference_mode():
        built = {(name, variant): call for name, variant, call in calls(case, tools)}
        chosen = fastest(built)
        del built
        gc.collect()
        agrees = {name: agreement(name, call, case) for name, (_, call) in chosen.items()}
        times = rounds({name: call for name, (_, call) in chosen.items()}, seconds)
    return {
        name: {
            "variant": variant,
            "rounds": len(times[name]),
            "processor_ms": quantiles([processor for processor, _ in times[name]]),
            "clock_ms": quantiles([clock for _, clock in times[name]]),
            **agrees[name],
        }
        for name, (variant, _) in chosen.items()
    }


class Results:
    """The rows that are known, in a file."""

    def __init__(self, path: Path) -> None:
        self.path, self.machine = path, machine()

    def read(self) -> dict[str, Any]:
        """All rows, by name."""
        return json.loads(self.path.read_text("utf-8")) if self.path.exists() else {}

    def known(self, row: Row, tools: Sequence[str]) -> bool:
        """Whether a row is there, of this machine, with all of these tools."""
        entry = self.read().get(row.name, {})
        return entry.get("machine") == self.machine and set(tools) <= set(entry.get("tried", ()))

    def add(self, row: Row, tools: Sequence[str], figures: Mapping[str, Any]) -> None:
        """Keep a row."""
        entry = {**vars(row), "machine": self.machine, "tried": list(tools), "tools": figures}
        part = self.path.with_suffix(".part")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps({**self.read(), row.name: entry}, indent=1) + "\n", "utf-8")
        part.replace(self.path)


def wanted(options: argparse.Namespace, sources: Sources) -> list[Row]:
    """The rows that were asked for."""
    if options.quick:
        settings: Sequence[tuple[str, int, int]] = QUICK
        settings = [each for each in settings if each[0] in options.networks]
    else:
        settings = list(product(options.networks, options.timesteps, options.batches))
    there = sources.names()
    return [Row(*each, options.threads) for each in settings if each[0] in there]


def pinned(threads: int, core: int | None) -> Callable[[], None]:
    """Put this process on as many cores as it has threads; returns what undoes that."""
    before = os.sched_getaffinity(0)
    cores = sorted(before) if core is None else [core, *sorted(before - {core})]
    os.sched_setaffinity(0, cores[:threads])
    return lambda: os.sched_setaffinity(0, before)


def options_of(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=Path("bench-out"), help="keeps rows there")
    parser.add_argument("--data-dir", type=Path, help="with the weights of ResNet-20, and CIFAR-10")
    parser.add_argument("--quick", action="store_true", help="few rows: one per network")
    parser.add_argument("--networks", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--timesteps", nargs="+", type=int, default=[1, 4, 8, 16])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 32])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tools", nargs="+", choices=list(TOOLS), default=list(TOOLS))
    parser.add_argument("--seconds", type=float, default=20, help="of the rounds of a row")
    parser.add_argument("--core", type=int, help="the first of the cores")
    parser.add_argument("--report", type=Path, help="write the kept rows as JSON and picture there")
    options = parser.parse_args(arguments)
    if min(options.threads, *options.timesteps, *options.batches) < 1 or options.seconds < 0:
        parser.error("numbers are positive")
    return options


def main() -> None:
    """Measure what is not known yet, and print tables."""
    options = options_of()
    results = Results(options.work / "frameworks.json")
    sources = Sources(options.work, options.data_dir)
    pinned(options.threads, options.core)
    torch.set_num_threads(options.threads)
    for row in wanted(options, sources):
        if results.known(row, options.tools):
            continue
        start = time.perf_counter()
        case = Case(sources.network(row.network, row.timesteps, row.batch), row.threads)
        results.add(row, options.tools, measured(case, options.tools, options.seconds))
        took = time.perf_counter() - start
        print(f"{row.name}: {took:.0f} s", file=sys.stderr, flush=True)
    print(tables(results.read()))
    if options.report is not None:
        plotted(results.read(), options.report)


if __name__ == "__main__":
    main()
