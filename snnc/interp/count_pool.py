"""The maximum of counts over windows (docs/semantics.md, S25)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from snnc.interp.ops import Constant, largest
from snnc.interp.stateful import StatefulMeaning
from snnc.ir import CountMaxPool, TensorType


class Counts(NamedTuple):
    """The events of every input so far (N, C, *spatial), and the most of every window."""

    inputs: Tensor
    most: Tensor


@dataclass(frozen=True)
class CountPool(StatefulMeaning):
    """A `CountMaxPool`: its events up to a step are the most that one input of a window has had.

    Attributes:
        op: its windows.
        constant: its input is constant in time; the result is then one step, without a state.
    """

    op: CountMaxPool
    constant: bool = False

    @classmethod
    def of(cls, op: CountMaxPool, kind: TensorType, constant: Constant) -> CountPool:
        """The pool of an op whose result has type `kind`."""
        return cls(op, kind.constant_in_time)

    def init(self, x: Tensor) -> Counts:
        """No events yet."""
        return Counts(torch.zeros_like(x), largest(self.op.windows, torch.zeros_like(x)))

    def step(self, state: Counts, x: Tensor | None, t: int) -> tuple[Counts, Tensor]:
        """One step: the new counts, and by how much the most of every window has grown."""
        inputs = state.inputs if x is None else state.inputs + x
        most = largest(self.op.windows, inputs)
        return Counts(inputs, most), most - state.most

    def run(self, x: Tensor, timesteps: int) -> Tensor:
        """See `StatefulMeaning.run`; (1, N, *shape) for inputs that are constant in time."""
        return largest(self.op.windows, x[0])[None] if self.constant else super().run(x, timesteps)
