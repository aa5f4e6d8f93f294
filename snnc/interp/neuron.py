"""The time loop of a population (docs/semantics.md, section 2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from snnc.ir import Neuron

LEAK_UNIT = 1 << 15
CHUNK = 1 << 16
"""Neurons (of all samples) stepped together: their state stays in the processor's cache."""
GPU_CHUNK = 1 << 24
"""The same on a GPU, where it bounds the memory for the gradients of a step."""


@dataclass(frozen=True)
class Population:
    """A `Neuron` op with its parameters as tensors that broadcast against (N, *shape).

    The state has the wider of the dtypes of the current and the threshold.

    Attributes:
        op: reset, order, wait and signed are read from it.
        leak: None for no leak.
        integer: potentials are integers; leak*u is floor(m*u / 2^15) with m = leak * 2^15.
    """

    op: Neuron
    threshold: Tensor
    leak: Tensor | None
    v_init: Tensor
    integer: bool = False

    def run(self, current: Tensor, timesteps: int) -> Tensor:
        """Spikes (T, N, *shape) for input currents (T, N, *shape), or (1, N, *shape) if constant.

        Step t of the result is step t + wait of the population's own time. No gradient passes;
        `snnc.interp.scan` is the differentiable form.
        """
        spikes = train_like(current, timesteps)
        for rows in parts(current):
            self.fill(current[:, rows], spikes[:, rows])
        return spikes

    @torch.no_grad()
    def fill(self, current: Tensor, spikes: Tensor, potentials: Tensor | None = None) -> None:
        """Run the population and write what it does into given tensors.

        Args:
            current: (T, N, *shape), or (1, N, *shape) if constant.
            spikes: (T, N, *shape), to be written.
            potentials: (K, N, *shape), to be written: what is held against the threshold in the
                last K steps of the population's own time.
        """
        u = self.start(current)
        total = torch.zeros_like(u)
        timesteps, wait = len(spikes), self.op.wait
        skipped = timesteps + wait - (0 if potentials is None else len(potentials))
        for t in range(timesteps + wait):
            drive = current[t if len(current) > 1 else 0] if t < timesteps else None
            p = self.potential(u, drive)
            fired = self._fire(p, total) if t >= wait else None
            u = self._advance(p, drive, fired)
            if potentials is not None and t >= skipped:
                potentials[t - skipped] = p
            if fired is not None:
                total = total + fired if self.op.signed else total
                spikes[t - wait] = fired

    def start(self, current: Tensor) -> Tensor:
        """The potential (N, *shape) before the first step."""
        return torch.zeros_like(current[0], dtype=self.state_dtype(current)) + self.v_init

    def state_dtype(self, current: Tensor) -> torch.dtype:
        """The dtype of potentials while the population runs on `current`."""
        return torch.promote_types(current.dtype, self.threshold.dtype)

    def step(
        self, u: Tensor, drive: Tensor | None, total: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """One step: the new potential and the spikes.

        Args:
            u: potential after the previous step.
            drive: input current of this step; None for none.
            total: sum of the spikes emitted so far; None while the population must not fire.
        """
        p = self.potential(u, drive)
        fired = None if total is None else self._fire(p, total)
        return self._advance(p, drive, fired), fired

    def potential(self, u: Tensor, drive: Tensor | None) -> Tensor:
        """What is held against the threshold in a step that begins with potential `u`."""
        if self.op.order == "fire-integrate":
            return u
        return self._add(self._decay(u), drive)

    def _advance(self, p: Tensor, drive: Tensor | None, fired: Tensor | None) -> Tensor:
        if self.op.order == "integrate-fire":
            return self._reset(p, fired)
        if self.op.reset == "zero":
            return self._add(self._decay(self._reset(p, fired)), drive)
        return self._reset(self._add(self._decay(p), drive), fired)

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
        fired = (p > self.threshold).to(p.dtype)
        return fired - ((total > 0) & (p < 0)).to(p.dtype) if self.op.signed else fired

    def _reset(self, p: Tensor, fired: Tensor | None) -> Tensor:
        if fired is None:
            return p
        return p * (1 - fired) if self.op.reset == "zero" else p - self.threshold * fired


def train_like(current: Tensor, steps: int, dtype: torch.dtype | None = None) -> Tensor:
    """An empty (steps, N, *shape) whose samples lie in memory as those of (…, N, *shape) do."""
    sample = torch.empty_like(current[0], dtype=dtype)
    strides = (sample.numel(), *sample.stride())
    return sample.new_empty_strided((steps, *sample.shape), strides)


def parts(current: Tensor) -> Iterator[slice]:
    """Rows of the batch of (…, N, *shape) to step together."""
    most = CHUNK if current.device.type == "cpu" else GPU_CHUNK
    rows = max(1, most // max(1, current[0, :1].numel()))
    for first in range(0, current.shape[1], rows):
        yield slice(first, first + rows)
