"""Weights that have one of a few magnitudes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Levels:
    """The magnitudes that the weights of a layer may have.

    Attributes:
        relative: (k,) ascending, above 0; relative to `bound`.
        bound: of each output channel, shaped to multiply the weights: (C, 1, …), or () for all.
    """

    relative: Tensor
    bound: Tensor

    def snap(self, weight: Tensor) -> Tensor:
        """Every weight with the nearest magnitude and its own sign; zeros stay zero.

        The boundaries are midpoints between adjacent levels; a weight on one takes the larger.
        """
        size = torch.where(self.bound > 0, weight.abs() / self.bound, torch.zeros_like(weight))
        middles = (self.relative[1:] + self.relative[:-1]) / 2
        nearest = self.relative[torch.bucketize(size.contiguous(), middles, right=True)]
        return torch.sign(weight) * nearest * self.bound
