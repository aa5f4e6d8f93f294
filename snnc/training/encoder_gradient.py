"""Gradients of encoded inputs with respect to the input."""

from __future__ import annotations

import torch
from torch import Tensor

from snnc.encoding import Code, Latency


def with_gradient(code: Code, x: Tensor, events: Tensor) -> Tensor:
    """The events, with a straight-through gradient: rounding and chance are passed over.

    Of a direct or a Poisson code every event grows by `code.slope` per unit of the input: its
    expected value does. Of a latency code a larger input moves the spike to an earlier step:

        d s[t] / d x = (T-1) * code.slope * (|s[t+1]| - |s[t-1]|) / 2

    the central difference of the time of the spike; a spike at an end of the window stays there
    for the half that would leave it. An input that gives no spike has no gradient.

    Args:
        x: (1, N, *shape), which requires a gradient.
        events: (T or 1, N, *shape), what the code makes of `x`.
    """
    if isinstance(code, Latency):
        growth = x * (code.slope * (len(events) - 1)) * _earlier(events.abs())
    else:
        growth = x * code.slope
    return events + (growth - growth.detach())


def _earlier(fired: Tensor) -> Tensor:
    """Change of the spikes (T, …) per step by which they move to an earlier time."""
    if len(fired) == 1:
        return torch.zeros_like(fired)
    none = torch.zeros_like(fired[:1])
    before = torch.cat([fired[:1] + fired[1:2], fired[2:], none])
    after = torch.cat([none, fired[:-2], fired[-2:-1] + fired[-1:]])
    return (before - after) / 2
