"""A job: a model with the options to compile it with, and the objects that the options name."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from snnc.analysis import SameFunction
from snnc.artifact import write
from snnc.data.labels import ClassNumbers
from snnc.driver.inputs import open_batches, open_training
from snnc.driver.models import (
    ModelSource,
    load_model_for,
    own_window,
    question_window,
    require_window,
)
from snnc.driver.own_places import require_own_folders
from snnc.driver.programs import require_one_output
from snnc.driver.threads import torch_threads
from snnc.errors import UsageError
from snnc.ir import Graph, Stage
from snnc.ir.text import to_text
from snnc.options import (
    DEFAULT_WINDOW,
    CompilationOptions,
    ConversionOptions,
    ModelOptions,
    RunOptions,
    described,
)
from snnc.pipeline import Pipeline, parse_one, parse_recipe
from snnc.plugins import BACKENDS, PASSES, RECIPES, Registry
from snnc.target import Backend, NamesFiles, quantizer_of
from snnc.torchrun import joined
from snnc.transform import AfterPass, PassContext, Progress, Ranks, TargetInfo, silent

if TYPE_CHECKING:
    from torch import nn

DEFAULT_RECIPE = "convert"
DEVICES = ("cpu", "cuda")


@dataclass(frozen=True, kw_only=True)
class Reporting:
    """Where progress and logs go."""

    progress: Progress = described(silent, "opens progress bars; none are shown by default.")
    log: logging.Logger = described(logging.getLogger("snnc"), "what is logged goes there.")


@dataclass(frozen=True, kw_only=True)
class Job(Reporting, RunOptions, ConversionOptions):
    """A compilation: its model and its options. `pipeline_for` decides which passes run.

    Attributes:
        source: the model.
        timesteps: the window T, known.
        window_given: whether `timesteps` was given, so that a pipeline that ignores it is refused.
        measure_layers: whether the report gets figures of every layer, under `observed`.
        ranks: this process's place among those that share the work; see `distributed_session`.

    The options are described in `snnc.options`.
    """

    source: ModelSource
    timesteps: int = DEFAULT_WINDOW
    window_given: bool = False
    measure_layers: bool = False
    ranks: Ranks = field(default_factory=Ranks)

    def check(self) -> None:
        """Raise `UsageError` for values no compilation can have."""
        for name, number in (("-T", self.timesteps), ("--seed", self.seed)):
            if isinstance(number, bool) or not isinstance(number, int | np.integer):
                raise UsageError(f"{name} {number!r} is no whole number")
        if self.timesteps < 1:
            raise UsageError(
                f"-T {self.timesteps}: a window has at least one time step", hint="e.g. -T 8"
            )
        question_window(self.timesteps, self.log)
        if self.device not in DEVICES:
            raise UsageError(f"unknown device {self.device!r}", hint=" or ".join(DEVICES))
        if self.device == "cuda":
            import torch

            if not torch.cuda.is_available():
                raise UsageError("--device cuda: torch finds no CUDA device", hint="--device cpu")
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed}: a seed is not negative")
        require_own_folders(self, self.files())
        if self.resume and self.workdir is None:
            raise UsageError(
                "--resume goes on from the checkpoints of an earlier run, and needs their folder",
                hint="--workdir DIR, as in that run",
            )

    def files(self) -> dict[str, object]:
        """What names files to read, by flag, for `snnc.driver.own_places`."""
        return {
            **self.source.files(),
            "--calibration": self.calibration,
            "--train": self.train,
            "--validation": self.validation,
            "--target": self.target if "{" in str(self.target) else None,
        }

    def backend(self) -> Backend:
        """The target. Raises `SpecError`, and `UsageError` for a file of its options."""
        backend: Backend = parse_one(self.target, Registry(BACKENDS))
        if isinstance(backend, NamesFiles):
            backend.require_files()
        return backend

    def pipeline(self, graph: Graph | None = None) -> Pipeline:
        """The passes to run; none by default on a `graph` that spikes already.

        Raises `SpecError`, or `UsageError` when both ways are given, a recipe for such a graph, or
        a window that no pass uses.
        """
        if self.passes is not None and self.recipe is not None:
            raise UsageError("--recipe and --passes exclude each other", hint="give one of them")
        text = self.passes
        if text is None and graph is not None and graph.stage is Stage.SNN:
            if self.recipe is not None:
                raise UsageError(
                    f"--recipe {self.recipe}: {self.source} spikes already, and recipes are for "
                    "networks that do not",
                    hint="leave --recipe out; --passes SPEC runs passes on it",
                )
            text = ""
        if text is None:
            recipe = self.recipe or DEFAULT_RECIPE
            pipeline = Pipeline(parse_recipe(recipe, Registry(RECIPES), Registry(PASSES)))
        else:
            pipeline = Pipeline.from_text(text, Registry(PASSES))
        if self.window_given:
            _refuse_unused_window(pipeline, self.timesteps)
        return pipeline

    def pipeline_for(self, backend: Backend, graph: Graph | None) -> Pipeline:
        """`pipeline()` followed by the passes that make the integers that the target needs.

        Nothing is appended if the result is of integers already, or is not at stage `snn`.

        Args:
            graph: the model; None for one of real values at stage `ann`.
        """
        own = self.pipeline(graph)
        needed = Pipeline.from_text(quantizer_of(backend), Registry(PASSES))
        stage = Stage.ANN if graph is None else graph.stage
        integers = graph is not None and graph.quantized
        for each in own.passes:
            stage = each.gives
            integers = integers if each.gives_integers is None else each.gives_integers
        if integers or stage is not Stage.SNN:
            return own
        return Pipeline((*own.passes, *needed.passes))

    def graph(self) -> Graph:
        """The model, normalised, with the window in its `meta`.

        Raises `UnsupportedError` for several outputs, before the minutes that passes may take.
        """
        data = {"calibration": self.calibration, "train": self.train}
        graph = load_model_for(self.source, data, self.log)
        require_one_output(graph)
        require_window(graph, self.timesteps)
        graph.meta["timesteps"] = self.timesteps
        return graph

    def context(self, graph: Graph, backend: Backend | None = None) -> PassContext:
        """What passes may know; opens the data. Raises `DataError`."""
        shape = graph.type_of(graph.input).shape
        train, validation = open_training(
            self.train,
            self.validation,
            shape,
            seed=self.seed,
            class_numbers=ClassNumbers(graph.type_of(graph.outputs[0]).shape, judged=False),
            log=self.log,
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
            target=backend if isinstance(backend, TargetInfo) else None,
            log=self.log,
            progress=self.progress,
        )

    def same(self) -> SameFunction:
        """Checks the passes that preserve the function."""
        return SameFunction(seed=self.seed, timesteps=self.timesteps, log=self.log)

    def dump(self) -> AfterPass | None:
        """Writes `NN-name.snnc` and `.txt` after every pass; None without `dump_ir`."""
        if self.dump_ir is None:
            return None
        folder = Path(self.dump_ir)

        def write_graph(number: int, name: str, graph: Graph) -> None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                (folder / f"{number:02}-{name}.txt").write_text(to_text(graph), encoding="utf-8")
            except OSError as error:
                reason = error.strerror or error
                raise UsageError(f"--dump-ir: cannot write {folder}: {reason}") from None
            write(folder / f"{number:02}-{name}.snnc", graph)

        return write_graph


@dataclass(frozen=True, kw_only=True)
class JobOptions(Reporting, CompilationOptions):
    """The options that a model is compiled with, apart from the model."""

    def source(self, model: str | Path | Graph | nn.Module) -> ModelSource:
        """The model with the options that name it."""
        return ModelSource(model=model, **self._fields_of(ModelOptions))

    def job(self, model: str | Path | Graph | nn.Module, *, measure_layers: bool = False) -> Job:
        """The job of compiling `model` with these options."""
        options = self._fields_of(Reporting, RunOptions, ConversionOptions)
        given = self.timesteps is not None
        if not given:
            options["timesteps"] = own_window(model) or DEFAULT_WINDOW
        source = self.source(model)
        return Job(source=source, window_given=given, measure_layers=measure_layers, **options)

    def _fields_of(self, *groups: type) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for group in groups for f in fields(group)}


def _refuse_unused_window(pipeline: Pipeline, timesteps: int) -> None:
    """Raise `UsageError` where a pass sets the window before a pass on a spiking graph used it."""
    for each in pipeline.passes:
        option = each.window_option()
        if option is not None:
            raise UsageError(
                f"-T {timesteps}: {option} chooses the window, and -T would not be used",
                hint=f"leave -T out, or {option}",
            )
        if each.takes is Stage.SNN:
            return


@contextmanager
def distributed_session(job: Job) -> Iterator[Job]:
    """`job`, checked, with this process's rank among those of torchrun, which share the work.

    The processes join torch.distributed for the time of the block. Only rank 0 logs and dumps.
    """
    job.check()
    with torch_threads(job.threads), joined(job.device) as ranks:
        if ranks.rank:
            mute = logging.Logger("snnc", logging.CRITICAL + 1)
            job = replace(job, dump_ir=None, progress=silent, log=mute)
        if job.resume and not Path(job.workdir or "").is_dir():
            job.log.info("--resume: there is no %s yet, this is the first run", job.workdir)
        yield replace(job, ranks=ranks)
