"""A small convolutional network for MNIST with six hidden layers."""

from __future__ import annotations

from torch import nn


def ladder_net(width: int = 16) -> nn.Sequential:
    """Five convolutions with batch norm and a linear layer hidden, average pooling.

    (N,1,28,28) -> (N,10). `snnc compile examples/mnist_ladder/net.py:ladder_net …`
    """
    layers: list[nn.Module] = []
    channels = 1
    for factor, pool in ((1, True), (2, False), (2, True), (4, False), (4, True)):
        layers += [
            nn.Conv2d(channels, factor * width, 3, padding=1, bias=False),
            nn.BatchNorm2d(factor * width),
            nn.ReLU(),
        ]
        channels = factor * width
        if pool:
            layers.append(nn.AvgPool2d(2))
    return nn.Sequential(
        *layers,
        nn.Flatten(),
        nn.Linear(channels * 3 * 3, 128, bias=False),
        nn.ReLU(),
        nn.Linear(128, 10, bias=False),
    )
