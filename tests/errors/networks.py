"""The `net.py` of the cases: factories of networks, most of which cannot be compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

WIDTH = 8


def build() -> nn.Module:
    """A network that can be compiled."""
    return nn.Sequential(nn.Flatten(), nn.Linear(72, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 5))


def build_with(classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(72, classes))


def config() -> dict[str, int]:
    return {"width": WIDTH}


def missing_file() -> nn.Module:
    raise FileNotFoundError("weights/best.pt")


def transformer() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(72, 8), nn.LayerNorm(8), nn.GELU())


class Lstm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(6, 5, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(x[:, 0])[0][:, -1]


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(72, 5)

    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            x = -x
        return self.fc(x.flatten(1))


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.box, self.score = nn.Linear(72, 4), nn.Linear(72, 5)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.box(x.flatten(1)), self.score(x.flatten(1))


class TwoInputs(nn.Module):
    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        return image * mask


class WrongSize(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(100, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.flatten(1))


class Sigmoid(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(72, 8), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.sigmoid(self.first(x.flatten(1))))


def no_samples() -> list[Any]:
    return []


def fails_to_load() -> list[Any]:
    raise OSError("the disk is not mounted")


def uneven() -> list[Any]:
    return [(np.zeros((2, 6, 6), np.float32), 0), (np.zeros((2, 5, 6), np.float32), 1)]


def same_layers() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.GELU(), nn.Linear(72, 8), nn.GELU(), nn.LayerNorm(8))
