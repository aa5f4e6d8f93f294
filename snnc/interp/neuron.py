"""The time loop of a population (docs/semantics.md, section 2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from snnc.interp.surrogate import Surrogate, above, below_zero
from snnc.ir import Neuron

LEAK_UNIT = 1 << 15
CHUNK = 1 << 16
"""Neurons (of all samples) stepped together: their state stays in the processor's cache."""


@dataclass(frozen=True)
class Population:
    """A `Neuron` op with its parameters as tensors that broadcast against (N, *shape).

    Attributes:
        op: reset, order, wait and signed are read from it.
        leak: None for no leak.
        integer: potentials are integers; leak*u is floor(m*u / 2^15) with m = leak * 2^15.
        surrogate: None for spikes without gradient.
    """

    op: Neuron
    threshold: Tensor
    leak: Tensor | None
    v_init: Tensor
    integer: bool = False
    surrogate: Surrogate | None = None

    def run(self, current: Tensor, timesteps: int) -> Tensor:
        """Spikes (T, N, *shape) for input currents (T, N, *shape), or (1, N, *shape) if constant.

        Step t of the result is step t + wait of the population's own time.
        """
        rows = max(1, CHUNK // max(1, current[0, :1].numel()))
        parts = [self._run(part, timesteps) for part in current.split(rows, 1)]
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)

    def _run(self, current: Tensor, timesteps: int) -> Tensor:
        u = current.new_zeros(current.shape[1:]) + self.v_init
        total = torch.zeros_like(u)
        spikes: list[Tensor] = []
        for t in range(timesteps + self.op.wait):
            drive = current[t if len(current) > 1 else 0] if t < timesteps else None
            may_fire = t >= self.op.wait
            u, fired = self.step(u, drive, total if may_fire else None)
            if fired is not None:
                total = total + fired.detach() if self.op.signed else total
                spikes.append(fired)
        return torch.stack(spikes)

    def step(
        self, u: Tensor, drive: Tensor | None, total: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """One step: the new potential and the spikes.

        Args:
            u: potential after the previous step.
            drive: input current of this step; None for none.
            total: sum of the spikes emitted so far; None while the population must not fire.
        """
        if self.op.order == "integrate-fire":
            p = self._add(self._decay(u), drive)
            fired = None if total is None else self._fire(p, total)
            return self._reset(p, fired), fired
        fired = None if total is None else self._fire(u, total)
        if self.op.reset == "zero":
            return self._add(self._decay(self._reset(u, fired)), drive), fired
        return self._reset(self._add(self._decay(u), drive), fired), fired

    @staticmethod
    def _add(u: Tensor, drive: Tensor | None) -> Tensor:
        return u if drive is None else u + drive

    def _decay(self, u: Tensor) -> Tensor:
        if self.leak is None:
            return u
        if self.integer:
            return torch.floor(torch.round(self.leak * LEAK_UNIT) * u / LEAK_UNIT)
        return self.leak * u

    def _fire(self, p: Tensor, total: Tensor) -> Tensor:
        fired = above(p, self.threshold, self.surrogate)
        if not self.op.signed:
            return fired
        return fired - (total > 0) * below_zero(p, self.threshold, self.surrogate)

    def _reset(self, p: Tensor, fired: Tensor | None) -> Tensor:
        """The indicator of a spike is a constant to the gradient, the threshold is not."""
        if fired is None:
            return p
        indicator = fired.detach()
        if self.op.reset == "zero":
            return p * (1 - indicator)
        return p - self.threshold * indicator
