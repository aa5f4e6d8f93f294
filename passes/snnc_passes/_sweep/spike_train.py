"""The spike train of a population for all samples."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from snnc.training.packed_spikes import count, unpack

ALL = slice(None)


@dataclass(frozen=True)
class SpikeTrain:
    """The spike train of an encoder or a population, for all samples, on the CPU.

    Attributes:
        events: (T or 1, N, *shape) events, or bits as of `snnc.training.packed_spikes`.
        steps: number of steps: T or 1.
        bits: whether `events` holds bits.
        gain: the value of a spike, broadcast against a sample; None for 1.
    """

    events: Tensor
    steps: int
    bits: bool = False
    gain: Tensor | None = None

    def at(self, rows: slice, steps: slice, device: torch.device) -> Tensor:
        """(T or 1, n, *shape) values of some samples and steps; one step if constant in time."""
        events = self.events[:, rows].to(device)
        if self.bits:
            assert self.gain is not None
            return unpack(events, range(self.steps)[steps], self.gain)
        events = (events[steps] if self.steps > 1 else events).float()
        return events if self.gain is None else events.mul_(self.gain)

    def mean(self, rows: slice, steps: slice, device: torch.device) -> Tensor:
        """(1, n, *shape) mean of the values of some samples over some steps."""
        if self.bits and steps == ALL:
            assert self.gain is not None
            counts = count(self.events[:, rows].to(device), self.steps)[None].float()
            return counts.mul_(self.gain / self.steps)
        return self.at(rows, steps, device).mean(0, keepdim=True)

    def density(self, samples: int) -> float:
        """Spikes per neuron and step of the first samples of a train held as bits."""
        some = count(self.events[:, :samples], self.steps)
        return float(some.sum(dtype=torch.int64)) / (some.numel() * self.steps)

    def largest(self) -> int:
        """The largest magnitude of an event before its gain."""
        return 1 if self.bits else max(abs(int(each)) for each in self.events.aminmax())
