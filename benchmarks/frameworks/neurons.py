"""Neurons of torch, SpikingJelly, snnTorch and sinabs, all on currents of all steps at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Population:
    """What a framework needs to know of some neurons, which integrate and fire, with soft reset.

    Attributes:
        threshold: a number, or of the shape of a sample, to broadcast; a neuron above it fires.
        start: the initial potential, in the same shapes.
        timesteps, batch: sizes of the two axes that are folded into the first.
        constant: its current is the same at all steps, and has one of them.
    """

    threshold: Tensor
    start: Tensor
    timesteps: int
    batch: int
    constant: bool

    @property
    def above(self) -> Tensor:
        """The next number above the threshold, for a framework that fires at its threshold."""
        return torch.nextafter(self.threshold, torch.tensor(torch.inf))

    def unfolded(self, x: Tensor) -> Tensor:
        """(T, N, *shape) of a current (T * N, *shape), or (N, *shape) where it is constant."""
        if self.constant:
            return x.unsqueeze(0).expand(self.timesteps, *x.shape)
        return x.unflatten(0, (self.timesteps, self.batch))


class PlainNeurons(nn.Module):
    """Neurons in operations of torch."""

    def __init__(self, population: Population) -> None:
        super().__init__()
        self.population = population
        self.register_buffer("threshold", population.threshold)
        self.register_buffer("start", population.start)

    def forward(self, x: Tensor) -> Tensor:
        steps, u, spikes = self.population.unfolded(x), self.start, list[Tensor]()
        for t in range(self.population.timesteps):
            u = u + steps[t]
            fired = (u > self.threshold).to(x.dtype)
            u = u - fired * self.threshold
            spikes.append(fired)
        return torch.cat(spikes)


class SpikingJellyNeurons(nn.Module):
    """`IFNode`, all steps at once; it fires at its threshold, which is a number."""

    def __init__(self, population: Population) -> None:
        super().__init__()
        from spikingjelly.activation_based import neuron

        self.population = population
        self.node = neuron.IFNode(v_threshold=float(population.above), v_reset=None, step_mode="m")
        self.begins = bool((population.start != 0).any())
        self.register_buffer("start", population.start)

    def forward(self, x: Tensor) -> Tensor:
        steps = self.population.unfolded(x)
        self.node.reset()
        if self.begins:
            self.node.v = self.start.expand(steps.shape[1:])
        return self.node(steps).flatten(0, 1)


class SnnTorchNeurons(nn.Module):
    """`Leaky` without a leak, step after step."""

    def __init__(self, population: Population) -> None:
        super().__init__()
        import snntorch

        self.population = population
        self.node = snntorch.Leaky(beta=1.0, threshold=population.threshold, surrogate_disable=True)
        self.register_buffer("start", population.start)

    def forward(self, x: Tensor) -> Tensor:
        steps, spikes = self.population.unfolded(x), list[Tensor]()
        u = self.start.expand(steps.shape[1:])
        for t in range(self.population.timesteps):
            fired, u = self.node(steps[t], u)
            spikes.append(fired)
        return torch.cat(spikes)


class SinabsNeurons(nn.Module):
    """`IAF` with one spike a step; it fires at its threshold, and takes (N, T, *shape)."""

    def __init__(self, population: Population) -> None:
        super().__init__()
        import sinabs.activation
        import sinabs.layers

        self.population = population
        self.node = sinabs.layers.IAF(
            spike_threshold=population.above,
            spike_fn=sinabs.activation.SingleSpike,
            reset_fn=sinabs.activation.MembraneSubtract(),
        )
        self.register_buffer("start", population.start)

    def forward(self, x: Tensor) -> Tensor:
        steps = self.population.unfolded(x).transpose(0, 1)
        self.node.v_mem = self.start.expand(steps.shape[0], *steps.shape[2:])
        return self.node(steps).transpose(0, 1).flatten(0, 1)


Neurons = Callable[[Population], nn.Module]
FRAMEWORKS: Mapping[str, Neurons] = MappingProxyType(
    {
        "SpikingJelly": SpikingJellyNeurons,
        "snnTorch": SnnTorchNeurons,
        "sinabs": SinabsNeurons,
        "torch": PlainNeurons,
    }
)
