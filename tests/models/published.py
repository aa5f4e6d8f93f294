"""Small networks in the spellings of published code that are imported.

Written afresh, with random weights. What each stands for is in its docstring.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LambdaLayer(nn.Module):
    """A function as a layer."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class OptionA(nn.Module):
    """CIFAR ResNet (akamaster): a shortcut of a strided slice and padding, pooling by `size()`."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 4, 3, 1, 1, bias=False), nn.BatchNorm2d(4)
        self.conv2, self.bn2 = nn.Conv2d(4, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8)
        self.shortcut = LambdaLayer(lambda x: F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2)))
        self.linear = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(x))
        out += self.shortcut(x)
        out = F.relu(out)
        out = F.avg_pool2d(out, out.size()[3])
        return self.linear(out.view(out.size(0), -1))


class PreActivation(nn.Module):
    """Pre-activation ResNet (kuangliu): batch norm and ReLU before the convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(3), nn.Conv2d(3, 3, 3, padding=1, bias=False)
        self.bn2, self.conv2 = nn.BatchNorm2d(3), nn.Conv2d(3, 3, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(x))
        shortcut = self.shortcut(out) if hasattr(self, "shortcut") else x
        out = self.conv2(F.relu(self.bn2(self.conv1(out))))
        out += shortcut
        return out


class Dense(nn.Module):
    """DenseNet and DPN: a list of features that grows, concatenated, sliced and added."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.BatchNorm2d(3 + 2 * i) for i in range(3))
        self.convs = nn.ModuleList(nn.Conv2d(3 + 2 * i, 2, 3, padding=1) for i in range(3))

    def forward(self, x: Tensor) -> Tensor:
        features = [x]
        for norm, conv in zip(self.norms, self.convs, strict=True):
            features.append(conv(F.relu(norm(torch.cat(features, 1)))))
        out = torch.cat(features, 1)
        d = 4
        return torch.cat([out[:, :d] + out[:, d : 2 * d], out[:, :d], out[:, d:]], 1)


class Inception(nn.Module):
    """GoogLeNet and SqueezeNet: branches of a list, concatenated; ceil-mode pools."""

    def __init__(self) -> None:
        super().__init__()
        self.b1 = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2), nn.ReLU(True))
        self.b2 = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), nn.Conv2d(3, 4, 1))
        self.pool = nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True)
        self.dropout = nn.Dropout(0.2, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.pool(torch.cat([branch(x) for branch in (self.b1, self.b2)], 1))
        return torch.flatten(F.adaptive_avg_pool2d(self.dropout(y), (1, 1)), 1)


class SamePool(nn.Module):
    """NASNet (timm): a max pool of uneven padding, which minus infinity is put around."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(F.relu(self.conv(x)), (0, 1, 1, 1), value=-float("inf"))
        return F.max_pool2d(x, 3, 2)


class ShuffleUnit(nn.Module):
    """ShuffleNet v2 (torchvision): chunk, depthwise, cat, channel shuffle by view and transpose."""

    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(3, 3, 1, bias=False), nn.BatchNorm2d(3), nn.ReLU(inplace=True),
            nn.Conv2d(3, 3, 3, 1, 1, groups=3, bias=False), nn.BatchNorm2d(3),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        x1, x2 = x.chunk(2, dim=1)
        x = torch.cat((x1, self.branch(x2)), dim=1)
        batch, channels, height, width = x.size()
        x = x.view(batch, 2, channels // 2, height, width)
        return torch.transpose(x, 1, 2).contiguous().view(batch, channels, height, width)


class RepVgg(nn.Module):
    """RepVGG in its training form: three branches, one of which is a batch norm alone."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3))
        self.point = nn.Sequential(nn.Conv2d(3, 3, 1, bias=False), nn.BatchNorm2d(3))
        self.identity = nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        skip = 0 if self.identity is None else self.identity(x)
        return F.relu(self.dense(x) + self.point(x) + skip)


class StochasticDepth(nn.Module):
    """A random branch in training, which eval mode leaves out."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.p = nn.Conv2d(3, 3, 3, padding=1), 0.5

    def forward(self, x: Tensor) -> Tensor:
        if self.training and torch.rand(1).item() < self.p:
            return x
        return F.relu(x + (1 if self.training else self.p) * self.conv(x))


class LayerList(nn.Module):
    """Hybrid SNN conversion (nitin-rathi): layers of a list, found by their kinds, without bias."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.ReLU(), nn.AvgPool2d(2), nn.Dropout(0.2)]
        )
        self.classifier = nn.ModuleDict({"0": nn.Linear(4 * 16, 5, bias=False)})

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        for key in sorted(self.classifier):
            x = self.classifier[key](x.reshape(len(x), -1))
        return x


class UNet(nn.Module):
    """U-Net (milesial): transposed convolution, padding by computed sizes, cat, a map as output."""

    def __init__(self) -> None:
        super().__init__()
        self.inc, self.down = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 8, 3, padding=1)
        self.up = nn.ConvTranspose2d(8, 4, kernel_size=2, stride=2)
        self.conv, self.outc = nn.Conv2d(8, 4, 3, padding=1), nn.Conv2d(4, 2, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        x2 = F.relu(self.inc(x))
        x1 = self.up(F.relu(self.down(F.max_pool2d(x2, 2))))
        diff_y = x2.size()[2] - x1.size()[2]
        diff_x = x2.size()[3] - x1.size()[3]
        x1 = F.pad(x1, [diff_x // 2, diff_x - diff_x // 2, diff_y // 2, diff_y - diff_y // 2])
        return self.outc(F.relu(self.conv(torch.cat([x2, x1], dim=1))))


class Routed(nn.Module):
    """YOLOv3-tiny: an upsampled route, concatenated; two outputs of two sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.deep = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 6, 3, padding=1)
        self.near, self.far = nn.Conv2d(10, 5, 1), nn.Conv2d(6, 5, 1)
        self.up = nn.Upsample(scale_factor=2, mode="nearest")

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        route = F.relu(self.stem(x))
        deep = F.relu(self.deep(F.max_pool2d(route, 2, 2)))
        return self.far(deep), self.near(torch.cat([self.up(deep), route], 1))


class Generator(nn.Module):
    """DCGAN without its tanh: transposed convolutions from a vector."""

    def __init__(self) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.ConvTranspose2d(6, 8, 4, 1, 0, bias=False), nn.BatchNorm2d(8), nn.ReLU(True),
            nn.ConvTranspose2d(8, 3, 4, 2, 1, bias=False),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.main(x)


class Audio(nn.Module):
    """M5, a network of raw audio: strided 1-d convolutions, global pooling, log-softmax-free."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv1d(1, 4, kernel_size=8, stride=4), nn.BatchNorm1d(4)
        self.pool1, self.fc1 = nn.MaxPool1d(4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool1(F.relu(self.bn1(self.conv1(x))))
        x = F.avg_pool1d(x, x.shape[-1])
        return self.fc1(x.permute(0, 2, 1).squeeze(1))


class EegNet(nn.Module):
    """EEGNet with ReLU: rectangular kernels, depthwise with several filters per channel."""

    def __init__(self) -> None:
        super().__init__()
        self.time = nn.Conv2d(1, 3, (1, 5), padding=(0, 2), bias=False)
        self.space = nn.Conv2d(3, 6, (4, 1), groups=3, bias=False)
        self.bn, self.same = nn.BatchNorm2d(6), nn.Conv2d(6, 6, (1, 4), padding="same", groups=6)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn(self.space(self.time(x))))
        return self.same(F.avg_pool2d(x, (1, 4))).flatten(1)


class CorNet(nn.Module):
    """CORnet-S: one convolution reused in a loop, with batch norms by time step."""

    times = 3

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.nonlin = nn.Conv2d(3, 3, 3, padding=1, bias=False), nn.ReLU(inplace=True)
        for t in range(self.times):
            setattr(self, f"norm_{t}", nn.BatchNorm2d(3))

    def forward(self, x: Tensor) -> Tensor:
        for t in range(self.times):
            skip = x
            x = self.conv(x)
            x = getattr(self, f"norm_{t}")(x)
            x += skip
            x = self.nonlin(x)
        return x


class Detector(nn.Module):
    """SSD: heads of two maps, permuted, reshaped to boxes and concatenated."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, 2, 1)
        self.loc = nn.ModuleList([nn.Conv2d(4, 2 * 4, 3, padding=1) for _ in range(2)])
        self.conf = nn.ModuleList([nn.Conv2d(4, 2 * 3, 3, padding=1) for _ in range(2)])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        maps = [F.relu(self.first(x))]
        maps.append(F.relu(self.second(maps[0])))
        loc = [
            head(m).permute(0, 2, 3, 1).contiguous() for m, head in zip(maps, self.loc, strict=True)
        ]
        conf = [
            head(m).permute(0, 2, 3, 1).contiguous()
            for m, head in zip(maps, self.conf, strict=True)
        ]
        flat = [torch.cat([o.view(o.size(0), -1) for o in each], 1) for each in (loc, conf)]
        return flat[0].view(x.size(0), -1, 4), flat[1].view(x.size(0), -1, 3)


class Backbone(nn.Module):
    """A ResNet stem with a max pool and no head: a map as output."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 4, 7, 2, 3, bias=False), nn.BatchNorm2d(4)
        self.pool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(F.relu(self.bn(self.conv(x))))


class Degenerate(nn.Module):
    """Batch norms without scale or spread, ReLU after ReLU, `x + x`, one map in add and cat."""

    def __init__(self) -> None:
        super().__init__()
        self.bn, self.still = nn.BatchNorm2d(3, affine=False), nn.BatchNorm2d(3)
        self.fc, self.flat = nn.Linear(2 * 3 * 64, 4), nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        assert self.still.running_var is not None
        y = F.relu(F.relu(self.still(self.bn(x + x))))
        y = torch.cat([y, y + x], 1)
        return F.relu(self.flat(self.fc(nn.Identity()(y).flatten(1))))


class Asserting(Backbone):
    """Control flow on shapes: an assertion, and a loop over the channels."""

    def forward(self, x: Tensor) -> Tensor:
        assert isinstance(x, Tensor)
        assert x.shape[-1] == 8
        planes = [x[:, i : i + 1] * (i + 1) for i in range(x.shape[1])]
        return super().forward(torch.cat(planes, 1))


_MAP = (3, 8, 8)
TAKEN: dict[type[nn.Module], tuple[int, ...]] = {
    OptionA: _MAP,
    PreActivation: _MAP,
    Dense: _MAP,
    Inception: _MAP,
    SamePool: _MAP,
    ShuffleUnit: (6, 4, 4),
    RepVgg: _MAP,
    StochasticDepth: _MAP,
    LayerList: _MAP,
    UNet: (3, 9, 7),
    Routed: _MAP,
    Generator: (6, 1, 1),
    Audio: (1, 100),
    EegNet: (1, 4, 16),
    CorNet: _MAP,
    Detector: _MAP,
    Backbone: _MAP,
    Degenerate: _MAP,
    Asserting: _MAP,
}
"""The shape of a sample, by class."""
