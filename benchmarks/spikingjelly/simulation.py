"""SpikingJelly's converted networks for `conversion.py`, and how they are run.

A network runs as SpikingJelly made it, step after step, but for two things that change no bit of
what it puts out: images lie channel last, and a neuron between its two scalers computes in place
what the three modules compute in eight passes over memory. `convert` compares the two on a batch
and raises where a single bit differs.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Array = NDArray[np.float32]
Batches = Sequence[Tensor]


def _rate(mode: str, **options: bool) -> Callable[[Any, Batches], Any]:
    return lambda sj, batches: sj.RateCodingRecipe(batches, mode=mode, **options)


RECIPES: Mapping[str, Callable[[Any, Batches], Any]] = {
    "local-threshold-balancing-20": lambda sj, batches: sj.LocalThresholdBalancingRecipe(
        [*batches] * 20
    ),
    "99.9%-channel-half": _rate("99.9%", channel_wise=True, half_threshold=True),
    "max-channel-half": _rate("Max", channel_wise=True, half_threshold=True),
    "99.9%-channel": _rate("99.9%", channel_wise=True),
    "99.9%": _rate("99.9%"),
    "max-channel": _rate("Max", channel_wise=True),
    "max": _rate("Max"),
}


class SimulationError(Exception):
    """A network that would not be simulated as SpikingJelly does it."""


class Neurons(nn.Module):
    """A scaler, integrate-and-fire neurons of threshold 1 and soft reset, a scaler; in place.

    What comes in is overwritten: convolutions and sums, of which each has one scaler only.
    """

    def __init__(self, before: Tensor, after: Tensor, start: float) -> None:
        """Scales of (channels,) or (); the potential at the start."""
        super().__init__()
        self.before, self.after = before.flatten(), after.flatten()
        self.start = start
        self.reset()

    def reset(self) -> None:
        """Back to the start."""
        self.potential = self.spikes = torch.empty(0)

    def forward(self, x: Tensor) -> Tensor:
        if self.potential.shape != x.shape:
            self.potential, self.spikes = torch.full_like(x, self.start), torch.empty_like(x)
        channels = (-1, *[1] * (x.dim() - 2))
        self.potential.add_(x.mul_(self.before.reshape(channels)))
        torch.ge(self.potential, 1.0, out=self.spikes)
        self.potential.sub_(self.spikes)
        return torch.mul(self.spikes, self.after.reshape(channels), out=x)


def convert(ann: nn.Module, recipe: str, calibration: Batches, x: Tensor, steps: int) -> nn.Module:
    """The recipe's network, ready for `simulate`.

    Args:
        ann: the trained network, left as it is.
        recipe: of `RECIPES`.
        calibration: normalised images.
        x: images to compare with SpikingJelly's own run on, (N, channels, height, width).
        steps: how many of them.

    Raises:
        SimulationError: where it puts out something else.
    """
    spikingjelly = import_module("spikingjelly.activation_based.ann2snn")
    converter = spikingjelly.Converter(RECIPES[recipe](spikingjelly, calibration))
    own = converter.convert(copy.deepcopy(ann)).eval().to(memory_format=torch.channels_last)
    faster = quicken(own)
    if not np.array_equal(simulate(own, x, steps), simulate(faster, x, steps)):
        raise SimulationError(f"{recipe}: in place, it differs from SpikingJelly's own run")
    return faster


def quicken(network: nn.Module) -> nn.Module:
    """A copy whose neurons compute in place."""
    neuron = import_module("spikingjelly.activation_based.neuron")
    network = copy.deepcopy(network)
    for module in network.modules():
        if not isinstance(getattr(module, "if_node", None), nn.Module):
            continue
        own: Any = module
        kinds = {neuron.IFNode: 0.0, neuron.HalfThresholdIFNode: 0.5}
        node = own.if_node
        if type(node) not in kinds or (node.v_threshold, node.v_reset) != (1, None):
            raise SimulationError(f"neurons of another kind: {node}")
        own.if_node = Neurons(own.scaler0.scale, own.scaler1.scale, kinds[type(node)])
        own.scaler0, own.scaler1 = nn.Identity(), nn.Identity()
    return network


def simulate(network: nn.Module, x: Tensor, steps: int) -> Array:
    """The last layer's output, (N, channels, height, width) -> (steps, N, 10)."""
    reset(network)
    x = x.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        outputs = np.stack([network(x).numpy() for _ in range(steps)])
    reset(network)
    return outputs


def reset(network: nn.Module) -> None:
    """All neurons back to the start; lets go of the potentials."""
    for module in network.modules():
        if callable(own := getattr(module, "reset", None)):
            own()
