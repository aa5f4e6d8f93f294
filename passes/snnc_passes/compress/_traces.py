"""Traces of presynaptic events: what a synapse remembers of its input when the neuron fires."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

Trace = Literal["nearest", "additive"]


def traced(x: Tensor, tau: float, trace: Trace, wait: int = 0) -> Tensor:
    """The trace of events at every step of a population that fires `wait` steps after its input.

    "nearest" is set to an event's value and decays, exp(-(t_post - t_pre) / tau) behind a spike;
    "additive" adds events up. An event counts in its own step, in which it reaches the neuron (S8).

    Args:
        x: events (T, N, *shape), or (1, N, *shape) where constant in time: its own trace.
        tau: time constant in steps.

    Returns:
        (T or 1, N, *shape).
    """
    if len(x) == 1:
        return x
    decay = math.exp(-1 / tau)
    state, traces = torch.zeros_like(x[0]), torch.empty_like(x)
    for t in range(len(x) + wait):
        state = state * decay
        if t < len(x):
            now = x[t]
            state = state + now if trace == "additive" else torch.where(now != 0, now, state)
        if t >= wait:
            traces[t - wait] = state
    return traces
