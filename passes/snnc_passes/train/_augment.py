"""Images, shifted and mirrored at random."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from snnc_passes.train._options import Augmentation

SHIFT = 8
"""A crop is shifted by up to this part of a side, and one pixel at least: 4 pixels of 32."""


def augment(x: Tensor, how: Augmentation) -> Tensor:
    """Images (N, C, H, W) with other positions, from torch's generator.

    Every image is mirrored left to right with probability ½; `crop-flip` also shifts it, with zeros
    where nothing was (the crop of 32 out of 40 by which CIFAR-10 is trained: He et al., "Deep
    Residual Learning for Image Recognition", 2016, section 4.2).
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
    each = torch.arange(count)[:, None, None]
    moved = x.movedim(1, -1)[each, rows[:, :, None], columns[:, None, :]]
    return moved.movedim(-1, 1).contiguous()
