"""Populations without leak that reset by subtraction, computed in place.

The same recurrence as `snnc.interp.Population`, bit for bit, without allocating a tensor per step:
for searches, which run it many times.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import torch
from torch import Tensor

from snnc.interp import Population
from snnc.ir import AnyNeuron, TwoSidedNeuron
from snnc.training.packed_spikes import count, has_bits, pack


def firing(
    current: Tensor,
    threshold: Tensor,
    start: Tensor,
    op: AnyNeuron,
    steps: int,
) -> Iterator[Tensor]:
    """Spikes (n, *shape) step by step; every step overwrites the same tensor.

    Args:
        current: (T or 1, n, *shape).
        threshold, start: broadcast against a sample.
        op: its class, `wait`, `signed` and `rounds` are read.
        steps: T.
    """
    u = torch.zeros_like(current[0]).add_(start)
    fired, total = torch.empty_like(u), torch.zeros_like(u)
    level = threshold / 2 if isinstance(op, TwoSidedNeuron) and op.rounds else threshold
    for t in range(steps + op.wait):
        if t < steps:
            u.add_(current[t if len(current) > 1 else 0])
        if t < op.wait:
            continue
        torch.gt(u, level, out=fired)
        if isinstance(op, TwoSidedNeuron):
            fired.sub_((u < -level).to(fired.dtype))
        elif op.signed:
            fired.sub_(((total > 0) & (u < 0)).to(fired.dtype))
            total.add_(fired)
        u.addcmul_(fired, threshold, value=-1)
        yield fired


def sums_after(
    marks: Collection[int],
    current: Tensor,
    threshold: Tensor,
    start: Tensor,
    op: AnyNeuron,
    timesteps: int,
    bias: Tensor,
) -> Iterator[tuple[int, Tensor]]:
    """t, and the sum (n, *shape) of the spikes of the first t steps, for each t of `marks`.

    By machine code where there is some for the population (snnc/training/packed_spikes.py).

    Args:
        marks: in ascending order.
        current, threshold, start, op: as of `firing`.
        timesteps: T.
        bias: added to the current of every step; broadcasts against a sample.
    """
    population = Population(op, threshold, None, start)
    driven = current + bias
    if has_bits(population, driven):
        bits = pack(population, driven, timesteps)
        yield from ((t, count(bits, t)) for t in marks)
        return
    total = torch.zeros_like(current[0])
    for t, fired in enumerate(firing(driven, threshold, start, op, timesteps), 1):
        total.add_(fired)
        if t in marks:
            yield t, total


def counts_at_once(current: Tensor, threshold: Tensor, start: Tensor, steps: int) -> Tensor:
    """(n, *shape) spike counts of a population with `wait >= T`, all of whose input comes first.

    Args:
        current: (T or 1, n, *shape); only its mean matters.
        threshold, start: broadcast against a sample.
        steps: T.
    """
    total = start + current.mean(0) * steps
    return (torch.ceil(total / threshold) - 1).clamp(0, steps)
