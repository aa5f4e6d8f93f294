"""ResNet-18 and MobileNet-v2 at a quarter of the width, for images of 32x32."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from torch import Tensor, nn

RESNET_WIDTHS = (16, 32, 64, 128)
BOTTLENECKS = (
    (1, 8, 1, 1),
    (6, 8, 2, 2),
    (6, 8, 3, 2),
    (6, 16, 4, 2),
    (6, 24, 3, 1),
    (6, 40, 3, 2),
    (6, 80, 1, 1),
)
"""Of MobileNet-v2: factor of expansion, channels, blocks, stride of the first."""
STEM, LAST = 8, 1280
CLASSES = 10


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut, ReLU behind their sum (He et al. 2016)."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.downsample = None
        if stride > 1 or channels != width:
            shortcut = nn.Conv2d(channels, width, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, width, H/stride, W/stride)."""
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


def resnet18() -> nn.Sequential:
    """ResNet-18 with 16 to 128 channels; its stem is a 3x3 convolution without pooling."""
    channels = RESNET_WIDTHS[0]
    layers: list[nn.Module] = [*_convolution(3, channels, 3, 1), nn.ReLU()]
    for stage, width in enumerate(RESNET_WIDTHS):
        layers.append(BasicBlock(channels, width, 1 if stage == 0 else 2))
        layers.append(BasicBlock(width, width, 1))
        channels = width
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, CLASSES)]
    return _initialized(nn.Sequential(*layers))


class InvertedResidual(nn.Module):
    """Expansion, depthwise convolution and linear bottleneck (Sandler et al. 2018)."""

    def __init__(self, factor: int, channels: int, width: int, stride: int) -> None:
        super().__init__()
        inner = factor * channels
        layers = [*_convolution(channels, inner, 1, 1), nn.ReLU6()] if factor > 1 else []
        layers += [*_convolution(inner, inner, 3, stride, inner), nn.ReLU6()]
        self.layers = nn.Sequential(*layers, *_convolution(inner, width, 1, 1))
        self.shortcut = stride == 1 and channels == width

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, width, H/stride, W/stride)."""
        return x + self.layers(x) if self.shortcut else self.layers(x)


def mobilenet_v2() -> nn.Sequential:
    """MobileNet-v2 of width 0.25; its stem keeps the size of the image."""
    layers: list[nn.Module] = [*_convolution(3, STEM, 3, 1), nn.ReLU6()]
    channels = STEM
    for factor, width, blocks, stride in BOTTLENECKS:
        for block in range(blocks):
            layers.append(InvertedResidual(factor, channels, width, stride if block == 0 else 1))
            channels = width
    layers += [*_convolution(channels, LAST, 1, 1), nn.ReLU6()]
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(LAST, CLASSES)]
    return _initialized(nn.Sequential(*layers))


def _convolution(
    channels: int, width: int, kernel: int, stride: int, groups: int = 1
) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    conv = nn.Conv2d(channels, width, kernel, stride, kernel // 2, groups=groups, bias=False)
    return conv, nn.BatchNorm2d(width)


def _initialized(model: nn.Sequential) -> nn.Sequential:
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return model


BUILDERS: Mapping[str, Callable[[], nn.Sequential]] = MappingProxyType(
    {"resnet18": resnet18, "mobilenet-v2": mobilenet_v2}
)
