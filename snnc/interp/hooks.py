"""What a training loop may look at in a spiking network, and what it may add to its loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor

from snnc.errors import UsageError
from snnc.interp.network import SpikingNetwork


@dataclass(frozen=True)
class LayerStatistics:
    """One population in one call of the network; a spike of -1 counts as a spike.

    Attributes:
        node: the neuron node.
        rate: spikes per neuron and step, 0..1.
        spikes_per_neuron: over the window, mean over the batch.
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
    """Figures of what `network.record()` collected, inputs before users.

    Args:
        network: whose thresholds and leaks are told, as they are now.
        spikes: neuron node -> (T, N, *shape).
    """
    thresholds, leaks = network.thresholds, network.leaks
    found: list[LayerStatistics] = []
    for node, fired in spikes.items():
        count = int(torch.count_nonzero(fired))
        found.append(
            LayerStatistics(
                node=node,
                rate=count / fired.numel(),
                spikes_per_neuron=count / fired[0].numel(),
                silent=1 - float((fired != 0).flatten(0, 1).any(0).double().mean()),
                threshold=float(thresholds[node].double().mean()),
                leak=float(leaks[node].double().mean()),
            )
        )
    return tuple(found)


def watch(network: SpikingNetwork, callback: Callable[[Statistics], object]) -> ExitStack:
    """Call `callback` with the `layer_statistics` of every forward pass, as soon as it is through.

    Outputs and gradients stay as they are. The figures cost a look at every spike: to have them now
    and then, watch a single call.

    Args:
        network: itself, also where a loop calls it through DistributedDataParallel.
        callback: takes a tuple of `LayerStatistics`.

    Returns:
        What ends it: `with watch(…):`, or `.close()`.
    """
    stack = ExitStack()
    spikes = stack.enter_context(network.record())

    def through(*_: object) -> None:
        found = layer_statistics(network, spikes)
        spikes.clear()
        callback(found)

    stack.callback(network.register_forward_hook(through).remove)
    return stack


def spike_cost(
    spikes: Mapping[str, Tensor],
    *,
    target: float = 0.0,
    weights: Mapping[str, float] | None = None,
) -> Tensor:
    """How much more often than `target` neurons fire: a cost to add to a loss, times a factor.

        C = sum_l w_l max(0, r_l - target) / sum_l w_l

    r_l is the number of spikes of population l per neuron and step, over the batch. C does not grow
    with the window, the batch or the network. With the default weights, the numbers of neurons,
    and a target of 0 it is the rate of the whole network: every spike costs the same. With the
    additions behind each population (`snnc.analysis.synaptic_operations`) it is proportional to
    their energy.

    Args:
        spikes: neuron node -> (T, N, *shape), as `network.record()` collects them.
        target: a rate, 0..1, that costs nothing.
        weights: w_l by neuron node, not negative; populations without one cost nothing.

    Returns:
        0-d, in float32 or wider. A neuron that did not fire has the gradient of one that did.

    Raises:
        UsageError: no spikes, or a target, node or weight that cannot be.
    """
    if not spikes:
        raise UsageError("there are no spikes to cost", hint="call the network inside record()")
    if not 0 <= target < 1:
        raise UsageError(f"a target rate of {target:g}; it must lie in 0..1")
    if weights is None:
        weights = {node: fired.shape[2:].numel() for node, fired in spikes.items()}
    unknown = sorted(weights.keys() - spikes.keys())
    if unknown:
        raise UsageError(
            f"a weight for {unknown[0]!r}, which is no neuron node", hint=f"of {', '.join(spikes)}"
        )
    total = sum(weights.values())
    if min(weights.values(), default=0) < 0 or not total > 0:
        raise UsageError("weights must not be negative, and not all 0")
    costs = [w * (_rate(spikes[node]) - target).clamp(min=0) for node, w in weights.items()]
    return torch.stack(costs).sum() / total


def _rate(spikes: Tensor) -> Tensor:
    """Spikes per neuron and step; unlike abs(), where(…) has a gradient at 0."""
    wide = torch.promote_types(spikes.dtype, torch.float32)
    return torch.where(spikes < 0, -spikes, spikes).mean(dtype=wide)
