"""Errors of a population in machine code against those of its spikes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from snnc.interp import Population
from snnc.ir import Neuron
from snnc.training.neuron_errors import error_sums

T, SAMPLES = 6, 5
MARKS = [2, 5, 6]
GENERATOR = torch.Generator().manual_seed(0)


def uniform(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=GENERATOR)


def channels_last(x: Tensor) -> Tensor:
    return x.movedim(-3, -1).contiguous().movedim(-1, -3)


def expected(current: Tensor, target: Tensor, neurons: list[Tensor], weight: Tensor) -> Tensor:
    """(n, marks, 2, C) in float64."""
    around = (-1, *(1,) * (target.ndim - 2))
    threshold, start, bias, value = (each.reshape(around) for each in neurons)
    driven = (current + bias).expand(T, *target.shape)
    spikes = Population(Neuron(), threshold, None, start).run(driven, T).double().cumsum(0)
    found: list[Tensor] = []
    for t in MARKS:
        error = (target.double() * t / T - spikes[t - 1] * value) * weight
        error = error.reshape(*target.shape[:2], -1)
        found.append(torch.stack([error.sum(2), error.square().sum(2)], 1))
    return torch.stack(found, 1)


@pytest.mark.parametrize("shape", [(16, 4, 3), (10, 4, 3), (96, 1, 1), (7,)], ids=str)
@pytest.mark.parametrize("steps", [1, T])
@pytest.mark.parametrize("last", [False, True])
def test_sums_are_those_of_the_errors(shape: tuple[int, ...], steps: int, last: bool) -> None:
    current, target = 2 * uniform(steps, SAMPLES, *shape) - 0.5, uniform(SAMPLES, *shape)
    weight = uniform(SAMPLES, *shape) - 0.5
    if last and len(shape) > 1:
        current, target = channels_last(current), channels_last(target)
    neurons = [uniform(shape[0]) + 0.3 for _ in range(4)]
    some = slice(1, 4)
    for factors in (None, weight):
        given = None if factors is None else factors[some]
        found = error_sums(current[:, some], target[some], neurons, MARKS, T, given)
        factors = torch.ones_like(target) if factors is None else factors
        wanted = expected(current, target, neurons, factors)[some]
        torch.testing.assert_close(found.double(), wanted, rtol=1e-4, atol=1e-5)


def test_sums_do_not_depend_on_the_threads() -> None:
    current, target = uniform(T, 40, 32, 5, 5), uniform(40, 32, 5, 5)
    neurons = [uniform(32) + 0.3 for _ in range(4)]
    threads, found = torch.get_num_threads(), list[Tensor]()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append(error_sums(current, target, neurons, MARKS, T))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*found)
