"""Measure how fast an artifact runs."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.artifact import ArtifactFile, open_artifact
from snnc.driver.inputs import open_batches
from snnc.driver.model_warnings import about_window, log_findings
from snnc.driver.programs import open_program
from snnc.driver.running import window_to_run
from snnc.driver.sampling import random_inputs
from snnc.driver.threads import torch_threads
from snnc.errors import UsageError
from snnc.ir import AnyNeuron, Graph
from snnc.native.jit import host
from snnc.options import Data
from snnc.step_times import StepTimes, TellsThreads, TimesSteps
from snnc.target import Program, Record, RunResult
from snnc.transform import Progress, silent

FEWEST, MOST = 5, 100_000
"""Timed runs, whatever the seconds."""
SHARE_OF_STEPS = 0.25
"""Of the seconds, for the times of steps."""
MOST_STEP_RUNS = 1000
FEATURES = ("avx2", "avx512f", "avx512vnni", "amx-int8", "neon")
QUANTILES = {"least": 0, "p25": 25, "median": 50, "p75": 75, "p99": 99}


@dataclass(frozen=True)
class Benchmark:
    """How long a program took.

    Attributes:
        target: with its options.
        timesteps: the window.
        batch: samples of a run.
        threads: as asked for; None for what the target chooses.
        threads_used: those that a run of the batch takes; None where the target cannot tell.
        inputs: where they come from: data, stored or random.
        times: (3, runs) int64: when each run began, in nanoseconds of `time.monotonic_ns`, how many
            it took on the clock, and how many of all processors.
        spikes: of all neurons, mean number of a sample, of either sign, over the window.
        neurons: their number.
        steps: of runs of one sample; None where the target cannot tell.
    """

    target: str
    timesteps: int
    batch: int
    threads: int | None
    threads_used: int | None
    inputs: str
    times: NDArray[np.int64]
    spikes: float
    neurons: int
    steps: StepTimes | None

    def report(self) -> dict[str, Any]:
        """All figures, JSON-able: times in milliseconds, those of steps in microseconds."""
        _, clock, processor = self.times
        median = float(np.median(clock))
        return {
            "target": self.target,
            "timesteps": self.timesteps,
            "batch": self.batch,
            "threads": self.threads,
            "threads_used": self.threads_used,
            "inputs": self.inputs,
            "machine": _machine(),
            "runs": len(clock),
            "latency_ms": _quantiles(clock),
            "processor_ms": _quantiles(processor),
            "samples_per_second": round(self.batch * 1e9 / median, 2),
            "spikes_per_sample": self.spikes,
            "spikes_per_neuron": self.spikes / self.neurons if self.neurons else 0.0,
            "steps": None if self.steps is None else step_rows(self.steps),
            "limits": None if self.steps is None else dict(self.steps.limits),
        }


def benchmark(
    path: str | Path,
    *,
    data: Data | None = None,
    batch: int = 1,
    timesteps: int | None = None,
    threads: int | None = None,
    seconds: float = 2.0,
    seed: int = 0,
    progress: Progress = silent,
    log: logging.Logger | None = None,
) -> Benchmark:
    """Run an artifact on a batch again and again.

    Args:
        data: inputs; None for those stored in the artifact, or else random ones in the range of the
            encoder. Too few of them are repeated.
        batch: samples of a run.
        timesteps, threads, seed: see `snnc.options.DataOptions`.
        seconds: for how long; at least `FEWEST` runs are timed.

    Raises:
        UsageError: a batch below 1, or seconds that are negative or no number.
        ArtifactError: damaged, or no program.
        DataError: data that cannot be read or does not fit.
    """
    _check(batch, seconds)
    artifact = open_artifact(path)
    graph, program = artifact.graph(), open_program(artifact, threads=threads)
    window = window_to_run(timesteps, program, graph, log)
    log_findings(about_window(artifact, window), log)
    kind, x = _inputs(artifact, graph, data, batch, seed, log)
    case = _Case(program, x, window, seed, seconds)
    with torch_threads(threads):
        spikes = _spikes(graph, case.run("counts").counts)
        times = case.times(progress)
        steps = case.step_times(float(np.median(times[1])))
    target = str(artifact.manifest["target"])
    used = program.threads_of(batch, window) if isinstance(program, TellsThreads) else None
    return Benchmark(target, window, batch, threads, used, kind, times, *spikes, steps)


@dataclass(frozen=True)
class _Case:
    """What is run, and for how long."""

    program: Program
    x: NDArray[np.float32]
    window: int
    seed: int
    seconds: float

    def run(self, record: Record = "none") -> RunResult:
        """The batch once."""
        return self.program.run(self.x, timesteps=self.window, record=record, seed=self.seed)

    def times(self, progress: Progress) -> NDArray[np.int64]:
        """`Benchmark.times`, behind a run that does not count."""
        self.run()
        found, shown = list[tuple[int, int, int]](), 0
        begin = time.monotonic_ns()
        with progress("bench", 100) as advance:
            while len(found) < MOST:
                processor, start = time.process_time_ns(), time.monotonic_ns()
                self.run()
                end = time.monotonic_ns()
                found.append((start, end - start, time.process_time_ns() - processor))
                done = min(100, int((end - begin) / max(self.seconds, 1e-9) / 1e7))
                if done > shown:
                    advance(done - shown)
                    shown = done
                if end - begin >= self.seconds * 1e9 and len(found) >= FEWEST:
                    break
        return np.array(found, np.int64).T

    def step_times(self, ns: float) -> StepTimes | None:
        """Those of the first sample; a run of the batch takes `ns`."""
        if not isinstance(self.program, TimesSteps):
            return None
        fitting = int(self.seconds * 1e9 * SHARE_OF_STEPS / (ns / len(self.x)))
        runs = max(FEWEST, min(MOST_STEP_RUNS, fitting))
        known = {"timesteps": self.window, "seed": self.seed, "runs": runs}
        return self.program.step_times(self.x, **known)


def _spikes(graph: Graph, counts: Mapping[str, NDArray[np.uint32]]) -> tuple[float, int]:
    """The spikes of a sample, on average, and the number of neurons."""
    fired = [counts[node.name] for node in graph.nodes if isinstance(node.op, AnyNeuron)]
    return sum(float(c.sum()) / len(c) for c in fired), sum(c[0].size for c in fired)


def step_rows(steps: StepTimes) -> list[dict[str, Any]]:
    """The rows of the steps with the median of their times, and the share of the least time."""
    spent = np.median(np.diff(steps.marks, axis=1), axis=0) / 1e3
    rows = list[dict[str, Any]]()
    for row, us in zip(steps.rows, spent, strict=True):
        known = dict(row) | {"us": round(float(us), 3), "share": float(us / spent.sum())}
        if "least_us" in row:
            known["of_limit"] = float(row["least_us"] / max(us, 1e-9))
        rows.append(known)
    return rows


def trace(measured: Benchmark) -> dict[str, Any]:
    """The runs, and below them the steps, in the trace-event format of browsers' trace viewers.

    Times are microseconds from the first run on. Source: "Trace Event Format", events of phase X.
    """
    origin = int(measured.times[0, 0])
    events = [_named(1, "runs of a batch"), _named(2, "steps of runs of one sample")]
    runs = zip(*measured.times[:2].tolist(), strict=True)
    events += [
        _event(1, "run", start - origin, ns, {"batch": measured.batch}) for start, ns in runs
    ]
    if measured.steps is not None:
        for marks in (measured.steps.marks - origin).tolist():
            rows = zip(measured.steps.rows, marks, marks[1:], strict=False)
            events.append(_event(2, "run", marks[0], marks[-1] - marks[0], {}))
            events += [_event(2, r["layer"], a, b - a, {"kernel": r["kernel"]}) for r, a, b in rows]
    return {"traceEvents": events, "displayTimeUnit": "ns"}


def _event(row: int, name: str, start: int, ns: int, facts: Mapping[str, Any]) -> dict[str, Any]:
    known = {"name": name, "ph": "X", "pid": 1, "tid": row, "args": facts}
    return {**known, "ts": start / 1e3, "dur": ns / 1e3}


def _named(row: int, name: str) -> dict[str, Any]:
    return {"name": "thread_name", "ph": "M", "pid": 1, "tid": row, "args": {"name": name}}


def _check(batch: int, seconds: float) -> None:
    if batch < 1:
        raise UsageError(f"--batch {batch}: at least one sample")
    if not 0 <= seconds < float("inf"):
        raise UsageError(f"--seconds {seconds:g}: a time of 0 or more")


def _inputs(
    artifact: ArtifactFile,
    graph: Graph,
    data: Data | None,
    batch: int,
    seed: int,
    log: logging.Logger | None,
) -> tuple[str, NDArray[np.float32]]:
    """Where the inputs come from, and so many of them, C-contiguous."""
    shape, stored = graph.type_of(graph.input).shape, artifact.samples()
    if data is None and stored is None:
        told = logging.getLogger("snnc") if log is None else log
        told.info("inputs are random, and times depend on their spikes; --input gives others")
        return "random", random_inputs(graph, batch, seed)
    given = data if data is not None else stored.x if stored is not None else None
    batches = open_batches(given, "input", shape, batch_size=batch, log=log)
    assert batches is not None
    found = np.concatenate([x for x, _ in islice(batches, batch)])
    x = np.ascontiguousarray(np.resize(found, (batch, *shape)), np.float32)
    return "stored" if data is None else "data", x


def _machine() -> dict[str, Any]:
    own = host()
    features = [name for name in FEATURES if f"+{name}" in own.features.split(",")]
    return {"processor": own.cpu, "features": features, "cores": os.cpu_count()}


def _quantiles(ns: NDArray[np.int64]) -> dict[str, float]:
    """In milliseconds."""
    return {name: round(float(np.percentile(ns, q)) / 1e6, 5) for name, q in QUANTILES.items()}
