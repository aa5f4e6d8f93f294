"""The recurrence of a population (docs/semantics.md, S9 to S14 and S29)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from snnc.interp.ops import Constant, for_sample
from snnc.interp.stateful import StatefulMeaning
from snnc.ir import AnyNeuron, TensorType, TwoSidedNeuron
from snnc.ir.neuron import LEAK_UNIT


class State(NamedTuple):
    """State of a population after a step: membrane potential, and sum of the emitted spikes.

    The sum is only kept for signed populations, and 0 otherwise.
    """

    u: Tensor
    total: Tensor


@dataclass(frozen=True)
class Population(StatefulMeaning):
    """A population of neurons with its parameters as tensors that broadcast against (N, *shape).

    The dtype of the state is the wider of those of the current and the threshold.

    Attributes:
        op: reset, order, wait and signed are read from it.
        leak: None for no leak.
        integer: potentials are integers; leak*u is floor(m*u / 2^15) with m = leak * 2^15.
    """

    op: AnyNeuron
    threshold: Tensor
    leak: Tensor | None
    v_init: Tensor
    integer: bool = False

    @classmethod
    def of(cls, op: AnyNeuron, kind: TensorType, constant: Constant) -> Population:
        """The population of an op whose result has type `kind`."""
        leak = for_sample(constant(op.leak), kind.shape)
        idle = not leak.requires_grad and bool((leak == 1).all())
        return cls(
            op=op,
            threshold=for_sample(constant(op.threshold), kind.shape),
            leak=None if idle else leak,
            v_init=for_sample(constant(op.v_init), kind.shape),
            integer=kind.quantized,
        )

    @property
    def wait(self) -> int:
        """Number of first steps in which it does not fire (S13)."""
        return self.op.wait

    def state_dtype(self, current: Tensor) -> torch.dtype:
        """The dtype of the potentials for an input `current`."""
        return torch.promote_types(current.dtype, self.threshold.dtype)

    def init(self, x: Tensor) -> State:
        """The state before the first step: the potential is v_init."""
        u = torch.zeros_like(x, dtype=self.state_dtype(x)) + self.v_init
        return State(u, torch.zeros_like(u))

    def step(self, state: State, x: Tensor | None, t: int) -> tuple[State, Tensor | None]:
        """One step of the recurrence: the new state, and the spikes (N, *shape)."""
        return self.fire(state, self.potential(state, x), x, t)

    def potential(self, state: State, x: Tensor | None) -> Tensor:
        """The potential that is compared with the threshold in the step after `state`."""
        if self.op.order == "fire-integrate":
            return state.u
        return self._add(self._decay(state.u), x)

    def fire(
        self, state: State, p: Tensor, x: Tensor | None, t: int
    ) -> tuple[State, Tensor | None]:
        """The rest of a step, given its `potential` p: the new state, and the spikes."""
        fired = self._fired(p, state.total) if t >= self.op.wait else None
        total = state.total if fired is None or not self.op.signed else state.total + fired
        return State(self._advance(p, x, fired), total), fired

    def _advance(self, p: Tensor, x: Tensor | None, fired: Tensor | None) -> Tensor:
        if self.op.order == "integrate-fire":
            return self._reset(p, fired)
        if self.op.reset == "zero":
            return self._add(self._decay(self._reset(p, fired)), x)
        return self._reset(self._add(self._decay(p), x), fired)

    @staticmethod
    def _add(u: Tensor, x: Tensor | None) -> Tensor:
        return u if x is None else u + x

    def _decay(self, u: Tensor) -> Tensor:
        if self.leak is None:
            return u
        if self.integer:
            return torch.floor(torch.round(self.leak * LEAK_UNIT) * u / LEAK_UNIT)
        return self.leak * u

    def _fired(self, p: Tensor, total: Tensor) -> Tensor:
        if isinstance(self.op, TwoSidedNeuron):
            level = self.threshold / 2 if self.op.rounds else self.threshold
            return (p > level).to(p.dtype) - (p < -level).to(p.dtype)
        fired = (p > self.threshold).to(p.dtype)
        return fired - ((total > 0) & (p < 0)).to(p.dtype) if self.op.signed else fired

    def _reset(self, p: Tensor, fired: Tensor | None) -> Tensor:
        if fired is None:
            return p
        return p * (1 - fired) if self.op.reset == "zero" else p - self.threshold * fired
