"""Populations that fire evenly over the window: a spiking network as an ANN of few levels."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from snnc.errors import UsageError
from snnc.interp import Population
from snnc.ir import AnyNeuron, Graph, TwoSidedNeuron


def even_spikes(population: Population, current: Tensor, timesteps: int) -> Tensor:
    """Spikes per step (1, N, *shape) of neurons whose input is the same at all T steps.

    With I the mean current, z = (T*I + v_init)/threshold, a population fires n of T times,

        n = the largest whole number below z, within 0..T

    so that it computes a clip, a floor and a shift, as an ANN with quantised activations does (Bu
    et al., "Optimal ANN-SNN Conversion for High-accuracy and Ultra-low-latency Spiking Neural
    Networks", 2022). A two-sided one fires n of |z| times, with the sign of z; one
    that rounds takes the nearest whole number. At T = 1 these are the spikes themselves. The
    gradient of n is that of the line through the middles of the stairs, clip(z - 1/2, 0, T)
    (straight-through), by the current, the threshold and v_init.

    Args:
        current: (T, N, *shape), or (1, N, *shape) if constant.
        timesteps: T.
    """
    total = current.mean(0, keepdim=True) * timesteps
    z = (total + population.v_init) / population.threshold
    if not isinstance(population.op, TwoSidedNeuron):
        return _stairs(z, 1.0, timesteps) / timesteps
    start = 0.5 if population.op.rounds else 1.0
    return (_stairs(z, start, timesteps) - _stairs(-z, start, timesteps)) / timesteps


def _stairs(z: Tensor, first: float, most: int) -> Tensor:
    """How many of first, first + 1, first + 2, … are below z, at most `most`."""
    line = (z - first + 0.5).clamp(0, most)
    with torch.no_grad():
        count = (torch.ceil(z - first)).clamp(0, most)
    return line + (count - line).detach()


def check_even(graph: Graph, learn: Collection[str]) -> None:
    """Raise `UsageError` for neurons whose spikes do not follow from their mean current.

    Args:
        learn: the fields of ops that are trained.
    """
    for node in graph.nodes:
        op = node.op
        if not isinstance(op, AnyNeuron):
            continue
        leaky = "leak" in learn or bool((graph.array(op.leak) != 1).any())
        for wrong, what in (
            (leaky, "leaks"),
            (op.reset != "subtract", f"has reset={op.reset}"),
            (op.order != "integrate-fire", f"has order={op.order}"),
        ):
            if wrong:
                raise UsageError(
                    f"{node.name} {what}: its spikes do not follow from its mean current",
                    hint="neurons without leak, reset=subtract, order=integrate-fire",
                )
