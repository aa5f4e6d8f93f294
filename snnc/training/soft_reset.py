"""Populations without leak that reset by subtraction, without a tensor made for every step.

The recurrence of `snnc.interp.Population` for what a search runs again and again; the same bits.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from snnc.ir import Neuron


def firing(
    current: Tensor,
    threshold: Tensor,
    start: Tensor,
    op: Neuron,
    steps: int,
    bias: Tensor | None = None,
) -> Iterator[Tensor]:
    """Spikes (n, *shape) step by step; the tensor is the same one each time.

    Args:
        current: (T or 1, n, *shape).
        threshold, start: broadcast against a sample.
        op: `wait` and `signed` are read.
        steps: T.
        bias: added to the current of every step; broadcasts likewise.
    """
    u = torch.zeros_like(current[0]).add_(start)
    fired, total = torch.empty_like(u), torch.zeros_like(u)
    for t in range(steps + op.wait):
        if t < steps:
            u.add_(current[t if len(current) > 1 else 0])
            if bias is not None:
                u.add_(bias)
        if t < op.wait:
            continue
        torch.gt(u, threshold, out=fired)
        if op.signed:
            fired.sub_(((total > 0) & (u < 0)).to(fired.dtype))
            total.add_(fired)
        u.addcmul_(fired, threshold, value=-1)
        yield fired


def counts_at_once(current: Tensor, threshold: Tensor, start: Tensor, steps: int) -> Tensor:
    """(n, *shape) spikes of a population that has its whole input before it may fire.

    Args:
        current: (T or 1, n, *shape), of which only the mean counts.
        threshold, start: broadcast against a sample.
        steps: T.
    """
    total = start + current.mean(0) * steps
    return (torch.ceil(total / threshold) - 1).clamp(0, steps)
