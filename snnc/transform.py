"""What a pass and a recipe are, and all a pass may know besides the graph."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
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
    """Data whose samples can be taken in any order: what shuffles without being held in memory."""

    def __len__(self) -> int: ...

    def take(self, rows: NDArray[np.int64]) -> Batch:
        """The samples `rows`, numbers from 0 on, as one batch."""
        ...


@dataclass(frozen=True)
class Ranks:
    """The processes that work on one compilation together, and which of them this one is.

    Attributes:
        rank: from 0 on; rank 0 alone writes files.
        count: how many there are. Above 1, torch.distributed is initialised.
    """

    rank: int = 0
    count: int = 1


class Advance(Protocol):
    """Tells a progress bar that `steps` more units are done."""

    def __call__(self, steps: int = 1, /) -> None: ...


class Progress(Protocol):
    """Opens a progress bar: `with ctx.progress("calibrate", total) as advance: advance(1)`."""

    def __call__(self, title: str, total: int | None, /) -> AbstractContextManager[Advance]: ...


def _ignore(steps: int = 1, /) -> None:
    """A progress bar nobody sees."""


def silent(title: str, total: int | None, /) -> AbstractContextManager[Advance]:
    """A `Progress` that shows nothing."""
    return nullcontext(_ignore)


@runtime_checkable
class TargetInfo(Protocol):
    """What passes may ask the target; offered by every backend that has these two."""

    @property
    def limits(self) -> Mapping[str, Any]:
        """Its limits by name, JSON-able, e.g. `weight_bits`; the page of the target lists them."""
        ...

    def read_weights(
        self, weights: NDArray[np.integer], rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Integer weights, any shape, as the target has them after one draw of its errors.

        Same shape and unit. Equal to `weights` where the target is exact.
        """
        ...


@dataclass(frozen=True)
class PassContext:
    """All a pass knows besides the graph.

    Attributes:
        rng: the only source of randomness.
        timesteps: the window T.
        ann: the last graph of stage `ann`, or None.
        calibration, train, validation: data, or None when the user gave none.
        device: "cpu" or "cuda", the current CUDA device.
        workdir: a folder of the pass's own for checkpoints, which it makes; None for nowhere.
        resume: whether it may go on from a checkpoint it finds there.
        ranks: the processes it shares its work with. A pass that does not learn has nothing to
            share: it does the same in each of them.
        trial: whether only the form of the result matters, not its values: data are a few samples,
            and a pass that learns takes one step in place of all.
        target: limits of the target and errors of its weights, or None where it has none to tell.
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
    target: TargetInfo | None = None
    log: logging.Logger = field(default_factory=lambda: logging.getLogger("snnc"))
    progress: Progress = silent


@dataclass(frozen=True)
class PassResult:
    """What a pass did.

    Attributes:
        graph: the result; the pass works on the clone it was given. Whether it differs from the
            input is found by the manager, which compares fingerprints.
        metrics: JSON-able figures for the report.
    """

    graph: Graph
    metrics: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, kw_only=True)
class Pass:
    """A step of a pipeline, `Graph -> Graph`. Fields of a subclass are its options.

    Class attributes: `name` as written in a pipeline; `takes` and `gives` the stages of the graph
    before and after; `needs` the fields of `PassContext` that must not be None, `a|b` where one of
    both will do; `preserves_function` whether the result computes what the input computed, but for
    rounding, which `compile` then checks on random inputs; `gives_integers` whether the result is a
    graph of integers (True) or of real values (False), None where it is what the input was, so that
    `compile` knows what a target still needs. Validate options in `__post_init__` by
    raising `ValueError` with a reason; the caller adds the caret.
    """

    name: ClassVar[str]
    takes: ClassVar[Stage] = Stage.SNN
    gives: ClassVar[Stage] = Stage.SNN
    needs: ClassVar[frozenset[str]] = frozenset()
    preserves_function: ClassVar[bool] = False
    gives_integers: ClassVar[bool | None] = None

    def requirements(self) -> frozenset[str]:
        """`needs`, or fewer where the options make it so."""
        return self.needs

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        """Transform `graph`, which is this pass's own clone. Raises `PassError`."""
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
