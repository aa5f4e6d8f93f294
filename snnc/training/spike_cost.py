"""A cost on spikes, to add to a loss."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from snnc.errors import UsageError


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
