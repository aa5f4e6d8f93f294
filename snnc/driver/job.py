"""Compile: load, normalise, run the pipeline, check, legalise, lower, write."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from snnc.artifact import open_artifact, write
from snnc.driver.inputs import Data, data_info, open_batches
from snnc.driver.models import ModelSource, load_model, require_window
from snnc.driver.observing import RealThresholds, observed
from snnc.driver.reporting import compile_report, window_of
from snnc.driver.synthetic import stand_in, synthetic_info
from snnc.errors import UnsupportedError, UsageError
from snnc.ir import Graph, Stage
from snnc.ir.text import to_text
from snnc.pipeline import Pipeline, PipelineResult, format_spec, parse_one
from snnc.plugins import BACKENDS, PASSES, RECIPES, Registry
from snnc.target import Backend, Diagnostic, Program
from snnc.transform import Observer, PassContext, Progress, TargetInfo, silent

if TYPE_CHECKING:
    from torch import nn

DEFAULT_RECIPE = "convert"
DEVICES = ("cpu", "cuda")


@dataclass(frozen=True, kw_only=True)
class Job:
    """Everything a compilation is told; see `compile`."""

    source: ModelSource
    target: str = "cpu"
    recipe: str | None = None
    passes: str | None = None
    timesteps: int = 8
    calibration: Data | None = None
    train: Data | None = None
    validation: Data | None = None
    workdir: str | Path | None = None
    device: str = "cpu"
    seed: int = 0
    dump_ir: str | Path | None = None
    observe: bool = False
    progress: Progress = silent
    log: logging.Logger = field(default_factory=lambda: logging.getLogger("snnc"))

    def check(self) -> None:
        """Raise `UsageError` for values no compilation can have."""
        if self.timesteps < 1:
            raise UsageError(
                f"-T {self.timesteps}: a window has at least one time step", hint="e.g. -T 8"
            )
        if self.device not in DEVICES:
            raise UsageError(f"unknown device {self.device!r}", hint=" or ".join(DEVICES))
        if self.device == "cuda":
            import torch

            if not torch.cuda.is_available():
                raise UsageError("--device cuda: torch finds no CUDA device", hint="--device cpu")
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed}: a seed is not negative")

    def backend(self) -> Backend:
        """The target. Raises `SpecError`."""
        return parse_one(self.target, Registry(BACKENDS))

    def pipeline(self) -> Pipeline:
        """The passes to run. Raises `SpecError`, or `UsageError` when both ways are given."""
        if self.passes is not None and self.recipe is not None:
            raise UsageError("--recipe and --passes exclude each other", hint="give one of them")
        text = self.passes
        if text is None:
            text = parse_one(self.recipe or DEFAULT_RECIPE, Registry(RECIPES)).pipeline()
        return Pipeline.from_text(cast(str, text), Registry(PASSES))

    def graph(self) -> Graph:
        """The model, normalised, knowing its window."""
        graph = load_model(self.source)
        require_window(graph, self.timesteps)
        graph.meta["timesteps"] = self.timesteps
        return graph

    def context(self, graph: Graph, backend: Backend | None = None) -> PassContext:
        """What passes may know; opens the data. Raises `DataError`."""
        shape = graph.type_of(graph.input).shape
        known = backend if hasattr(backend, "limits") else None
        return PassContext(
            rng=np.random.default_rng(self.seed),
            timesteps=self.timesteps,
            calibration=open_batches(self.calibration, "calibration", shape, log=self.log),
            train=open_batches(self.train, "train", shape, log=self.log),
            validation=open_batches(self.validation, "validation", shape, log=self.log),
            device=self.device,
            workdir=None if self.workdir is None else Path(self.workdir),
            target=cast(TargetInfo | None, known),
            log=self.log,
            progress=self.progress,
        )

    def observer(self) -> Observer | None:
        """Writes `NN-name.snnc` and `.txt` after every pass, when asked to."""
        if self.dump_ir is None:
            return None
        folder = Path(self.dump_ir)

        def dump(number: int, name: str, graph: Graph) -> None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                (folder / f"{number:02}-{name}.txt").write_text(to_text(graph), encoding="utf-8")
            except OSError as error:
                reason = error.strerror or error
                raise UsageError(f"--dump-ir: cannot write {folder}: {reason}") from None
            write(folder / f"{number:02}-{name}.snnc", graph)

        return dump


@dataclass(frozen=True)
class Compiled:
    """A compiled network.

    Attributes:
        graph: the `snn` graph, before legalisation.
        artifact: the file, or None if it was not written.
        report: JSON-able, keys as in docs/report.md.
        backend: what it is compiled for.
        content: what an artifact of it holds, as `snnc.artifact.write` takes it.
    """

    graph: Graph
    artifact: Path | None
    report: Mapping[str, Any]
    backend: Backend = field(repr=False)
    content: Mapping[str, Any] = field(repr=False)

    def save(self, path: str | Path) -> Path:
        """Write the artifact, atomically; its path."""
        write(path, self.graph, **self.content)
        return Path(path)

    @cached_property
    def program(self) -> Program:
        """The network, ready to run."""
        if self.artifact is not None:
            return self.backend.load(open_artifact(self.artifact))
        with tempfile.TemporaryDirectory() as folder:
            return self.backend.load(open_artifact(self.save(Path(folder) / "program.snnc")))


def compile(
    model: str | Path | Graph | nn.Module,
    *,
    output: str | Path | None = None,
    target: str = "cpu",
    recipe: str | None = None,
    passes: str | None = None,
    timesteps: int = 8,
    calibration: Data | None = None,
    train: Data | None = None,
    validation: Data | None = None,
    weights: str | Path | None = None,
    allow: Sequence[str] = (),
    input_shape: tuple[int, ...] | None = None,
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
    workdir: str | Path | None = None,
    device: str = "cpu",
    seed: int = 0,
    dump_ir: str | Path | None = None,
    progress: Progress = silent,
    log: logging.Logger | None = None,
) -> Compiled:
    """Compile a model to a spiking network for a target.

    Args:
        model: `net.py:factory`, a file, a graph or a torch module.
        output: the `.snnc` file to write, or None. The same call writes the same bytes.
        target: e.g. `cpu`, with options in braces.
        recipe: a named pipeline with options; None for the default. `passes` gives the pipeline
            itself instead.
        timesteps: the window T, the longest where a pass chooses one.
        calibration, train, validation: data, as text (`digits#train`), array or batches. Without
            calibration data thresholds are guessed from synthetic inputs, with a warning.
        weights, allow, input_shape, mean, std: see `ModelSource`.
        workdir: where long passes keep checkpoints.
        device: "cpu" or "cuda", for passes.
        seed: of everything random.
        dump_ir: a folder for the graph after every pass.

    Raises:
        SnncError: its message says what is wrong, where, and its hint what to do.
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
        device=device,
        seed=seed,
        dump_ir=dump_ir,
        progress=progress,
        log=log or logging.getLogger("snnc"),
    )
    return run(job, output)


def run(job: Job, output: str | Path | None = None) -> Compiled:
    """Compile as `job` says; see `compile`."""
    seconds: dict[str, float] = {}
    job.check()
    pipeline, backend = job.pipeline(), job.backend()
    _check_output(output)
    with _timed(seconds, "load"):
        graph = job.graph()
        ctx = job.context(graph, backend)
    with _timed(seconds, "synthesize"):
        ctx, synthetic = stand_in(pipeline, graph, ctx, job.seed)
    pipeline.check(graph.stage, ctx)
    observer = RealThresholds(job.observer())
    observer(0, "model", graph)
    with _timed(seconds, "passes"):
        result = pipeline.run(graph, ctx, observer=observer)
    with _timed(seconds, "lower"):
        window = window_of(result.graph, job.timesteps)
        files = lower(result.graph, backend, replace(ctx, ann=result.ann, timesteps=window))
    legalize = backend.legalize(result.graph)
    content = _content(job, pipeline, backend, ctx, files, legalize)
    content["info"].update(synthetic_info(synthetic))
    content["info"].update(observer.info(result.graph))
    compiled = Compiled(
        graph=result.graph,
        artifact=None if output is None else Path(output),
        report=compile_report(job, result, content, output, seconds),
        backend=backend,
        content=content,
    )
    if output is not None:
        compiled.save(output)
    return _observed(job, compiled, result, ctx, observer) if job.observe else compiled


def _observed(
    job: Job,
    compiled: Compiled,
    result: PipelineResult,
    ctx: PassContext,
    thresholds: RealThresholds,
) -> Compiled:
    """The same, its report with what the program does on the calibration data, if there is any."""
    if ctx.calibration is None:
        return compiled
    spent: dict[str, float] = {}
    with _timed(spent, "observe"):
        found = observed(
            compiled.program,
            result.graph,
            ctx.calibration,
            "calibration" if compiled.report["calibrated"] else "synthetic",
            timesteps=window_of(result.graph, job.timesteps),
            ann=result.ann,
            values=thresholds.values,
            seed=job.seed,
            progress=job.progress,
        )
    seconds = {**compiled.report["seconds"], **spent}
    report = {**compiled.report, "seconds": seconds, "observed": found}
    return replace(compiled, report=report)


def optimize(job: Job) -> PipelineResult:
    """Run the passes of a job on its graph and stop there; the target plays no part."""
    job.check()
    pipeline = job.pipeline()
    graph = load_model(job.source)
    return pipeline.run(graph, job.context(graph), observer=job.observer())


def lower(graph: Graph, backend: Backend, ctx: PassContext) -> dict[str, bytes]:
    """The target's files for a graph. Raises `UnsupportedError` listing every problem."""
    require_supported(graph, backend)
    legalize = backend.legalize(graph)
    if legalize:
        ctx.log.info("the target %s runs its own copy of the network: %s", backend.name, legalize)
    legal = Pipeline.from_text(legalize, Registry(PASSES)).run(graph, ctx).graph
    return backend.lower(legal, ctx)


def require_supported(graph: Graph, backend: Backend) -> None:
    """Raise `UsageError` for a graph that is not spiking, `UnsupportedError` for the target's."""
    if graph.stage is not Stage.SNN:
        raise UsageError(
            f"the pipeline ends with a graph of stage {graph.stage}; targets take snn",
            hint="add the passes that make it spike, e.g. activations-to-neurons",
        )
    found = backend.check(graph)
    if found:
        raise unsupported(backend.name, found)


def unsupported(target: str, found: Sequence[Diagnostic]) -> UnsupportedError:
    """One error for all diagnostics."""
    if len(found) == 1:
        return UnsupportedError(f"target {target} cannot take this network: {found[0]}")
    listed = "".join(f"\n  {diagnostic}" for diagnostic in found)
    return UnsupportedError(
        f"target {target} cannot take this network, for {len(found)} reasons:{listed}"
    )


def _check_output(output: str | Path | None) -> None:
    """Raise `UsageError` now for what would fail after minutes of work."""
    if output is None:
        return
    path = Path(output)
    if path.is_dir():
        raise UsageError(f"-o {path} is a folder", hint=f"-o {path / 'net.snnc'}")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"-o {path}: there is no folder {path.absolute().parent}")


def _content(
    job: Job,
    pipeline: Pipeline,
    backend: Backend,
    ctx: PassContext,
    files: Mapping[str, bytes],
    legalize: str,
) -> dict[str, Any]:
    """What the artifact holds besides its graph: nothing that differs between two equal runs."""
    source = job.source
    return {
        "target": format_spec(backend),
        "pipeline": str(pipeline),
        "files": dict(files),
        "distributions": _distributions(pipeline, backend),
        "info": {
            "recipe": None if job.passes is not None else job.recipe or DEFAULT_RECIPE,
            "legalize": legalize,
            "seed": job.seed,
            "mean": list(source.mean),
            "std": list(source.std),
            "calibrated": ctx.calibration is not None,
            "calibration": data_info(ctx.calibration),
        },
    }


def _distributions(pipeline: Pipeline, backend: Backend) -> dict[str, str]:
    """The installed distributions whose plugins took part, with their versions."""
    passes, backends = Registry(PASSES), Registry(BACKENDS)
    owners = [passes.owner(each.name) for each in pipeline.passes if each.name in passes]
    if backend.name in backends:
        owners.append(backends.owner(backend.name))
    return {owner.distribution: owner.version for owner in sorted(set(owners))}


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    start: float = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - start
