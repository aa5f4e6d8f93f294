"""What a hostile file would like to be run; whatever runs leaves a marker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from fuzz.outcome import MARKER


def leaves_marker(*_: Any) -> None:
    """A function that the user may have allowed."""
    Path(MARKER).touch()


class Leaves:
    """An object whose every way of being made leaves the marker."""

    def __new__(cls, *_: Any) -> Leaves:
        """Not to be called."""
        leaves_marker()
        return object.__new__(cls)

    def __setstate__(self, state: Any) -> None:
        leaves_marker()


class Net(nn.Module):
    """A class of the user's, which is allowed. (N, 1, 4, 4) -> (N, 3)"""

    def __init__(self) -> None:
        super().__init__()
        self.scale = 2.0
        self.act = torch.relu
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Nothing special."""
        return self.head(self.act(x) * self.scale)
