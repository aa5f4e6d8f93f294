"""Memory for trains of spikes, in the order of the currents they come from."""

from __future__ import annotations

import torch
from torch import Tensor


def train_like(current: Tensor, steps: int, dtype: torch.dtype | None = None) -> Tensor:
    """An empty (steps, N, *shape) whose samples lie in memory as those of (…, N, *shape) do."""
    sample = torch.empty_like(current[0], dtype=dtype)
    strides = (sample.numel(), *sample.stride())
    return sample.new_empty_strided((steps, *sample.shape), strides)
