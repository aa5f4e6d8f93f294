"""The interface of stateful ops in the interpreter: an initial state, and a step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from snnc.memory import GPU_STATE_VALUES, STATE_VALUES, rows_that_fit


class StatefulMeaning(ABC):
    """A stateful op of a graph with its parameters; one subclass for each class of ops."""

    @property
    def wait(self) -> int:
        """Number of steps by which results are delayed.

        The first `wait` steps have no result; after the window follow as many without input.
        """
        return 0

    @abstractmethod
    def init(self, x: Tensor) -> Any:
        """The state before the first step, for inputs like `x` (N, *shape)."""

    @abstractmethod
    def step(self, state: Any, x: Tensor | None, t: int) -> tuple[Any, Tensor | None]:
        """One step: the new state, and the result (N, *shape), None in the first `wait` steps.

        Args:
            state: after the previous step; not modified.
            x: input (N, *shape) of this step; None after the window.
            t: the step, starting at 0.
        """

    def steps(self, x: Tensor, timesteps: int) -> Iterator[Tensor]:
        """The results (N, *shape) of the window, for (T, N, *shape) or (1, N, *shape)."""
        state = self.init(x[0])
        for t in range(timesteps + self.wait):
            now = x[t if len(x) > 1 else 0] if t < timesteps else None
            state, value = self.step(state, now, t)
            if value is not None:
                yield value

    @torch.no_grad()
    def run(self, x: Tensor, timesteps: int) -> Tensor:
        """Results (T, N, *shape) for inputs (T, N, *shape), or (1, N, *shape) if constant.

        Without gradient.
        """
        result: Tensor | None = None
        for rows in parts(x):
            for t, value in enumerate(self.steps(x[:, rows], timesteps)):
                if result is None:
                    result = value.new_empty((timesteps, x.shape[1], *value.shape[1:]))
                result[t, rows] = value
        assert result is not None
        return result


def parts(x: Tensor) -> Iterator[slice]:
    """Slices of the batch of x (…, N, *shape) that are stepped together."""
    most = STATE_VALUES if x.device.type == "cpu" else GPU_STATE_VALUES
    rows = rows_that_fit(most, x[0, :1].numel())
    for first in range(0, x.shape[1], rows):
        yield slice(first, first + rows)
