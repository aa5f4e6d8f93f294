"""A convolutional network for MNIST without biases, made for conversion to spikes."""

from __future__ import annotations

import torch
from torch import nn


def mnist_cnn() -> nn.Sequential:
    """Three convolutions, two linear layers, average pooling. (N,1,28,28) -> (N,10).

    `snnc compile examples/mnist/net.py:mnist_cnn --weights … --input-shape 1,28,28`
    """
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 20, 5, bias=False),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Conv2d(20, 32, 5, bias=False),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Conv2d(32, 128, 3, bias=False),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(128, 500, bias=False),
        nn.ReLU(),
        nn.Linear(500, 10, bias=False),
    )
