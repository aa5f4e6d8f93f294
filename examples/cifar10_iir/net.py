"""VGG16 for CIFAR-10 as the papers on few time steps use it: average pooling, no biases."""

from __future__ import annotations

from torch import nn

STAGES = (2, 2, 3, 3, 3)
"""Convolutions between two poolings; their channels are 1, 2, 4, 8 and 8 times the width."""


def vgg16(width: int = 64, dropout: float = 0.5) -> nn.Sequential:
    """Thirteen convolutions with batch norm, three linear layers. (N,3,32,32) -> (N,10).

    The last convolutions are not pooled. `snnc compile examples/cifar10_iir/net.py:vgg16 …`
    """
    layers: list[nn.Module] = []
    before = 3
    for stage, depth in enumerate(STAGES):
        if stage:
            layers.append(nn.AvgPool2d(2))
        channels = width * min(2**stage, 8)
        for i in range(depth):
            layers += [
                nn.Conv2d(before, channels, 3, padding=1, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(),
            ]
            if i < depth - 1:  # none before a pooling
                layers.append(nn.Dropout(dropout))
            before = channels
    layers.append(nn.Flatten())
    for features in (before * 2 * 2, 64 * width):
        layers += [nn.Linear(features, 64 * width, bias=False), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear(64 * width, 10, bias=False))
