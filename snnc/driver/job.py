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

from snnc.analysis import SameFunction
from snnc.artifact import open_artifact, write
from snnc.driver.inputs import Data, data_info, open_batches, open_training
from snnc.driver.lowering import lower
from snnc.driver.models import ModelSource, load_model, require_window
from snnc.driver.observing import RealThresholds, observed
from snnc.driver.reporting import compile_report, window_of
from snnc.driver.synthetic import stand_in, synthetic_info
from snnc.errors import UsageError
from snnc.ir import Graph
from snnc.ir.text import to_text
from snnc.pipeline import Pipeline, PipelineResult, format_spec, parse_one
from snnc.plugins import BACKENDS, PASSES, RECIPES, Registry
from snnc.target import Backend, Program
from snnc.torchrun import joined
from snnc.transform import Observer, PassContext, Progress, Ranks, TargetInfo, silent

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
    validation: Data | float | None = None
    workdir: str | Path | None = None
    resume: bool = False
    device: str = "cpu"
    seed: int = 0
    dump_ir: str | Path | None = None
    observe: bool = False
    progress: Progress = silent
    log: logging.Logger = field(default_factory=lambda: logging.getLogger("snnc"))
    ranks: Ranks = field(default_factory=Ranks)

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
        if self.workdir is not None and Path(self.workdir).is_file():
            raise UsageError(f"--workdir {self.workdir} is a file", hint="a folder, or a new name")
        if self.resume and self.workdir is None:
            raise UsageError(
                "--resume goes on from the checkpoints of an earlier run, and needs their folder",
                hint="--workdir DIR, as in that run",
            )

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
        train, validation = open_training(
            self.train, self.validation, shape, seed=self.seed, log=self.log
        )
        return PassContext(
            rng=np.random.default_rng(self.seed),
            timesteps=self.timesteps,
            calibration=open_batches(self.calibration, "calibration", shape, log=self.log),
            train=train,
            validation=validation,
            device=self.device,
            workdir=None if self.workdir is None else Path(self.workdir),
            resume=self.resume,
            ranks=self.ranks,
            target=cast(TargetInfo | None, known),
            log=self.log,
            progress=self.progress,
        )

    def same(self) -> SameFunction:
        """Checks the passes that preserve the function."""
        return SameFunction(seed=self.seed, timesteps=self.timesteps, log=self.log)

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


@contextmanager
def together(job: Job) -> Iterator[Job]:
    """`job`, checked, as this one of torchrun's processes does it: only rank 0 logs and writes."""
    job.check()
    with joined(job.device) as ranks:
        if ranks.rank:
            mute = logging.Logger("snnc", logging.CRITICAL + 1)
            job = replace(job, dump_ir=None, progress=silent, log=mute)
        if job.resume and not Path(job.workdir or "").is_dir():
            job.log.info("--resume: there is no %s yet, this is the first run", job.workdir)
        yield replace(job, ranks=ranks)


@dataclass(frozen=True)
class Compiled:
    """A compiled network.

    Attributes:
        graph: the `snn` graph, before legalisation.
        artifact: the file, or None if this process did not write it.
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
            calibration data thresholds are guessed from synthetic inputs, with a warning. A number
            as validation, or its text, is the fraction of the training data to take for it.
        weights, allow, input_shape, mean, std: see `ModelSource`.
        workdir: where passes that learn keep checkpoints.
        resume: go on from the checkpoints in `workdir`, if there are any.
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
        resume=resume,
        device=device,
        seed=seed,
        dump_ir=dump_ir,
        progress=progress,
        log=log or logging.getLogger("snnc"),
    )
    return run(job, output)


def run(job: Job, output: str | Path | None = None) -> Compiled:
    """Compile as `job` says; see `compile`."""
    with together(job) as job:
        return _run(job, output)


def _run(job: Job, output: str | Path | None) -> Compiled:
    seconds: dict[str, float] = {}
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
        result = pipeline.run(graph, ctx, observer=observer, same=job.same())
    with _timed(seconds, "lower"):
        window = window_of(result.graph, job.timesteps)
        files = lower(result.graph, backend, replace(ctx, ann=result.ann, timesteps=window))
    legalize = backend.legalize(result.graph)
    content = _content(job, pipeline, backend, ctx, files, legalize)
    content["info"].update(synthetic_info(synthetic))
    content["info"].update(observer.info(result.graph))
    compiled = Compiled(
        graph=result.graph,
        artifact=None if output is None or job.ranks.rank else Path(output),
        report=compile_report(job, result, content, output, seconds),
        backend=backend,
        content=content,
    )
    if compiled.artifact is not None:
        compiled.save(compiled.artifact)
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


def optimize(job: Job, output: str | Path | None = None) -> PipelineResult:
    """Run the passes of a job on its graph, save what they give, and stop there.

    The target plays no part.
    """
    with together(job) as job:
        pipeline = job.pipeline()
        _check_output(output)
        graph = load_model(job.source)
        ctx = job.context(graph)
        result = pipeline.run(graph, ctx, observer=job.observer(), same=job.same())
        if output is not None and job.ranks.rank == 0:
            write(output, result.graph, pipeline=str(pipeline))
        return result


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
