"""A final softmax, which is dropped: spiking networks return logits, with the same arg max."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class DroppedSoftmax:
    """A dropped softmax: its axis (the batch is axis 0), and whether it was a log-softmax."""

    axis: int
    log: bool

    def apply(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """The output of the model for the logits `x`, (N, classes, …)."""
        shifted = x - x.max(axis=self.axis, keepdims=True)
        total = np.exp(shifted).sum(axis=self.axis, keepdims=True)
        return shifted - np.log(total) if self.log else np.exp(shifted) / total
