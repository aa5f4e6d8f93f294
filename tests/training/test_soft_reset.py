"""Soft reset in place: the spikes of the recurrence, bit for bit."""

from dataclasses import replace

import pytest
import torch

from snnc.interp import Population
from snnc.ir import AnyNeuron, Neuron, TwoSidedNeuron
from snnc.training.soft_reset import counts_at_once, firing

T = 9


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize(
    "op",
    [
        *(Neuron(), Neuron(wait=3), Neuron(wait=1, signed=True)),
        *(TwoSidedNeuron(), TwoSidedNeuron(wait=2), TwoSidedNeuron(rounds=True)),
    ],
    ids=str,
)
def test_firing_in_place_is_the_recurrence(op: AnyNeuron, constant: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    current = torch.randn(1 if constant else T, 40, 6, 2, 2, generator=generator)
    threshold = torch.rand(6, 1, 1, generator=generator) + 0.1
    start = torch.rand(6, 1, 1, generator=generator)
    wanted = Population(op, threshold, None, start).run(current, T)
    found = torch.stack([fired.clone() for fired in firing(current, threshold, start, op, T)])
    assert torch.equal(found, wanted)
    assert found.max() == 1
    assert (float(found.min()) < 0) == op.signed


def test_what_waits_for_all_its_input_is_counted_at_once() -> None:
    generator = torch.Generator().manual_seed(0)
    current = torch.randint(-8, 9, (T, 40, 6), generator=generator) / 8
    threshold, start = torch.tensor(0.75), torch.tensor(0.375)
    waiting = Population(replace(Neuron(), wait=T), threshold, None, start).run(current, T)
    found = counts_at_once(current.double(), threshold.double(), start.double(), T)
    assert torch.equal(found.float(), waiting.sum(0))
