"""Memory for spike trains, in the memory format of their currents."""

from __future__ import annotations

import torch
from torch import Tensor

STEPS = 8
"""Steps in a byte of a train with one bit per step; the first is the lowest bit."""


def train_like(current: Tensor, steps: int, dtype: torch.dtype | None = None) -> Tensor:
    """An uninitialised (steps, N, *shape) in the memory format of `current` (…, N, *shape)."""
    sample = torch.empty_like(current[0], dtype=dtype)
    strides = (sample.numel(), *sample.stride())
    return sample.new_empty_strided((steps, *sample.shape), strides)
