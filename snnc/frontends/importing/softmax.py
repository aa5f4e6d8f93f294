"""A softmax at the very end changes no arg max, and spiking networks give logits: it is dropped."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class DroppedSoftmax:
    """A softmax that was dropped: its axis (the batch is axis 0), and whether of logarithms."""

    axis: int
    log: bool

    def apply(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the model gives for the logits `x`, (N, classes, …)."""
        shifted = x - x.max(axis=self.axis, keepdims=True)
        total = np.exp(shifted).sum(axis=self.axis, keepdims=True)
        return shifted - np.log(total) if self.log else np.exp(shifted) / total
