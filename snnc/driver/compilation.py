"""Compile: load, normalise, run the pipeline, check, legalise, lower, write, report."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnc.artifact import ArtifactContent, write, write_content
from snnc.driver.inputs import data_info
from snnc.driver.job import DEFAULT_RECIPE, Job, JobOptions, distributed_session
from snnc.driver.keywords import keywords_of
from snnc.driver.layer_figures import layer_figures
from snnc.driver.lowering import Lowered, lower
from snnc.driver.model_warnings import INPUT_RANGE, calibrated_on, warn_of_model
from snnc.driver.models import load_model, source_info
from snnc.driver.own_places import require_own_places
from snnc.driver.reporting import compile_report, window_of
from snnc.driver.rounding import BeforeRounding, rounding
from snnc.driver.sampling import inputs_to_store, samples_of
from snnc.driver.synthetic import synthetic_info, with_synthetic_calibration
from snnc.driver.threads import with_threads
from snnc.ir import Graph, Stage
from snnc.options import Data, described
from snnc.output_place import require_new_file
from snnc.pipeline import Pipeline, PipelineResult, format_spec, nested_plugins
from snnc.plugins import BACKENDS, PASSES, Registry
from snnc.target import Backend, Program
from snnc.transform import PassContext
from snnc.writes import Writes

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Compiled:
    """A compiled network.

    Attributes:
        graph: the `snn` graph, before legalisation.
        artifact: the file, or None if this process did not write it.
        report: JSON-able, keys as in docs/report.md.
        backend: what it is compiled for.
        content: what an artifact of it holds.
    """

    graph: Graph
    artifact: Path | None
    report: Mapping[str, Any]
    backend: Backend = field(repr=False)
    content: ArtifactContent = field(repr=False)

    def __repr__(self) -> str:
        return (
            f"<Compiled: {self.content.target}, T={self.report['timesteps']}, "
            f"{self.report['neurons']} neurons, {self.report['parameters']} parameters, "
            f"file {self.artifact}>"
        )

    def save(self, path: str | Path) -> Path:
        """Write the artifact, atomically; its path."""
        write_content(path, self.content)
        return Path(path)

    @cached_property
    def program(self) -> Program:
        """The network, ready to run; loaded from memory."""
        return self.backend.load(self.content)


@dataclass(frozen=True, kw_only=True)
class CompileOptions(JobOptions):
    """The keyword arguments of `compile`."""

    output: str | Path | None = described(
        None, "the `.snnc` file to write, or None. The same call writes the same bytes."
    )
    sample: Data | int | None = described(
        None,
        "inputs to store in the artifact with what they give, for `verify_artifact`: how many of "
        "the calibration data, or data given like `calibration`; None for none.",
    )


@keywords_of(CompileOptions)
def compile(model: str | Path | Graph | nn.Module, options: CompileOptions) -> Compiled:
    """Compile a model to a spiking network for a target.

    Args:
        model: `net.py:factory`, a file, a graph or a torch module.

    Raises:
        SnncError: its message says what is wrong, where, and its hint what to do.
    """
    return run(options.job(model), options.output, options.sample)


def run(job: Job, output: str | Path | None = None, sample: Data | int | None = None) -> Compiled:
    """Compile as `job` says; see `compile`."""
    _check_output(output, {**job.files(), "--sample": sample})
    with distributed_session(job) as job:
        return _run(job, output, sample)


def _run(job: Job, output: str | Path | None, sample: Data | int | None) -> Compiled:
    seconds: dict[str, float] = {}
    job.pipeline()  # an error in its text is raised before the model is loaded
    backend = job.backend()
    with _timed(seconds, "load"):
        graph = job.graph()
        own, pipeline = _pipelines(job, backend, graph)
        ctx = job.context(graph, backend)
        checked = warn_of_model(graph, ctx, pipeline.passes)
    with _timed(seconds, "synthesize"):
        ctx, synthetic = with_synthetic_calibration(pipeline, graph, ctx, job.seed)
    pipeline.check(graph.stage, ctx)
    x = inputs_to_store(sample, graph, ctx.calibration, seed=job.seed, log=job.log)
    real = BeforeRounding(len(own.passes), pipeline != own, job.dump(), graph)
    with _timed(seconds, "passes"):
        result = pipeline.run(graph, ctx, after_pass=real, same=job.same())
    window = window_of(result.graph, job.timesteps)
    with _timed(seconds, "lower"):
        lowering = replace(ctx, ann=result.ann, timesteps=window)
        lowered = lower(result.graph, backend, lowering, job.same())
    content = ArtifactContent(
        network=result.graph,
        target=format_spec(backend),
        pipeline=str(pipeline),
        files=lowered.files,
        info=_info(job, graph, ctx, lowered) | synthetic_info(synthetic) | calibrated_on(checked),
        distributions=_distributions(pipeline, backend),
        samples=None if x is None else samples_of(result.graph, x, window, job.seed),
    )
    cost = rounding(real.graph, result.graph, ctx.calibration, window, job.seed)
    more = {"rounding": cost, "stored_samples": 0 if x is None else len(x)}
    compiled = Compiled(
        graph=result.graph,
        artifact=None if output is None or job.ranks.rank else Path(output),
        report={**compile_report(job, result, content, output, seconds, checked.findings), **more},
        backend=with_threads(backend, job.threads),
        content=content,
    )
    _write(compiled)
    return _with_layer_figures(job, compiled, result, ctx)


def _write(compiled: Compiled) -> None:
    """Write the artifact where it has a path."""
    if compiled.artifact is not None:
        compiled.save(compiled.artifact)


def _with_layer_figures(
    job: Job, compiled: Compiled, result: PipelineResult, ctx: PassContext
) -> Compiled:
    """`compiled`, with `observed` in its report if that is wanted and there are data for it."""
    if not job.measure_layers or ctx.calibration is None:
        return compiled
    spent: dict[str, float] = {}
    with _timed(spent, "observe"):
        figures = layer_figures(
            compiled.program,
            result.graph,
            ctx.calibration,
            "calibration" if compiled.report["calibrated"] else "synthetic",
            timesteps=window_of(result.graph, job.timesteps),
            ann=result.ann,
            seed=job.seed,
            progress=job.progress,
        )
    seconds = {**compiled.report["seconds"], **spent}
    report = {**compiled.report, "seconds": seconds, "observed": figures}
    return replace(compiled, report=report)


def optimize(job: Job, output: str | Path | None = None) -> PipelineResult:
    """Run the passes of a job on its graph and write the graph they give to `output`.

    The target is not used.
    """
    _check_output(output, job.files())
    with distributed_session(job) as job:
        job.pipeline()  # an error in its text is raised before the model is loaded
        graph = load_model(job.source)
        pipeline = job.pipeline(graph)
        graph.meta["timesteps"] = job.timesteps
        ctx = job.context(graph)
        result = pipeline.run(graph, ctx, after_pass=job.dump(), same=job.same())
        if output is not None and job.ranks.rank == 0:
            write(output, result.graph, pipeline=str(pipeline), info=_kept_info(job, ctx))
        return result


def _pipelines(job: Job, backend: Backend, graph: Graph) -> tuple[Pipeline, Pipeline]:
    """The user's own passes, and these with what the target needs after them, which is logged."""
    own, pipeline = job.pipeline(graph), job.pipeline_for(backend, graph)
    added = Pipeline(pipeline.passes[len(own.passes) :])
    if added.passes:
        job.log.info("the target %s runs integers only: %s is added", backend.name, added)
    return own, pipeline


def _check_output(output: str | Path | None, read: Mapping[str, object]) -> None:
    """Raise `UsageError` now for what would fail after minutes of work, or overwrite an input."""
    if output is not None:
        require_new_file("-o", output, "net.snnc")
        require_own_places({"-o": (output, Writes())}, read)


def _recipe(job: Job, model: Graph) -> str | None:
    """The recipe that was run on `model`; None for passes, and for a graph that spikes already."""
    if job.passes is not None or model.stage is Stage.SNN:
        return None
    return job.recipe or DEFAULT_RECIPE


def _info(job: Job, model: Graph, ctx: PassContext, lowered: Lowered) -> dict[str, Any]:
    """Facts for the manifest: nothing that differs between two equal runs."""
    return {
        "recipe": _recipe(job, model),
        "legalize": lowered.legalize,
        "seed": job.seed,
        **_kept_info(job, ctx),
    }


def _kept_info(job: Job, ctx: PassContext) -> dict[str, Any]:
    """Normalisation and calibration, those of the model's own file where the job has none."""
    mean, std = job.source.normalization
    before = source_info(job.source)
    if not mean and not std:
        mean, std = before.get("mean") or (), before.get("std") or ()
    return {
        "mean": list(mean),
        "std": list(std),
        "calibrated": ctx.calibration is not None or bool(before.get("calibrated")),
        "calibration": data_info(ctx.calibration) or before.get("calibration"),
        **{key: before[key] for key in (INPUT_RANGE,) if key in before},
    }


def _distributions(pipeline: Pipeline, backend: Backend) -> dict[str, str]:
    """The installed distributions whose plugins took part, with their versions."""
    used = [(PASSES, each.name) for each in pipeline.passes]
    used.append((BACKENDS, backend.name))
    for spec in (*pipeline.passes, backend):
        used += nested_plugins(spec)
    registries = {group: Registry(group) for group, _ in used}
    owners = {registries[group].owner(name) for group, name in used if name in registries[group]}
    return {owner.distribution: owner.version for owner in sorted(owners)}


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    start: float = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - start
