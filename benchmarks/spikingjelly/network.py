"""The trained networks of `conversion.py`, in a form that SpikingJelly can trace."""

from __future__ import annotations

import sys
from importlib import util
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from benchmarks.conversion.judged_networks import Network
from benchmarks.repository import EXAMPLES


class Block(nn.Module):
    """A `BasicBlock` of `examples/resnet20` made of modules only.

    SpikingJelly replaces `nn.ReLU` and refuses slices and `F.pad`; the option-A shortcut is the
    same function as a 1x1 convolution of stride 2 with weights 0 and 1.
    """

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.conv1, self.bn1, self.relu1 = block.conv1, block.bn1, nn.ReLU()
        self.conv2, self.bn2, self.relu2 = block.conv2, block.bn2, nn.ReLU()
        planes, self.shortcut = block.conv1.in_channels, nn.Identity()
        if block.conv1.stride == (2, 2):
            self.shortcut = nn.Conv2d(planes, 2 * planes, 1, stride=2, bias=False)
            weight = torch.zeros(2 * planes, planes, 1, 1)
            weight[planes // 2 + torch.arange(planes), torch.arange(planes)] = 1
            self.shortcut.weight = nn.Parameter(weight)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu1(self.bn1(self.conv1(x)))
        return self.relu2(self.bn2(self.conv2(out)) + self.shortcut(x))


def load_network(net: Network, weights: Path) -> nn.Module:
    """The trained network, of modules only; exits if its outputs differ from the original's."""
    file, _, factory = net.model.partition(":")
    spec = util.spec_from_file_location("net", EXAMPLES / file)
    assert spec is not None and spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    own = getattr(module, factory)().eval()
    own.load_state_dict(load_file(weights))
    same = own if isinstance(own, nn.Sequential) else of_modules(own).eval()
    x = torch.randn(8, *net.input_shape, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        if not torch.allclose(own(x), same(x), atol=1e-4):
            sys.exit(f"the network of modules differs from {net.model}")
    return same


def of_modules(net: Any) -> nn.Sequential:
    """A ResNet of `examples/resnet20`."""
    blocks = [Block(block) for stage in (net.layer1, net.layer2, net.layer3) for block in stage]
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), net.linear
    return nn.Sequential(net.conv1, net.bn1, nn.ReLU(), *blocks, *head)
