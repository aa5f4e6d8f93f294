"""Spike trains with one bit per step, an eighth of a byte each."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from snnc.interp import Population
from snnc.training.scan import scan
from snnc.training.train_like import STEPS, train_like


def pack(population: Population, current: Tensor, timesteps: int) -> Tensor:
    """The spikes of a population as bits, (ceil(T/8), N, *shape), in the format of the current.

    Args:
        population: one whose spikes are not negative.
        current: (T, N, *shape), or (1, N, *shape) if constant.
        timesteps: T.
    """
    if has_bits(population, current):
        from snnc.training.native_scan import packed_scan

        return packed_scan(population, current, timesteps)
    return packed(scan(population, current, timesteps, None))


def has_bits(population: Population, current: Tensor) -> bool:
    """Whether there is machine code that computes the bits of a population."""
    if current.device.type != "cpu":
        return False
    from snnc.training.native_scan import has_code

    return has_code(population, current, None)


def packed(spikes: Tensor) -> Tensor:
    """Spikes (T, N, *shape), 0 or 1, as bits, (ceil(T/8), N, *shape)."""
    whole = train_like(spikes, -(-len(spikes) // STEPS), torch.uint8).zero_()
    for t, now in enumerate(spikes):
        whole[t // STEPS] |= now.to(torch.uint8) << (t % STEPS)
    return whole


def unpack(whole: Tensor, steps: range, value: Tensor) -> Tensor:
    """(len(steps), N, *shape) of some steps: 0, or `value`, which broadcasts against a sample."""
    spikes = train_like(whole, len(steps), value.dtype)
    for now, t in zip(spikes, steps, strict=True):
        bit = 1 << (t % STEPS)
        now.copy_(whole[t // STEPS] & bit).mul_(value / bit)
    return spikes


def count(whole: Tensor, steps: int) -> Tensor:
    """(N, *shape) number of spikes in the first `steps` steps, an integer."""
    total: Tensor | None = None
    for first, bits in zip(range(0, steps, STEPS), whole, strict=False):
        left = steps - first
        bits = bits if left >= STEPS else bits & ((1 << left) - 1)
        bits = _ones(bits)
        bits = bits if steps < 256 else bits.to(torch.int32)
        total = bits if total is None else total + bits
    return torch.zeros_like(whole[0]) if total is None else total


def _ones(bits: Tensor) -> Tensor:
    """The number of ones in every byte."""
    if bits.device.type == "cpu":  # many times as fast as torch's shifts
        return torch.from_numpy(np.bitwise_count(bits.numpy()))
    bits = bits - ((bits >> 1) & 0x55)
    bits = (bits & 0x33) + ((bits >> 2) & 0x33)
    return (bits + (bits >> 4)) & 0x0F
