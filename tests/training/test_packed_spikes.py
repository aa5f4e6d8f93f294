"""Spike trains as bits: those of the recurrence, and sums of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from snnc.interp import Population
from snnc.ir import AnyNeuron, Neuron, TwoSidedNeuron
from snnc.native.code import Machine
from snnc.training import native_scan
from snnc.training.packed_spikes import count, has_bits, pack, packed, unpack
from snnc.training.soft_reset import sums_after

GENERATOR = torch.Generator().manual_seed(0)
N, SHAPE = 11, (6, 3, 2)


def population(op: AnyNeuron, leak: Tensor | None = None) -> Population:
    threshold, start = (torch.rand(6, 1, 1, generator=GENERATOR) + offset for offset in (0.1, -0.3))
    return Population(op, threshold, leak, start)


def drive(steps: int, last: bool) -> Tensor:
    """(steps, N, *SHAPE), its images in channels_last or not."""
    if not last:
        return torch.randn(steps, N, *SHAPE, generator=GENERATOR)
    channels, *image = SHAPE
    return torch.randn(steps, N, *image, channels, generator=GENERATOR).movedim(-1, 2)


@pytest.mark.parametrize("timesteps", [1, 7, 8, 9, 20])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("constant", [False, True])
def test_bits_are_the_spikes_of_the_recurrence(timesteps: int, last: bool, constant: bool) -> None:
    neurons, current = population(Neuron()), drive(1 if constant else timesteps, last)
    assert has_bits(neurons, current)
    wanted = neurons.run(current, timesteps)
    bits = pack(neurons, current, timesteps)
    assert bits.dtype == torch.uint8 and len(bits) == -(-timesteps // 8)
    assert bits[0].stride() == torch.empty_like(current[0]).stride()
    assert torch.equal(bits, packed(wanted))
    assert torch.equal(unpack(bits, range(timesteps), torch.tensor(1.0)), wanted)
    for steps in range(timesteps + 1):
        assert torch.equal(count(bits, steps), wanted[:steps].sum(0).to(torch.uint8))


@pytest.mark.parametrize(
    ("op", "leak"),
    [(Neuron(wait=2), None), (Neuron(order="fire-integrate"), None), (Neuron(), torch.tensor(0.8))],
)
def test_other_populations_are_packed_too(op: AnyNeuron, leak: Tensor | None) -> None:
    neurons, current = population(op, leak), drive(9, last=True)
    assert torch.equal(pack(neurons, current, 9), packed(neurons.run(current, 9)))


@pytest.mark.parametrize("block", [16, 32])
def test_every_width_of_vector_gives_the_same(block: int, monkeypatch: Any) -> None:
    neurons, current = population(Neuron()), drive(10, last=True)
    wanted = pack(neurons, current, 10)
    _forget()
    real = native_scan.text
    monkeypatch.setattr(native_scan, "_lanes", lambda: block)
    monkeypatch.setattr(native_scan, "text", lambda spec, _: real(spec, Machine(block=block)))
    try:
        assert torch.equal(pack(neurons, current, 10), wanted)
    finally:
        _forget()


def _forget() -> None:
    native_scan._function.cache_clear()
    native_scan._library.cache_clear()


def test_values_of_some_steps() -> None:
    spikes = (torch.rand(20, 4, 3, 2, 2, generator=GENERATOR) < 0.3).float()
    value = torch.tensor([0.7, 3.0, -0.1]).reshape(3, 1, 1)
    for steps in (range(20), range(5, 13), range(8, 9), range(16, 20)):
        found = unpack(packed(spikes), steps, value)
        assert torch.equal(found, spikes[steps.start : steps.stop] * value)


def test_many_steps_are_counted_beyond_a_byte() -> None:
    spikes = torch.ones(300, 2, 3)
    assert torch.equal(count(packed(spikes), 299), torch.full((2, 3), 299, dtype=torch.int32))


@pytest.mark.parametrize(
    "op", [Neuron(), Neuron(wait=3), Neuron(wait=1, signed=True), TwoSidedNeuron()], ids=str
)
def test_sums_of_the_first_steps(op: AnyNeuron) -> None:
    current, bias = drive(9, last=True), torch.randn(6, 1, 1, generator=GENERATOR) / 4
    neurons, marks = population(op), [1, 4, 8, 9]
    sums = neurons.run(current + bias, 9).cumsum(0)
    found = sums_after(marks, current, neurons.threshold, neurons.v_init, op, 9, bias)
    seen: list[int] = []
    for t, total in found:
        assert torch.equal(total.float(), sums[t - 1])
        seen.append(t)
    assert seen == marks
