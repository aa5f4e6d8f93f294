"""Passes, recipes, and the context that a pass gets besides the graph."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sized
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from snnc.ir import Graph, Stage

Batch = tuple[NDArray[np.float32], NDArray[np.generic] | None]
Batches = Iterable[Batch]
"""Re-iterable: batches of `(x: float32 (N, *shape), y: (N, …) or None)`."""


@runtime_checkable
class Selectable(Protocol):
    """Data with random access to its samples: can be shuffled without being held in memory."""

    def __len__(self) -> int: ...

    def take(self, rows: NDArray[np.int64]) -> Batch:
        """The samples with indices `rows` (from 0), as one batch."""
        ...


@dataclass(frozen=True)
class Ranks:
    """Rank and number of the processes of a distributed compilation.

    Attributes:
        rank: of this process, from 0; only rank 0 writes files.
        count: number of processes. Above 1, torch.distributed is initialised.
    """

    rank: int = 0
    count: int = 1


class Advance(Protocol):
    """Advances a progress bar by `steps` units."""

    def __call__(self, steps: int = 1, /) -> None: ...


class Progress(Protocol):
    """Opens a progress bar: `with ctx.progress("calibrate", total) as advance: advance(1)`."""

    def __call__(self, title: str, total: int | None, /) -> AbstractContextManager[Advance]: ...


def size_of(data: Batches) -> int | None:
    """Number of samples of a list of batches or of a dataset; None where it is not known."""
    if isinstance(data, list | tuple):
        return sum(len(x) for x, _ in data)
    return len(data) if isinstance(data, Sized) else None


def _ignore(steps: int = 1, /) -> None:
    """No-op progress bar."""


def silent(title: str, total: int | None, /) -> AbstractContextManager[Advance]:
    """A `Progress` that shows nothing."""
    return nullcontext(_ignore)


@runtime_checkable
class TargetInfo(Protocol):
    """Properties of the target that passes may read; any backend with these members offers them."""

    @property
    def limits(self) -> Mapping[str, Any]:
        """Limits by name, JSON-able, e.g. `weight_bits`; the target's documentation lists them."""
        ...

    def read_weights(
        self, weights: NDArray[np.integer], rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Integer weights, any shape, as the target stores them after one draw of its errors.

        Same shape and unit. Equal to `weights` where the target is exact.
        """
        ...


@dataclass(frozen=True)
class PassContext:
    """What a pass gets besides the graph.

    Attributes:
        rng: the only source of randomness.
        timesteps: the window T.
        ann: the last graph of stage `ann`, or None.
        calibration, train, validation: data, or None when the user gave none.
        device: "cpu" or "cuda", the current CUDA device.
        workdir: folder for the checkpoints of this pass, which creates it; None for no checkpoints.
        resume: whether to continue from a checkpoint in `workdir`.
        ranks: the processes of a distributed run. A pass that trains shares its batches among
            them; any other pass does the same work in each process.
        trial: dry run: only the form of the result matters, not its values. Data are a few samples,
            and a pass that trains takes a single step.
        integers: whether a later pass of the pipeline makes integers.
        target: limits of the target and errors of its weights, or None if it offers neither.
        log: the pass's logger.
        progress: opens a progress bar.
    """

    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    timesteps: int = 8
    ann: Graph | None = None
    calibration: Batches | None = None
    train: Batches | None = None
    validation: Batches | None = None
    device: str = "cpu"
    workdir: Path | None = None
    resume: bool = False
    ranks: Ranks = field(default_factory=Ranks)
    trial: bool = False
    integers: bool = False
    target: TargetInfo | None = None
    log: logging.Logger = field(default_factory=lambda: logging.getLogger("snnc"))
    progress: Progress = silent


@dataclass(frozen=True)
class PassResult:
    """The result of a pass.

    Attributes:
        graph: the result; the pass may edit the clone it was given. The pipeline compares
            fingerprints to see whether it changed.
        metrics: JSON-able figures for the report.
    """

    graph: Graph
    metrics: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, kw_only=True)
class Pass:
    """A step of a pipeline, `Graph -> Graph`. Fields of a subclass are its options.

    Class attributes: `name` as written in a pipeline; `takes` and `gives` the stages of the graph
    before and after; `needs` the fields of `PassContext` that must not be None, `a|b` where either
    suffices; `preserves_function` whether the result computes the same function but for rounding,
    which `compile` then checks on random inputs; `gives_integers` whether the result is a graph of
    integers (True) or of real values (False), None if the pass keeps either. Validate options in
    `__post_init__` by raising `ValueError` with a reason; the error shown to the user marks the
    option with a caret.
    """

    name: ClassVar[str]
    takes: ClassVar[Stage] = Stage.SNN
    gives: ClassVar[Stage] = Stage.SNN
    needs: ClassVar[frozenset[str]] = frozenset()
    preserves_function: ClassVar[bool] = False
    gives_integers: ClassVar[bool | None] = None

    def requirements(self) -> frozenset[str]:
        """`needs`, or a subset of it that depends on the options."""
        return self.needs

    def window_option(self) -> str | None:
        """The option, as typed, that sets the window T whatever it was before; None without one."""
        return None

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        """Transform `graph`, a clone that the pass may edit. Raises `PassError`."""
        raise NotImplementedError(type(self).__name__)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A named pipeline with options (its fields)."""

    name: ClassVar[str]

    def pipeline(self) -> str:
        """The pipeline as text, e.g. `fold-batchnorm,quantize{bits=8}`."""
        raise NotImplementedError(type(self).__name__)


AfterPass = Callable[[int, str, Graph], None]
"""Called after each pass of a pipeline with its number, name and result."""
