"""The weights a network computes with, where some are removed or snapped to levels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from snnc.training.levels import Levels


class Synapses(nn.Module):
    """What is made of a weight in every forward pass: masked, and snapped to levels.

    The parameter is the shadow weight that an optimiser moves. Whatever it does outside the mask
    (momentum, weight decay), these synapses are not there. The gradient of snapping is
    straight-through: a shadow weight moves by steps much smaller than the distance of two levels.

    Args:
        mask: of the weight's shape, True where there is a synapse.
        levels: the number of levels; 0 for weights that are not snapped.

    Buffers, which are part of the state of the network: `mask`; with levels also `relative` and
    `bound`, see `Levels`.
    """

    mask: Tensor
    relative: Tensor
    bound: Tensor

    def __init__(self, mask: Tensor, levels: int = 0) -> None:
        super().__init__()
        self.register_buffer("mask", mask.clone())
        self.snapped = levels > 0
        if self.snapped:
            rows = (len(mask), *(1,) * (mask.ndim - 1))
            self.register_buffer("relative", torch.ones(levels))
            self.register_buffer("bound", torch.zeros(rows))

    def forward(self, weight: Tensor) -> Tensor:
        """The weight that the layer computes with; zeros have no gradient."""
        kept = weight * self.mask
        if not self.snapped:
            return kept
        snapped = Levels(self.relative, self.bound).snap(kept.detach())
        return snapped + (kept - kept.detach())  # the value is the level, bit for bit

    def set_levels(self, levels: Levels) -> None:
        """Snap to these levels from now on."""
        self.relative.copy_(levels.relative)
        self.bound.copy_(levels.bound.expand_as(self.bound))
