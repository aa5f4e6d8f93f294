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
    """Mean excess of the firing rates over `target`, a regulariser of a loss.

        C = sum_l w_l max(0, r_l - target) / sum_l w_l

    r_l is the number of spikes of population l per neuron and step, averaged over the batch. C lies
    in 0..1 whatever the window, batch and network. With the default weights (the numbers of
    neurons) and a target of 0 it is the firing rate of the network. With the synaptic operations
    per spike as weights (`snnc.analysis.synaptic_operations`) it is proportional to their energy.

    Args:
        spikes: neuron node -> (T, N, *shape), as `network.record()` collects them.
        target: rate in 0..1 up to which a population costs nothing.
        weights: w_l >= 0 by neuron node; a population without a weight costs nothing.

    Returns:
        0-d, in float32 or wider. Silent neurons have the same gradient as firing ones.

    Raises:
        UsageError: there are no spikes; the target is outside 0..1; a weight is negative or for an
            unknown node, or all are 0.
    """
    if not spikes:
        raise UsageError("there are no spikes to cost", hint="call the network inside record()")
    if not 0 <= target < 1:
        raise UsageError(f"a target rate of {target:g}; it must lie in 0..1")
    shares = _shares(spikes, weights)
    costs = [w * (_rate(spikes[node]) - target).clamp(min=0) for node, w in shares.items()]
    return torch.stack(costs).sum() / sum(shares.values())


def _shares(
    spikes: Mapping[str, Tensor], weights: Mapping[str, float] | None
) -> Mapping[str, float]:
    """The weights by neuron node, checked; by default the numbers of neurons."""
    if weights is None:
        weights = {node: fired.shape[2:].numel() for node, fired in spikes.items()}
    unknown = sorted(weights.keys() - spikes.keys())
    if unknown:
        raise UsageError(
            f"a weight for {unknown[0]!r}, which is no neuron node", hint=f"of {', '.join(spikes)}"
        )
    if min(weights.values(), default=0) < 0 or not sum(weights.values()) > 0:
        raise UsageError("weights must not be negative, and not all 0")
    return weights


def _rate(spikes: Tensor) -> Tensor:
    """Spikes per neuron and step; unlike abs(), where(…) has a gradient at 0."""
    wide = torch.promote_types(spikes.dtype, torch.float32)
    return torch.where(spikes < 0, -spikes, spikes).mean(dtype=wide)
