"""A population as one differentiable function: a scan forward in time, and one backward.

With p the potential compared with the threshold V, h the spikes, S(z) the surrogate, z = p/V - 1,
g = dL/ds from above and d = dL/du of the potential after the step (d = 0 at the end), going back:

    through = g * S(z) / V                      dL/dp through the spike
    dL/dV  += -through * p / V - d * h          (the last term for reset "subtract" only)

    order "integrate-fire", reset "subtract"    e = through + d         dL/dI = e
                            reset "zero"        e = through + d*(1-h)   dL/dI = e
                            dL/dleak += e * u_before                    d_before = leak * e
    order "fire-integrate", reset "subtract"    k = d                   dL/dI = d
                            reset "zero"        k = d*(1-h)             dL/dI = d
                            dL/dleak += k * p                           d_before = leak*k + through

and dL/dv_init is the final d. The indicator h in the reset is treated as a constant, the threshold
that multiplies it is not. A signed population adds to S the surrogate of its negative spikes, at
z = -p/V, where the total of its spikes is positive; a two-sided one at z = -p/V - 1. In one
that rounds, 1/2 takes the place of the 1 in both.

Source: the released code of DIET-SNN (Rathi & Roy, 2020) and of the hybrid method (Rathi et al.,
ICLR 2020), which use autograd; this is the same recursion written out.

This is the scan in torch operations, for every population and device. Common populations have
machine code on the CPU (snnc/training/native_scan.py), with the same spikes, bit for bit.

The forward scan saves only p, and the spikes as bytes where they do not follow from p: in signed
populations, and where p is rounded (a bfloat16 current; the state itself is float32 then).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from snnc.interp import Population
from snnc.interp.stateful import parts
from snnc.ir import AnyNeuron, TwoSidedNeuron
from snnc.training.surrogate import AnySurrogate, FittedSurrogate, TimedSurrogate
from snnc.training.train_like import train_like


def scan(
    population: Population, current: Tensor, timesteps: int, surrogate: AnySurrogate | None
) -> Tensor:
    """Spikes (T, N, *shape) of `population.run`; with a surrogate, differentiable.

    Differentiable by the current, the threshold, the leak (if any) and v_init; not twice. In a
    population of integers the gradient passes straight through the rounding of leak * u.
    """
    tensors = (current, population.threshold, population.leak, population.v_init)
    wanted = torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in tensors)
    learning = surrogate if wanted else None
    if current.device.type == "cpu" and current.dtype != torch.float64:
        from snnc.training.native_scan import has_code, native_scan

        if has_code(population, current, learning):
            return native_scan(population, current, timesteps, learning)
    if surrogate is None or not wanted:
        return _run(population, current, timesteps)
    return cast(Tensor, _Scan.apply(*tensors, population, surrogate, timesteps))


@torch.no_grad()
def _run(population: Population, current: Tensor, timesteps: int) -> Tensor:
    """`population.run`, in the memory format of the current."""
    spikes = train_like(current, timesteps)
    for rows in parts(current):
        _fill(population, current[:, rows], spikes[:, rows])
    return spikes


def _fill(
    population: Population, current: Tensor, spikes: Tensor, potentials: Tensor | None = None
) -> None:
    """Run a population and write its spikes and potentials into the given tensors.

    Args:
        population: the population to run.
        current: (T, N, *shape), or (1, N, *shape) if constant.
        spikes: output, (T, N, *shape).
        potentials: output, (K, N, *shape): the potential compared with the threshold in the last K
            of the T + wait steps.
    """
    state = population.init(current[0])
    timesteps, wait = len(spikes), population.wait
    skipped = timesteps + wait - (0 if potentials is None else len(potentials))
    for t in range(timesteps + wait):
        drive = current[t if len(current) > 1 else 0] if t < timesteps else None
        p = population.potential(state, drive)
        state, fired = population.fire(state, p, drive, t)
        if potentials is not None and t >= skipped:
            potentials[t - skipped] = p
        if fired is not None:
            spikes[t - wait] = fired


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        current: Tensor,
        threshold: Tensor,
        leak: Tensor | None,
        v_init: Tensor,
        population: Population,
        surrogate: AnySurrogate,
        timesteps: int,
    ) -> Tensor:
        kept = timesteps + (population.op.wait if ctx.needs_input_grad[2] else 0)
        spikes, potentials = train_like(current, timesteps), train_like(current, kept)
        for rows in parts(current):
            _fill(population, current[:, rows], spikes[:, rows], potentials[:, rows])
        rounded = population.state_dtype(current) != current.dtype
        fired = spikes.to(torch.int8) if rounded or population.op.signed else None
        ctx.save_for_backward(potentials, fired, threshold, leak, v_init)
        ctx.op, ctx.surrogate, ctx.timesteps = population.op, surrogate, timesteps
        ctx.constant = len(current) == 1
        return spikes

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        potentials, fired, threshold, leak, v_init = ctx.saved_tensors
        currents = 1 if ctx.constant else ctx.timesteps
        wanted: Sequence[bool] = ctx.needs_input_grad[:4]
        to_current = train_like(potentials, currents).zero_() if wanted[0] else None
        sums: list[Tensor | None] = [None, None, None]
        for rows in parts(potentials):
            tape = Tape(
                op=ctx.op,
                surrogate=ctx.surrogate,
                potentials=potentials[:, rows],
                fired=None if fired is None else fired[:, rows],
                threshold=threshold,
                leak=leak,
                v_init=v_init,
                wanted=wanted,
                rows=rows,
            )
            into = None if to_current is None else to_current[:, rows]
            gradients = tape.back(grads[0][:, rows], into)
            sums = [_plus(old, new) for old, new in zip(sums, gradients, strict=True)]
        return to_current, *sums, None, None, None


def _plus(old: Tensor | None, new: Tensor | None) -> Tensor | None:
    return new if old is None or new is None else old + new


@dataclass(frozen=True)
class Tape:
    """What the forward scan of some samples saved, and the backward scan.

    Attributes:
        potentials: (K, N, *shape) of the last K steps; K = T + wait if the leak needs a gradient.
        fired: (T, N, *shape) spikes in int8; None where they are `potentials > threshold`.
        wanted: whether current, threshold, leak, v_init need a gradient.
        rows: which samples of the batch they are.
    """

    op: AnyNeuron
    surrogate: AnySurrogate
    potentials: Tensor
    fired: Tensor | None
    threshold: Tensor
    leak: Tensor | None
    v_init: Tensor
    wanted: Sequence[bool]
    rows: slice

    def back(self, grad: Tensor, to_current: Tensor | None) -> list[Tensor | None]:
        """Gradients of threshold, leak and v_init, given those of the spikes, (T, N, *shape).

        That of the current is added to `to_current` (T or 1, N, *shape).
        """
        timesteps, wait = len(grad), self.op.wait
        p = self.potentials.to(torch.promote_types(grad.dtype, self.threshold.dtype))
        firing = p[len(p) - timesteps :]
        h = (firing > self.threshold if self.fired is None else self.fired).to(p.dtype)
        normal = firing / self.threshold
        through = grad.to(p.dtype) * self._slopes(normal, h) / self.threshold
        to_threshold = -(through * normal).sum(0) if self.wanted[1] else None
        before = self._before(p, h) if self.wanted[2] else None
        to_leak = torch.zeros_like(p[0])
        d = torch.zeros_like(p[0])
        for t in reversed(range(timesteps + wait)):
            at = t - wait if t >= wait else None
            if to_threshold is not None and at is not None and self.op.reset == "subtract":
                to_threshold.addcmul_(d, h[at], value=-1)
            drive, kept, d = self._step(d, at, h, through)
            if to_current is not None and t < timesteps:
                to_current[t if len(to_current) > 1 else 0] += drive
            if before is not None:
                to_leak.addcmul_(kept, before[t])
        totals = zip(
            (to_threshold, to_leak, d), (self.threshold, self.leak, self.v_init), strict=True
        )
        return [
            None if x is None or parameter is None or not wanted else x.sum_to_size(parameter.shape)
            for (x, parameter), wanted in zip(totals, self.wanted[1:], strict=True)
        ]

    def _step(
        self, d: Tensor, at: int | None, h: Tensor, through: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of the current and of leak * state, and d one step back.

        `at` is the step of the window; None during the wait.
        """
        kept = d * (1 - h[at]) if self.op.reset == "zero" and at is not None else d
        if self.op.order == "integrate-fire":
            e = kept if at is None else kept + through[at]
            return e, e, e if self.leak is None else e * self.leak
        back = kept if self.leak is None else kept * self.leak
        return d, kept, back if at is None else back + through[at]

    def _before(self, p: Tensor, h: Tensor) -> Tensor:
        """(T + wait, N, *shape) the state that the leak multiplies in each step."""
        if self.op.order == "fire-integrate":
            return p  # `kept` is 0 where the state was reset to zero
        after, wait = p.roll(1, 0), self.op.wait
        after[0] = self.v_init
        fired = h[: len(after) - wait - 1]
        if self.op.reset == "zero":
            after[wait + 1 :] *= 1 - fired
        else:
            after[wait + 1 :] -= self.threshold * fired
        return after

    def _slopes(self, normal: Tensor, h: Tensor) -> Tensor:
        """ds/dz (T, N, *shape) of p/threshold."""
        slope = self._slope(normal - 1, h)
        if isinstance(self.op, TwoSidedNeuron):
            level = 0.5 if self.op.rounds else 1.0
            return slope(normal - level) + slope(-normal - level)
        slopes = slope(normal - 1)
        if not self.op.signed:
            return slopes
        positive = h.cumsum(0) - h > 0
        return slopes + positive * slope(-normal)

    def _slope(self, z: Tensor, h: Tensor) -> Callable[[Tensor], Tensor]:
        """ds/dz as a function of z, for these potentials and spikes."""
        surrogate = self.surrogate
        if isinstance(surrogate, FittedSurrogate):
            return surrogate.fitted(z, self.rows).gradient
        if isinstance(surrogate, TimedSurrogate):
            since = self._since(h)
            return lambda each: surrogate.gradient_since(each, since)
        return surrogate.gradient

    def _since(self, h: Tensor) -> Tensor:
        """(T, N, *shape) steps since the neuron's last spike."""
        steps = torch.full_like(h, self.op.wait + cast(TimedSurrogate, self.surrogate).silent)
        for t in range(1, len(h)):
            steps[t] = torch.where(h[t - 1] != 0, 1.0, steps[t - 1] + 1)
        return steps
