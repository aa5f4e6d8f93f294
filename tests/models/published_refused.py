"""Small networks of published operations that spikes cannot compute."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Squeeze(nn.Module):
    """SENet: a gate of sigmoids that multiplies the map."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(3, 2, 1), nn.Conv2d(2, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        w = F.avg_pool2d(x, x.size(2))
        w = self.fc2(F.relu(self.fc1(w))).sigmoid()
        return x * w


class Swish(nn.Module):
    """EfficientNet: x times sigmoid of x."""

    def forward(self, x: Tensor) -> Tensor:
        return x * x.sigmoid()


class Gelu(nn.Module):
    """ConvNeXt: layer norm over the last axis and GELU."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(3)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(self.norm(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)


class Attention(nn.Module):
    """ViT: tokens that attend to each other."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(3, 1, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        return self.attention(tokens, tokens, tokens, need_weights=False)[0]


class Bilinear(nn.Module):
    """U-Net with bilinear upsampling."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(x)


class Elu(nn.Module):
    """EEGNet: ELU behind a depthwise convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, (8, 1), groups=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.elu(self.conv(x))


class CustomClamp(nn.Module):
    """Raw audio: an activation of the user's own, which chooses by `torch.where`."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.where(x > 0, torch.where(x < 1, x, 1.0), 0.0)


class DependsOnValues(nn.Module):
    """Control flow that depends on the values of the input."""

    def forward(self, x: Tensor) -> Tensor:
        if x.mean() > 0:
            return x
        return -x


REFUSED: dict[type[nn.Module], str] = {
    Squeeze: "multiplies activations",
    Swish: "multiplies activations",
    Gelu: "statistics of each sample",
    Attention: "attention multiplies activations",
    Bilinear: "mixes neighbours",
    Elu: "not this curve",
    CustomClamp: "compares activations",
    DependsOnValues: "control flow depends on the values of a tensor",
}
"""Words of the reason, by class; samples are of shape (3, 8, 8)."""
