"""Diagnose: convert a model, or open what was converted, and hold it against its ANN."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from snnc.analysis.diagnosis import Diagnosis, diagnose_graphs
from snnc.artifact import open_artifact
from snnc.driver.artifacts import as_compiled, folded
from snnc.driver.inputs import Data, first_samples, open_batches, size_of
from snnc.driver.job import Job, together
from snnc.driver.models import ModelSource, load_model, require_window
from snnc.driver.observing import values_of
from snnc.driver.reporting import window_of
from snnc.errors import UsageError
from snnc.ir import Graph, Stage
from snnc.transform import Progress, silent

if TYPE_CHECKING:
    from torch import nn

SAMPLES = 128
"""So many samples tell every fault apart that we know of; more only cost time."""
DEFAULT_WINDOW = 8
NEEDS_DATA = "diagnose needs samples like those the network will see"


def diagnose(
    model: str | Path | Graph | nn.Module,
    *,
    calibration: Data,
    target: str = "cpu",
    recipe: str | None = None,
    passes: str | None = None,
    timesteps: int = 8,
    train: Data | None = None,
    validation: Data | float | None = None,
    weights: str | Path | None = None,
    allow: Sequence[str] = (),
    input_shape: tuple[int, ...] | None = None,
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
    workdir: str | Path | None = None,
    resume: bool = False,
    device: str = "cpu",
    seed: int = 0,
    limit: int = SAMPLES,
    progress: Progress = silent,
    log: logging.Logger | None = None,
) -> Diagnosis:
    """Convert a model and say where its spiking form departs from it, and why.

    Args:
        calibration: for the passes, all of it; its first `limit` samples are looked at.

    The other arguments are those of `compile`. Raises `SnncError`.
    """
    source = ModelSource(
        model=model,
        weights=weights,
        input_shape=input_shape,
        allow=tuple(allow),
        mean=tuple(mean),
        std=tuple(std),
    )
    job = Job(
        source=source,
        target=target,
        recipe=recipe,
        passes=passes,
        timesteps=timesteps,
        calibration=calibration,
        train=train,
        validation=validation,
        workdir=workdir,
        resume=resume,
        device=device,
        seed=seed,
        progress=progress,
        log=log or logging.getLogger("snnc"),
    )
    return diagnose_job(job, limit)


def diagnose_job(job: Job, limit: int = SAMPLES) -> Diagnosis:
    """Run the passes of a job, and diagnose what they gave; see `diagnose`."""
    with together(job) as job:
        return _diagnose(job, limit)


def _diagnose(job: Job, limit: int) -> Diagnosis:
    _check_limit(limit)
    if job.calibration is None:
        raise UsageError(NEEDS_DATA, hint="--calibration DATA (a few hundred unlabeled samples)")
    pipeline, backend = job.pipeline(), job.backend()
    model = job.graph()
    if model.stage is not Stage.ANN:
        raise UsageError(
            f"{job.source} is a spiking network already; its ANN is needed to compare with",
            hint="--compare net.py:factory --weights FILE",
        )
    ctx = job.context(model, backend)
    kept = _RealNetwork()
    result = pipeline.run(model, ctx, observer=kept)
    if result.graph.stage is not Stage.SNN or result.ann is None:
        raise UsageError(
            f"the pipeline ends with a graph of stage {result.graph.stage}; nothing spikes",
            hint="add the passes that make it spike, e.g. activations-to-neurons",
        )
    snn = kept.graph or result.graph
    assert ctx.calibration is not None
    data = first_samples(ctx.calibration, limit)
    return diagnose_graphs(
        snn,
        result.ann,
        model,
        data,
        window_of(result.graph, job.timesteps),
        rounded=result.graph if _has_integers(result.graph) and snn is not result.graph else None,
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

    Currents of integers are told in units of the ANN by the thresholds that the file keeps; what
    rounding costs is not told apart.

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
            hint=f"snnc diagnose {path} --calibration DATA",
        )
    window = window_of(graph, DEFAULT_WINDOW) if timesteps is None else timesteps
    if window < 1:
        raise UsageError(f"-T {window}: a window has at least one time step", hint="e.g. -T 8")
    require_window(graph, window)
    shape = graph.type_of(graph.input).shape
    model = load_model(as_compiled(compare, artifact, shape))
    opened = open_batches(data, "calibration", shape, log=log)
    assert opened is not None
    chosen = first_samples(opened, limit)
    return diagnose_graphs(
        graph,
        folded(model, artifact.manifest.get("pipeline") or ""),
        model,
        chosen,
        window,
        spike_values=values_of(artifact, graph),
        seed=seed,
        progress=progress,
        total=size_of(chosen),
    )


class _RealNetwork:
    """An observer that keeps the last spiking graph of real numbers."""

    def __init__(self) -> None:
        self.graph: Graph | None = None

    def __call__(self, number: int, name: str, graph: Graph) -> None:
        """Look at the graph after a pass."""
        if graph.stage is Stage.SNN and not _has_integers(graph):
            self.graph = graph


def _has_integers(graph: Graph) -> bool:
    return any(np.issubdtype(array.dtype, np.integer) for array in graph.params.values())


def _check_limit(limit: int) -> None:
    if limit < 1:
        raise UsageError(f"--limit {limit}: at least one sample is needed", hint="e.g. --limit 128")
