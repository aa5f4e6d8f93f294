"""Random shifts and flips of images."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from snnc_passes.train._options import Augmentation

SHIFT = 8
"""Shifts are up to 1/8 of a side, at least one pixel: 4 pixels of 32."""


def augment(x: Tensor, how: Augmentation) -> Tensor:
    """Images (N, C, H, W), flipped and shifted at random, by torch's generator.

    Every image is flipped left to right with probability ½; `crop-flip` also shifts it, padded with
    zeros (the augmentation for CIFAR-10 of He et al., "Deep Residual Learning for Image
    Recognition", 2016, section 4.2).
    """
    if how == "none":
        return x
    count, _, height, width = x.shape
    columns = torch.arange(width).expand(count, width)
    mirrored = torch.rand(count, 1) < 0.5
    columns = torch.where(mirrored, columns.flip(1), columns)
    rows = torch.arange(height).expand(count, height)
    if how == "crop-flip":
        up, left = max(1, height // SHIFT), max(1, width // SHIFT)
        x = F.pad(x, (left, left, up, up))
        rows = rows + torch.randint(2 * up + 1, (count, 1))
        columns = columns + torch.randint(2 * left + 1, (count, 1))
    images = torch.arange(count)[:, None, None]
    moved = x.movedim(1, -1)[images, rows[:, :, None], columns[:, None, :]]
    return moved.movedim(-1, 1).contiguous()
