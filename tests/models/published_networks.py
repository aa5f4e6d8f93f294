"""Small networks with the whole shape of published ones, from stem to head.

Written afresh, with random weights. What each stands for is in its docstring. Fragments that are
peculiar by their spelling are in `published.py`.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv_bn(before: int, after: int, kernel: int = 3, stride: int = 1, **options: int) -> nn.Module:
    """A convolution without bias, batch norm and ReLU."""
    conv = nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False, **options)
    return nn.Sequential(conv, nn.BatchNorm2d(after), nn.ReLU(inplace=True))


class Vgg(nn.Module):
    """VGG (kuangliu): layers from a list of widths, a max pool where it says M."""

    def __init__(self, widths: tuple[int | str, ...] = (4, "M", 8, 8, "M")) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width in widths:
            if isinstance(width, str):
                layers += [nn.MaxPool2d(kernel_size=2, stride=2)]
                continue
            layers += [nn.Conv2d(channels, width, kernel_size=3, padding=1)]
            layers += [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            channels = width
        layers += [nn.AvgPool2d(kernel_size=1, stride=1)]
        self.features, self.classifier = nn.Sequential(*layers), nn.Linear(channels * 4, 10)

    def forward(self, x: Tensor) -> Tensor:
        out = self.features(x)
        return self.classifier(out.view(out.size(0), -1))


class Residual(nn.Module):
    """A basic block of a ResNet, which may halve the map."""

    def __init__(self, before: int, after: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv_bn(before, after, 3, stride),
            nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after),
        )  # fmt: skip
        self.shortcut = nn.Sequential()
        if stride != 1 or before != after:
            self.shortcut = nn.Sequential(
                nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)
            )

    def forward(self, x: Tensor) -> Tensor:
        out = self.body(x)
        out += self.shortcut(x)
        return F.relu(out)


class Tree(nn.Module):
    """DLA (kuangliu): a tree of blocks whose results a root concatenates."""

    def __init__(self, before: int = 3, after: int = 4, level: int = 2) -> None:
        super().__init__()
        self.root = nn.Sequential(nn.Conv2d(2 * after, after, 1), nn.BatchNorm2d(after))
        first, second = (before, after), (after, after)
        if level == 1:
            self.left, self.right = Residual(*first), Residual(*second)
        else:
            self.left, self.right = Tree(*first, level - 1), Tree(*second, level - 1)

    def forward(self, x: Tensor) -> Tensor:
        out1 = self.left(x)
        out2 = self.right(out1)
        return F.relu(self.root(torch.cat([out1, out2], 1)))


class Dla(nn.Module):
    """DLA: such a tree, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.tree, self.linear = Tree(), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        out = F.avg_pool2d(self.tree(x), 8)
        return self.linear(out.view(out.size(0), -1))


class MobileNetV2(nn.Module):
    """MobileNet-v2: ReLU6, linear bottlenecks, a shortcut around one; also SSD's backbone."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, 1, 1, bias=False), nn.BatchNorm2d(4))
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(4, 8, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6(inplace=True),
                nn.Conv2d(8, 8, 3, 1, 1, groups=8, bias=False), nn.BatchNorm2d(8), nn.ReLU6(),
                nn.Conv2d(8, 4, 1, bias=False), nn.BatchNorm2d(4),
            )
            for _ in range(2)
        )  # fmt: skip
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(4, 5))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu6(self.stem(x))
        for block in self.blocks:
            x = x + block(x)
        x = nn.functional.adaptive_avg_pool2d(x, (1, 1)).reshape(x.shape[0], -1)
        return self.classifier(x)


class Xception(nn.Module):
    """Xception (weiaicunzai): no activation between depthwise and pointwise convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_bn(3, 4)
        self.separable = nn.Sequential(
            nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False), nn.Conv2d(4, 8, 1, bias=False),
            nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(3, stride=2, padding=1),
        )  # fmt: skip
        self.shortcut = nn.Sequential(nn.Conv2d(4, 8, 1, stride=2), nn.BatchNorm2d(8))
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = F.relu(self.separable(x) + self.shortcut(x))
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


class InceptionV4(nn.Module):
    """Inception v4 and NASNet: rectangular kernels, average pools among the branches."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_bn(3, 4)
        self.long = nn.Sequential(
            nn.Conv2d(4, 4, (1, 7), padding=(0, 3), bias=False), nn.BatchNorm2d(4), nn.ReLU(),
            nn.Conv2d(4, 4, (7, 1), padding=(3, 0), bias=False), nn.BatchNorm2d(4), nn.ReLU(),
        )  # fmt: skip
        pool = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
        self.pooled = nn.Sequential(pool, conv_bn(4, 4, 1))
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.fc(torch.cat((self.long(x), self.pooled(x)), 1).mean((2, 3)))


class QcfsActivation(nn.Module):
    """ANN_SNN_QCFS (putshua): clip-floor-shift with a threshold of its own, one module for both."""

    def __init__(self, levels: int = 8) -> None:
        super().__init__()
        self.thresh = nn.Parameter(torch.tensor([2.0]), requires_grad=False)
        self.L, self.T = levels, 0

    def forward(self, x: Tensor) -> Tensor:
        if self.T > 0:
            raise NotImplementedError("spikes")
        x = torch.clamp(x / self.thresh, 0, 1)
        return torch.floor(x * self.L + 0.5) / self.L * self.thresh


class Qcfs(nn.Module):
    """A network of that activation."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Sequential(
            nn.Conv2d(3, 4, 3, 1, 1), nn.BatchNorm2d(4), QcfsActivation(), nn.AvgPool2d(2)
        )
        self.classifier = nn.Sequential(
            nn.Flatten(), nn.Linear(64, 8), QcfsActivation(), nn.Dropout(0.5), nn.Linear(8, 5)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.layer(x))


class DeepStem(nn.Module):
    """SNN_Calibration (yhhhli): a stem of three convolutions and an average pool."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv_bn(3, 4, 3, 2), conv_bn(4, 4), conv_bn(4, 8))
        self.avgpool, self.layer = nn.AvgPool2d(3, 2, 1), Residual(8, 8)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer(self.avgpool(self.stem(x)))
        return self.fc(F.adaptive_avg_pool2d(x, (1, 1)).view(x.size(0), -1))


class ResNet8(nn.Module):
    """MLPerf Tiny, images: three stacks of one block, softmax at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_bn(3, 4)
        self.stacks = nn.Sequential(Residual(4, 4), Residual(4, 8, 2), Residual(8, 8, 2))
        self.head = nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(8, 10))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stacks(self.stem(x)))


class DsCnn(nn.Module):
    """MLPerf Tiny, keywords: kernels of 10x4, `same` padding that differs before and after."""

    def __init__(self) -> None:
        super().__init__()
        self.pad = nn.ZeroPad2d((1, 2, 4, 5))
        self.conv = nn.Conv2d(1, 4, (10, 4), stride=(2, 2))
        self.bn, self.drop = nn.BatchNorm2d(4), nn.Dropout(0.2)
        self.depthwise = conv_bn(4, 4, groups=4)
        self.pointwise, self.pool = conv_bn(4, 4, 1), nn.AvgPool2d((12, 5))
        self.fc = nn.Linear(4, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.drop(F.relu(self.bn(self.conv(self.pad(x)))))
        x = self.pointwise(self.depthwise(x))
        return self.fc(self.pool(x).flatten(1))


class AutoEncoder(nn.Module):
    """MLPerf Tiny, anomalies: a dense autoencoder, whose outputs are values and no classes."""

    def __init__(self) -> None:
        super().__init__()
        sizes = (20, 16, 4, 16)
        layers: list[nn.Module] = []
        for before, after in pairwise(sizes):
            layers += [nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-1], sizes[0]))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class TinyYolo(nn.Module):
    """YOLOv3-tiny with strides for its pools: LeakyReLU(0.1), a route, two outputs as one."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.deep = (self.block(*sizes) for sizes in ((3, 4, 1), (4, 6, 2)))
        self.near, self.far = nn.Conv2d(10, 5, 1), nn.Conv2d(6, 5, 1)
        self.up = nn.Upsample(scale_factor=2, mode="nearest")

    @staticmethod
    def block(before: int, after: int, stride: int) -> nn.Module:
        conv = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        return nn.Sequential(conv, nn.BatchNorm2d(after), nn.LeakyReLU(0.1))

    def forward(self, x: Tensor) -> Tensor:
        route = self.stem(x)
        deep = self.deep(route)
        near = self.near(torch.cat([self.up(deep), route], 1))
        return torch.cat([self.far(deep).flatten(1), near.flatten(1)], 1)


class DcGan(nn.Module):
    """The generator of pytorch/examples: transposed convolutions, and a tanh on the image."""

    def __init__(self) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.ConvTranspose2d(6, 8, 4, 1, 0, bias=False), nn.BatchNorm2d(8), nn.ReLU(True),
            nn.ConvTranspose2d(8, 3, 4, 2, 1, bias=False), nn.Tanh(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.main(x)


class M5(nn.Module):
    """M5 of raw audio: strided 1-d convolutions and max pools."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv1d(1, 4, kernel_size=16, stride=4), nn.BatchNorm1d(4)
        self.conv2, self.bn2 = nn.Conv1d(4, 6, kernel_size=3), nn.BatchNorm1d(6)
        self.pool, self.fc1 = nn.MaxPool1d(2), nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(F.relu(self.bn1(self.conv1(x))))
        x = self.pool(F.relu(self.bn2(self.conv2(x))))
        x = F.avg_pool1d(x, x.shape[-1]).permute(0, 2, 1)
        return F.log_softmax(self.fc1(x.squeeze(1)), dim=1)


_MAP = (3, 8, 8)
TAKEN: dict[type[nn.Module], tuple[int, ...]] = {
    Vgg: _MAP,
    Dla: _MAP,
    MobileNetV2: _MAP,
    Xception: _MAP,
    InceptionV4: _MAP,
    Qcfs: _MAP,
    DeepStem: _MAP,
    ResNet8: _MAP,
    DsCnn: (1, 24, 10),
    AutoEncoder: (20,),
    TinyYolo: _MAP,
    DcGan: (6, 1, 1),
    M5: (1, 100),
}
"""The shape of a sample, by class."""
