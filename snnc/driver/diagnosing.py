"""Diagnose: convert a model, or open a compiled one, and compare it with its ANN."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from snnc.analysis.diagnosis import Diagnosis, diagnose_graphs
from snnc.artifact import open_artifact
from snnc.data import first_samples, held_out
from snnc.driver.artifacts import as_compiled, folded
from snnc.driver.inputs import open_batches
from snnc.driver.job import Job, JobOptions, distributed_session
from snnc.driver.keywords import keywords_of
from snnc.driver.model_warnings import WatchedInputs
from snnc.driver.models import load_model, require_window
from snnc.driver.programs import require_one_output
from snnc.driver.reporting import window_of
from snnc.errors import UsageError
from snnc.ir import Graph, Stage
from snnc.options import DEFAULT_WINDOW, MEANING, Data, described
from snnc.pipeline import Pipeline
from snnc.transform import AfterPass, Batches, size_of

if TYPE_CHECKING:
    from torch import nn

SAMPLES = 128
"""Enough samples to tell all known faults apart."""


@dataclass(frozen=True, kw_only=True)
class DiagnoseOptions(JobOptions):
    """The keyword arguments of `diagnose`."""

    calibration: Data = field(
        metadata={
            MEANING: "data for the passes, and to compare: the last `limit` samples, at most a "
            "quarter, which the passes do not see; of few (256) the first, which they do."
        }
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
    _check_samples(job.calibration, limit)
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
    assert ctx.calibration is not None
    fitted, compared = held_out(ctx.calibration, limit)
    ctx = replace(ctx, calibration=fitted)
    real = _RealNetwork(job.dump())
    real(0, "model", model)
    result = pipeline.run(model, ctx, after_pass=real)
    if result.graph.stage is not Stage.SNN or result.ann is None:
        raise UsageError(
            f"the pipeline ends with a graph of stage {result.graph.stage}; nothing spikes",
            hint="add the passes that make it spike, e.g. activations-to-neurons",
        )
    snn = real.graph or result.graph
    window = window_of(result.graph, job.timesteps)
    rounded = None if snn is result.graph else result.graph
    ran = [step.name for step in result.steps]
    return _compared(job, snn, result.ann, model, compared, window, ran, rounded)


def diagnose_artifact(
    path: str | Path,
    compare: str | Path | Graph | nn.Module,
    known: JobOptions,
    *,
    timesteps: int | None = None,
    limit: int = SAMPLES,
) -> Diagnosis:
    """Diagnose a compiled network as it stands in its file.

    Integer currents are put into values of the ANN by the units that the graph keeps. The error of
    rounding is not separated from the others.

    Args:
        compare: the model it was made from.
        known: what names the model besides `compare`, the calibration data and the seed. Shape,
            mean and std default to the artifact's.
        timesteps: the window; None for the artifact's own.

    Raises:
        UsageError, DataError, ArtifactError, ModelError.
    """
    _check_samples(known.calibration, limit)
    artifact = open_artifact(path)
    graph = artifact.graph()
    window = _stored_window(path, graph, timesteps)
    shape = graph.type_of(graph.input).shape
    model = load_model(as_compiled(known.source(compare), artifact, shape))
    require_one_output(graph)
    require_one_output(model)
    opened = open_batches(known.calibration, "calibration", shape, log=known.log)
    assert opened is not None
    pipeline = artifact.manifest.get("pipeline") or ""
    ann = folded(model, pipeline)
    chosen = first_samples(opened, limit)
    ran = [each.name for each in Pipeline.from_text(pipeline).passes]
    diagnosis = _compared(known, graph, ann, model, chosen, window, ran)
    inputs = WatchedInputs(artifact, graph.input)
    return replace(diagnosis, findings=(*inputs.findings_of(chosen), *diagnosis.findings))


def _compared(
    job: Job | JobOptions,
    snn: Graph,
    ann: Graph,
    model: Graph,
    data: Batches,
    window: int,
    passes: Sequence[str],
    rounded: Graph | None = None,
) -> Diagnosis:
    """`diagnose_graphs` with the seed and the progress of `job`."""
    return diagnose_graphs(
        snn,
        ann,
        model,
        data,
        window,
        rounded=rounded,
        passes=passes,
        seed=job.seed,
        progress=job.progress,
        total=size_of(data),
    )


def _stored_window(path: str | Path, graph: Graph, timesteps: int | None) -> int:
    """The window to diagnose a stored graph in; its own by default. Raises `UsageError`."""
    if graph.stage is not Stage.SNN:
        raise UsageError(
            f"{path} holds a graph of stage {graph.stage}; --compare is for spiking networks",
            hint="leave out --compare: a model is diagnosed itself",
        )
    window = window_of(graph, DEFAULT_WINDOW) if timesteps is None else timesteps
    if window < 1:
        raise UsageError(f"-T {window}: a window has at least one time step", hint="e.g. -T 8")
    require_window(graph, window)
    return window


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


def _check_samples(data: Data | None, limit: int) -> None:
    if limit < 1:
        raise UsageError(f"--limit {limit}: at least one sample is needed", hint="e.g. --limit 128")
    if data is None:
        raise UsageError(
            "diagnose needs samples like those the network will see",
            hint="--calibration DATA (a few hundred unlabeled samples)",
        )
