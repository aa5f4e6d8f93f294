"""Diagnose: convert a model, or open a compiled one, and compare it with its ANN."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from snnc.analysis.diagnosis import Diagnosis, diagnose_graphs
from snnc.artifact import open_artifact
from snnc.data import first_samples
from snnc.driver.artifacts import as_compiled, folded
from snnc.driver.inputs import open_batches
from snnc.driver.job import Job, JobOptions, distributed_session
from snnc.driver.keywords import keywords_of
from snnc.driver.models import ModelSource, load_model, require_one_output, require_window
from snnc.driver.reporting import window_of
from snnc.errors import UsageError
from snnc.ir import Graph, Stage
from snnc.options import DEFAULT_WINDOW, MEANING, Data, described
from snnc.transform import AfterPass, Progress, silent, size_of

if TYPE_CHECKING:
    from torch import nn

SAMPLES = 128
"""Enough samples to tell all known faults apart."""
NEEDS_DATA = "diagnose needs samples like those the network will see"


@dataclass(frozen=True, kw_only=True)
class DiagnoseOptions(JobOptions):
    """The keyword arguments of `diagnose`."""

    calibration: Data = field(
        metadata={MEANING: "data for the passes; the first `limit` samples are compared."}
    )
    limit: int = described(SAMPLES, "how many samples of `calibration` to compare.")


@keywords_of(DiagnoseOptions)
def diagnose(model: str | Path | Graph | nn.Module, options: DiagnoseOptions) -> Diagnosis:
    """Convert a model and say where its spiking form departs from it, and why.

    Args:
        model: as for `compile`; at stage `ann`.

    Raises:
        SnncError: its message says what is wrong, where, and its hint what to do.
    """
    return diagnose_job(options.job(model), options.limit)


def diagnose_job(job: Job, limit: int = SAMPLES) -> Diagnosis:
    """Run the passes of a job, and diagnose what they gave; see `diagnose`."""
    with distributed_session(job) as job:
        return _diagnose(job, limit)


def _diagnose(job: Job, limit: int) -> Diagnosis:
    _check_limit(limit)
    if job.calibration is None:
        raise UsageError(NEEDS_DATA, hint="--calibration DATA (a few hundred unlabeled samples)")
    job.pipeline()  # an error in its text is raised before the model is loaded
    backend = job.backend()
    model = job.graph()
    pipeline = job.pipeline_for(backend, model)
    if model.stage is not Stage.ANN:
        raise UsageError(
            f"{job.source} is a spiking network already; its ANN is needed to compare with",
            hint="--compare net.py:factory --weights FILE",
        )
    ctx = job.context(model, backend)
    real = _RealNetwork(job.dump())
    real(0, "model", model)
    result = pipeline.run(model, ctx, after_pass=real)
    if result.graph.stage is not Stage.SNN or result.ann is None:
        raise UsageError(
            f"the pipeline ends with a graph of stage {result.graph.stage}; nothing spikes",
            hint="add the passes that make it spike, e.g. activations-to-neurons",
        )
    snn = real.graph or result.graph
    assert ctx.calibration is not None
    data = first_samples(ctx.calibration, limit)
    return diagnose_graphs(
        snn,
        result.ann,
        model,
        data,
        window_of(result.graph, job.timesteps),
        rounded=None if snn is result.graph else result.graph,
        seed=job.seed,
        progress=job.progress,
        total=size_of(data),
    )


def diagnose_artifact(
    path: str | Path,
    compare: ModelSource,
    data: Data | None,
    *,
    timesteps: int | None = None,
    limit: int = SAMPLES,
    seed: int = 0,
    progress: Progress = silent,
    log: logging.Logger | None = None,
) -> Diagnosis:
    """Diagnose a compiled network as it stands in its file.

    Integer currents are put into values of the ANN by the units that the graph keeps. The error of
    rounding is not separated from the others.

    Args:
        compare: the model it was made from; shape, mean and std default to the artifact's.
        timesteps: the window; None for the artifact's own.

    Raises:
        UsageError, DataError, ArtifactError, ModelError.
    """
    _check_limit(limit)
    if data is None:
        raise UsageError(NEEDS_DATA, hint="--calibration DATA (a few hundred unlabeled samples)")
    artifact = open_artifact(path)
    graph = artifact.graph()
    if graph.stage is not Stage.SNN:
        raise UsageError(
            f"{path} holds a graph of stage {graph.stage}; --compare is for spiking networks",
            hint="leave out --compare: a model is diagnosed itself",
        )
    window = window_of(graph, DEFAULT_WINDOW) if timesteps is None else timesteps
    if window < 1:
        raise UsageError(f"-T {window}: a window has at least one time step", hint="e.g. -T 8")
    require_window(graph, window)
    shape = graph.type_of(graph.input).shape
    model = load_model(as_compiled(compare, artifact, shape))
    require_one_output(graph)
    require_one_output(model)
    opened = open_batches(data, "calibration", shape, log=log)
    assert opened is not None
    chosen = first_samples(opened, limit)
    return diagnose_graphs(
        graph,
        folded(model, artifact.manifest.get("pipeline") or ""),
        model,
        chosen,
        window,
        seed=seed,
        progress=progress,
        total=size_of(chosen),
    )


class _RealNetwork:
    """Keeps the last spiking graph of real numbers; called after each pass, as is `then`."""

    def __init__(self, then: AfterPass | None) -> None:
        self.graph: Graph | None = None
        self._then = then

    def __call__(self, number: int, name: str, graph: Graph) -> None:
        """Keep the graph that a pass gave, if it is spiking and real-valued."""
        if graph.stage is Stage.SNN and not graph.quantized:
            self.graph = graph
        if self._then is not None:
            self._then(number, name, graph)


def _check_limit(limit: int) -> None:
    if limit < 1:
        raise UsageError(f"--limit {limit}: at least one sample is needed", hint="e.g. --limit 128")
