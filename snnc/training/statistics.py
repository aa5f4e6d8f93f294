"""Statistics of a spiking network in training: rates, thresholds and leaks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor

from snnc.tallies import FiringTally
from snnc.training.spiking_network import SpikingNetwork


@dataclass(frozen=True)
class LayerStatistics:
    """Statistics of one population in one call of the network; a spike of -1 counts as a spike.

    Attributes:
        node: the neuron node.
        rate: spikes per neuron and step, 0..1.
        spikes_per_neuron: in the window, mean over the batch.
        silent: fraction of the neurons that fired for no sample of the batch.
        threshold: mean over the layer.
        leak: mean over the layer.
    """

    node: str
    rate: float
    spikes_per_neuron: float
    silent: float
    threshold: float
    leak: float

    def __str__(self) -> str:
        return (
            f"{self.node}: {self.rate:.3f} spikes per neuron and step, {self.silent:.1%} silent, "
            f"threshold {self.threshold:.4g}, leak {self.leak:.4g}"
        )


Statistics = tuple[LayerStatistics, ...]


@torch.no_grad()
def layer_statistics(network: SpikingNetwork, spikes: Mapping[str, Tensor]) -> Statistics:
    """Statistics of the spikes that `network.record()` collected, in the order of the graph.

    Args:
        network: the network; its current thresholds and leaks are reported.
        spikes: neuron node -> (T, N, *shape).
    """
    thresholds, leaks = network.thresholds, network.leaks
    layers: list[LayerStatistics] = []
    for node, fired in spikes.items():
        tally = FiringTally()
        ever = (fired != 0).flatten(0, 1).any(0).cpu().numpy()
        tally.add(int(torch.count_nonzero(fired)), fired.numel(), fired.shape[1], ever)
        layers.append(
            LayerStatistics(
                node=node,
                rate=tally.rate,
                spikes_per_neuron=tally.events / fired[0].numel(),
                silent=tally.silent,
                threshold=float(thresholds[node].double().mean()),
                leak=float(leaks[node].double().mean()),
            )
        )
    return tuple(layers)


def watch(network: SpikingNetwork, callback: Callable[[Statistics], object]) -> ExitStack:
    """Call `callback` with the `layer_statistics` of every forward pass, after it has finished.

    Outputs and gradients do not change. Every spike is read, so watch only the calls whose
    statistics are needed.

    Args:
        network: the network itself, not the DistributedDataParallel around it.
        callback: takes a tuple of `LayerStatistics`.

    Returns:
        A context manager; leaving it, or its `close()`, ends the calls.
    """
    stack = ExitStack()
    spikes = stack.enter_context(network.record())

    def after_forward(*_: object) -> None:
        layers = layer_statistics(network, spikes)
        spikes.clear()
        callback(layers)

    stack.callback(network.register_forward_hook(after_forward).remove)
    return stack
