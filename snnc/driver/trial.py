"""Whether a job can be compiled: every problem at once, nothing written."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from snnc.data import first_samples
from snnc.driver.inputs import fraction
from snnc.driver.job import Job
from snnc.driver.lowering import lower
from snnc.driver.model_warnings import warn_of_model
from snnc.driver.synthetic import with_synthetic_calibration
from snnc.errors import SnncError, UsageError
from snnc.ir import Graph, Stage
from snnc.pipeline import Pipeline
from snnc.target import Backend
from snnc.transform import PassContext

T = TypeVar("T")
DATA = ("calibration", "train", "validation")
SAMPLES = 8
"""Samples of each kind of data in a trial: enough to run every pass, too few for good figures."""


def dry_run(job: Job) -> list[SnncError]:
    """Every reason why `job` cannot be compiled; nothing when it can.

    The passes are run on few samples, as a trial (see `PassContext`): the target can only be asked
    about the graph they give.
    """
    problems: list[SnncError] = []
    _try(problems, job.check)
    pipeline = _try(problems, job.pipeline)
    backend = _try(problems, job.backend)
    graph = _try(problems, job.graph)
    ctx = PassContext()
    if graph is not None:
        ctx = _context(problems, job, graph, backend)
        warn_of_model(graph, ctx, () if pipeline is None else pipeline.passes)
    if pipeline is not None and backend is not None:
        pipeline = _try(problems, lambda: job.pipeline_for(backend, graph))
    if graph is not None and pipeline is not None and job.calibration is None:
        ctx, _ = with_synthetic_calibration(
            pipeline, graph, ctx, job.seed, samples=SAMPLES, steps=0
        )
    if pipeline is not None:
        stage = Stage.ANN if graph is None else graph.stage
        given = [name for name in DATA if getattr(job, name) is not None]
        if graph is None:
            given.append("calibration")  # would be made of the model, which is the problem
        missing = {name: [] for name in given if getattr(ctx, name) is None}
        present = replace(ctx, **missing)  # a problem already where it cannot be opened
        problems += [UsageError(text) for text in pipeline.problems(stage, present)]
    if not problems and graph is not None and pipeline is not None and backend is not None:
        _try(problems, lambda: _run(graph, pipeline, backend, ctx))
    return problems


def _run(graph: Graph, pipeline: Pipeline, backend: Backend, ctx: PassContext) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = None if ctx.workdir is None else Path(folder)
        ctx = replace(ctx, workdir=home)
        result = pipeline.run(graph, ctx)
        lower(result.graph, backend, replace(ctx, ann=result.ann))


def _context(
    problems: list[SnncError], job: Job, graph: Graph, backend: Backend | None
) -> PassContext:
    """The context with the data that can be opened; a problem for each that cannot."""
    none = replace(job, **dict.fromkeys(DATA))
    ctx = replace(none.context(graph, backend), trial=True, resume=False)
    for names in _opened_together(job):
        given = [name for name in names if getattr(job, name) is not None]
        only = replace(none, **{name: getattr(job, name) for name in given})
        opened = _try(problems, lambda only=only: only.context(graph, backend))
        if opened is not None:
            few = {name: first_samples(getattr(opened, name), SAMPLES) for name in given}
            ctx = replace(ctx, **few)
    return ctx


def _opened_together(job: Job) -> Sequence[Sequence[str]]:
    """Names of data; those in one group cannot be opened without each other."""
    try:
        part = fraction(job.validation)
    except UsageError:
        part = None  # a problem where the data is opened
    return [[name] for name in DATA] if part is None else [DATA[:1], DATA[1:]]


def _try(problems: list[SnncError], attempt: Callable[[], T]) -> T | None:
    try:
        return attempt()
    except SnncError as error:
        problems.append(error)
        return None
