"""Measure an artifact on data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from snnc.analysis import Ann, Evaluation
from snnc.analysis import evaluate as evaluate_program
from snnc.analysis.diagnosis import Finding
from snnc.artifact import ArtifactFile, open_artifact
from snnc.data import Dataset
from snnc.data.labels import ClassNumbers
from snnc.driver.chips import Variation, chips, one_figure, own_backend
from snnc.driver.costing import evaluated, measured_cost
from snnc.driver.inputs import open_batches
from snnc.driver.job import Reporting
from snnc.driver.keywords import keywords_of
from snnc.driver.layer_figures import layer_figures
from snnc.driver.model_warnings import (
    WatchedInputs,
    about_compared,
    about_window,
    in_report,
    log_findings,
)
from snnc.driver.models import (
    ModelSource,
    eager,
    load_model,
)
from snnc.driver.programs import open_program, require_one_output
from snnc.driver.reporting import details
from snnc.driver.running import window_to_run
from snnc.driver.threads import torch_threads
from snnc.errors import UsageError
from snnc.ir import Graph, Stage
from snnc.options import MEANING, Data, EvaluationOptions, described
from snnc.output_function import applied
from snnc.pipeline import Pipeline
from snnc.plugins import PASSES, Registry
from snnc.report import REPORT_VERSION, latency_timesteps
from snnc.target import Program, figures_of
from snnc.transform import Batches, PassContext, size_of


@dataclass(frozen=True)
class Measured:
    """An evaluation with the latency of its window; `report()` is JSON-able.

    Attributes:
        details: further keys of the report: how the artifact was made, what it does.
        warnings: about the data.
        cost: of an inference on the target's own hardware, or None.
    """

    evaluation: Evaluation
    latency_timesteps: int
    target: str
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    warnings: tuple[Finding, ...] = ()
    cost: Mapping[str, Any] | None = None

    def report(self) -> dict[str, Any]:
        """Keys as in docs/report.md."""
        figures = self.evaluation.report()
        latency = {"latency_timesteps": self.latency_timesteps}
        version = {"kind": "eval", "report_version": REPORT_VERSION}
        if "early_exit" in figures:
            waited = self.latency_timesteps - self.evaluation.windows[-1].timesteps
            exits = figures["early_exit"]
            mean = {"mean_latency_timesteps": exits["mean_timesteps"] + waited}
            figures["early_exit"] = {**exits, **mean}
        warnings = {"warnings": in_report(self.warnings)}
        cost = {} if self.cost is None else {"cost": self.cost}
        figures |= {**latency, **cost, **warnings}
        return {**version, "target": self.target, **figures, **self.details}


def _without_foreign_energy(evaluation: Evaluation, artifact: ArtifactFile) -> Evaluation:
    """Without the estimate of energy, which is of a processor, for a target of own hardware."""
    target = artifact.manifest["target"] or ""
    own = figures_of(artifact.names(), artifact.read, target)
    return evaluation if own is None else replace(evaluation, energy=None)


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(Reporting, EvaluationOptions):
    """The arguments of `evaluate` behind the artifact."""

    data: Data = field(kw_only=False, metadata={MEANING: "what to run it on."})
    compare: ModelSource | None = described(
        None,
        "the model it was made from, to compare with; its shape, mean and std default to the "
        "artifact's.",
    )
    measure_layers: bool = described(
        False,
        "whether the report gets figures of every layer on the first samples, under `observed`.",
    )


@keywords_of(EvaluateOptions)
def evaluate(path: str | Path, options: EvaluateOptions) -> Measured:
    """Run an artifact on data and measure it.

    Raises:
        UsageError, DataError, ArtifactError, ModelError.
    """
    with torch_threads(options.threads):
        return _evaluate(path, options)


def _evaluate(path: str | Path, options: EvaluateOptions) -> Measured:
    artifact = open_artifact(path)
    graph = artifact.graph()
    program = open_program(artifact, threads=options.threads)
    window = _longest_window(options, program, graph)
    backend = own_backend(artifact, options.threads)
    programs = [program] if options.chips is None else chips(artifact, backend, options.chips)
    variation = Variation.of(artifact, backend, options.vary, options.chips)
    batches = _judged_batches(options, graph)
    compared = _Compared.of(options.compare, artifact, graph)
    findings = (*compared.findings, *about_window(artifact, window))
    log_findings(findings, options.log)
    known: dict[str, Any] = {
        "timesteps": window,
        "seed": options.seed,
        "progress": options.progress,
    }
    judged = partial(
        evaluate_program, graph=graph, ann=compared.ann, total=size_of(batches), **known
    )
    inputs = WatchedInputs(artifact, graph.input)
    evaluation = one_figure(
        (judged(p, data=inputs.watch(batches), sweep=options.sweep) for p in programs),
        options.chips,
    )
    others = variation.figures(partial(judged, data=batches))
    measured = Measured(
        _without_foreign_energy(evaluation, artifact),
        latency_timesteps(graph, window),
        artifact.manifest["target"],
        details=others,
        warnings=(*findings, *inputs.warn(options.log)),
        cost=measured_cost(artifact, graph, evaluated(evaluation)),
    )
    if not options.measure_layers:
        return measured
    known["ann"] = compared.graph
    figures = layer_figures(program, graph, batches, "evaluation", **known)
    layers = {**details(artifact, graph), "observed": figures}
    return replace(measured, details={**others, **layers})


def _longest_window(options: EvaluateOptions, program: Program, graph: Graph) -> int:
    """The window to run, of which those of `sweep` are prefixes. Raises `UsageError`."""
    sweep = options.sweep
    if sweep and options.timesteps is not None:
        raise UsageError("-T and --sweep exclude each other", hint="give one of them")
    window = window_to_run(max(sweep) if sweep else options.timesteps, program, graph, options.log)
    if any(t < 1 for t in sweep):
        raise UsageError(f"--sweep {min(sweep)}: a window has at least one time step")
    return window


def _judged_batches(options: EvaluateOptions, graph: Graph) -> Batches:
    """The data, with labels as the network's class numbers. Raises `DataError`, `UsageError`."""
    opened = open_batches(
        options.data,
        "data",
        graph.type_of(graph.input).shape,
        batch_size=options.batch_size,
        class_numbers=ClassNumbers(graph.type_of(graph.outputs[0]).shape, judged=True),
        log=options.log,
    )
    return limited(opened, options.limit)


def limited(batches: Batches | None, limit: int | None) -> Batches:
    """The first `limit` samples; all for None. Raises `UsageError` where that cannot be told."""
    assert batches is not None
    if limit is None:
        return batches
    if isinstance(batches, Dataset):
        return batches.limit(limit)
    raise UsageError("a limit needs data that tells its length", hint="give the text of the data")


@dataclass(frozen=True)
class _Compared:
    """The model that an artifact is compared with.

    Attributes:
        ann: the user's own module, beside its graph.
        graph: the model after the passes of stage `ann`.
        findings: what says that the artifact was not made from it.
    """

    ann: Ann | None = None
    graph: Graph | None = None
    findings: tuple[Finding, ...] = ()

    @classmethod
    def of(cls, source: ModelSource | None, artifact: ArtifactFile, snn: Graph) -> _Compared:
        """The model that `source` names; nothing for None. Raises `UsageError`, `ModelError`."""
        if source is None:
            return cls()
        source = as_compiled(source, artifact, snn.type_of(snn.input).shape)
        model = load_model(source)
        graph = folded(model, artifact.manifest.get("pipeline") or "")
        require_one_output(graph)
        (output,) = snn.outputs
        ann = Ann(eager(source, snn.type_of(output).shape), _interpreted(graph))
        return cls(ann, graph, about_compared(model, graph, snn))


def as_compiled(source: ModelSource, artifact: ArtifactFile, shape: tuple[int, ...]) -> ModelSource:
    """`source` with the shape, mean and std of the artifact where it has none of its own.

    Raises `UsageError` for another shape.
    """
    info = artifact.manifest.get("info", {})
    source = replace(
        source,
        input_shape=source.input_shape or shape,
        mean=source.mean or tuple(info.get("mean") or ()),
        std=source.std or tuple(info.get("std") or ()),
    )
    if tuple(source.input_shape or ()) != tuple(shape):
        raise UsageError(
            f"--input-shape {source.input_shape}: the artifact takes {tuple(shape)}",
            hint="leave it out: the artifact knows",
        )
    return source


def folded(graph: Graph, pipeline: str) -> Graph:
    """The graph after the leading passes of the pipeline that keep it an ANN and need no data."""
    leading: list[Any] = []
    for each in Pipeline.from_text(pipeline, Registry(PASSES)).passes:
        if {each.takes, each.gives} != {Stage.ANN} or each.requirements() - {"ann"}:
            break
        leading.append(each)
    return Pipeline(leading).run(graph, PassContext()).graph


def _interpreted(graph: Graph) -> Any:
    from snnc.training import FastInterpreter

    interpreter = FastInterpreter(graph)
    output = graph.outputs[0]
    return lambda x: applied(graph.meta, interpreter.ann(x)[output].numpy())
