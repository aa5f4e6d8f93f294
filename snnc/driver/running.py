"""Run an artifact on data."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np

from snnc.artifact import open_artifact
from snnc.driver.costing import RunCost
from snnc.driver.inputs import open_batches
from snnc.driver.model_warnings import WatchedInputs, about_window, log_findings
from snnc.driver.models import question_window, require_window
from snnc.driver.programs import open_program
from snnc.driver.threads import torch_threads
from snnc.errors import UsageError
from snnc.ir import Graph
from snnc.options import Data
from snnc.output_function import applied
from snnc.target import Program, Record, RunResult, joined
from snnc.transform import Progress, silent, size_of


def run_on_data(
    path: str | Path,
    data: Data,
    *,
    timesteps: int | None = None,
    record: Record = "none",
    seed: int = 0,
    threads: int | None = None,
    progress: Progress = silent,
    log: logging.Logger | None = None,
) -> RunResult:
    """Run an artifact on all of `data`, batch by batch; one result for all samples.

    A sigmoid or tanh on the output of the model is applied to `output`, not to `readout`.
    `stats["cost"]` is the cost of an inference, where the target tells it.
    """
    artifact = open_artifact(path)
    graph = artifact.graph()
    program = open_program(artifact, threads=threads)
    window = window_to_run(timesteps, program, graph, log)
    log_findings(about_window(artifact, window), log)
    batches = open_batches(data, "input", graph.type_of(graph.input).shape, log=log)
    assert batches is not None
    inputs = WatchedInputs(artifact, graph.input)
    cost = RunCost(artifact, graph)
    counting = cost.recorded(record)
    results, done = list[RunResult](), 0
    with torch_threads(threads), progress("run", size_of(batches)) as advance:
        for x, _ in inputs.watch(batches):
            ids = np.arange(done, done + len(x))
            run = program.run(x, timesteps=window, record=counting, sample_ids=ids, seed=seed)
            cost.add(run)
            results.append(run if counting == record else replace(run, counts={}))
            done += len(x)
            advance(len(x))
    inputs.warn(log)
    result = joined(results)
    return replace(result, output=applied(graph.meta, result.output), stats=cost.stats())


def window_to_run(
    timesteps: int | None, program: Program, graph: Graph, log: logging.Logger | None
) -> int:
    """The window to run; the artifact's own by default."""
    if timesteps is None:
        return program.timesteps
    if timesteps < 1:
        raise UsageError(f"-T {timesteps}: a window has at least one time step")
    require_window(graph, timesteps)
    question_window(timesteps, log)
    return timesteps
