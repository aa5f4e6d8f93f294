"""When the steps of a program began, in how many threads: what `bench` can be told. numpy only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class StepTimes:
    """When the steps of a program began, in runs of one sample each.

    Attributes:
        rows: a row for each step, in order. `layer` is the node whose result it makes, `kernel`
            what computes it. A target that knows what the machine can do adds `operations` and
            `bytes`, which the step takes at least, `least_us`, the microseconds that these take
            at best, and `bound`, the entry of `limits` by which they do.
        marks: (runs, steps + 1) int64, nanoseconds of `time.monotonic_ns`: the start of each step
            and the end of the last one.
        limits: what the machine can do at most, JSON-able.
    """

    rows: Sequence[Mapping[str, Any]]
    marks: NDArray[np.int64]
    limits: Mapping[str, float] = field(default_factory=dict[str, float])


@runtime_checkable
class TellsThreads(Protocol):
    """A program that can tell how many threads it runs in."""

    def threads_of(self, samples: int, timesteps: int) -> int:
        """How many threads run a batch of so many samples for a window of so many steps."""
        ...


@runtime_checkable
class TimesSteps(Protocol):
    """A program that can tell where its time goes."""

    def step_times(
        self,
        x: NDArray[np.float32],
        *,
        timesteps: int | None = None,
        seed: int = 0,
        runs: int = 1,
    ) -> StepTimes:
        """Run the first sample of a batch `runs` times.

        Args:
            x: (N, *input shape) float32.
            timesteps: the window; None for the artifact's own.
            seed: of spiking encoders.

        Raises:
            DataError: the input has a wrong shape, no samples or NaN.
        """
        ...
