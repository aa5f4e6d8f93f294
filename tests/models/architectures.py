"""The convolutional architectures of torchvision in their shapes, with random weights.

Written afresh from the papers and the published tables of layers; `tests/models/published.py` has
the spellings of published code. `ARCHITECTURES` maps a name to what builds the network for a factor
of its widths, and to the height and width of its images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

CLASSES = 1000
Kernel = int | tuple[int, int]
Scaled = Callable[[int], int]


class Parallel(nn.Module):
    """Branches of one input, concatenated."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


class Sum(nn.Module):
    """A body and its shortcut, added, and what comes behind the sum."""

    def __init__(self, body: nn.Module, shortcut: nn.Module, behind: nn.Module) -> None:
        super().__init__()
        self.body, self.shortcut, self.behind = body, shortcut, behind

    def forward(self, x: Tensor) -> Tensor:
        return self.behind(self.body(x) + self.shortcut(x))


class HalfThrough(nn.Module):
    """Half of the channels as they are, the other half through a branch."""

    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, x: Tensor) -> Tensor:
        left, right = x.chunk(2, dim=1)
        return torch.cat((left, self.branch(right)), dim=1)


def scaled(width: float) -> Scaled:
    """The number of channels for a number at full width: a multiple of 8 unless that is full."""
    return lambda n: n if width == 1 else max(8, int(n * width) // 8 * 8)


def conv_bn(
    before: int, after: int, kernel: Kernel = 1, stride: int = 1, padding: Kernel | None = None,
    *, groups: int = 1, act: Callable[[], nn.Module] | None = nn.ReLU,
) -> nn.Sequential:  # fmt: skip
    """A convolution without bias, batch norm and activation; padding keeps the size by default."""
    sides = (kernel, kernel) if isinstance(kernel, int) else kernel
    around = (sides[0] // 2, sides[1] // 2) if padding is None else padding
    conv = nn.Conv2d(before, after, sides, stride, around, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(after), *([] if act is None else [act()]))


def head(channels: int, *dropped: nn.Module) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), *dropped, nn.Linear(channels, CLASSES)]


def classifier(channels: int, size: int, hidden: int) -> list[nn.Module]:
    """Three linear layers, of AlexNet and VGG."""
    return [
        nn.AdaptiveAvgPool2d(size), nn.Flatten(),
        nn.Linear(channels * size * size, hidden), nn.ReLU(True), nn.Dropout(),
        nn.Linear(hidden, hidden), nn.ReLU(True), nn.Dropout(), nn.Linear(hidden, CLASSES),
    ]  # fmt: skip


def alexnet(width: float = 1) -> nn.Module:
    w = scaled(width)
    return nn.Sequential(
        nn.Conv2d(3, w(64), 11, 4, 2), nn.ReLU(True), nn.MaxPool2d(3, 2),
        nn.Conv2d(w(64), w(192), 5, padding=2), nn.ReLU(True), nn.MaxPool2d(3, 2),
        nn.Conv2d(w(192), w(384), 3, padding=1), nn.ReLU(True),
        nn.Conv2d(w(384), w(256), 3, padding=1), nn.ReLU(True),
        nn.Conv2d(w(256), w(256), 3, padding=1), nn.ReLU(True), nn.MaxPool2d(3, 2),
        *classifier(w(256), 6, w(4096)),
    )  # fmt: skip


def vgg(convs: Sequence[int], norm: bool, width: float = 1) -> nn.Module:
    w = scaled(width)
    layers: list[nn.Module] = []
    before = 3
    for channels, count in zip((64, 128, 256, 512, 512), convs, strict=True):
        for _ in range(count):
            layers.append(nn.Conv2d(before, w(channels), 3, padding=1))
            layers += [nn.BatchNorm2d(w(channels))] if norm else []
            layers.append(nn.ReLU(True))
            before = w(channels)
        layers.append(nn.MaxPool2d(2, 2))
    return nn.Sequential(*layers, *classifier(before, 7, w(4096)))


def shortcut(before: int, after: int, stride: int) -> nn.Module:
    same = before == after and stride == 1
    return nn.Identity() if same else conv_bn(before, after, 1, stride, act=None)


def basic(before: int, channels: int, stride: int) -> nn.Module:
    last = conv_bn(channels, channels, 3, act=None)
    body = nn.Sequential(conv_bn(before, channels, 3, stride), last)
    return Sum(body, shortcut(before, channels, stride), nn.ReLU())


def bottleneck(before: int, after: int, stride: int, ratio: int = 4, group: int = 0) -> nn.Module:
    inner = after // ratio
    middle = conv_bn(inner, inner, 3, stride, groups=inner // group if group else 1)
    body = nn.Sequential(conv_bn(before, inner), middle, conv_bn(inner, after, act=None))
    return Sum(body, shortcut(before, after, stride), nn.ReLU())


Block = Callable[[int, int, int], nn.Module]


def stages(block: Block, before: int, shape: Iterable[tuple[int, int, int]]) -> list[nn.Module]:
    """Blocks of (channels, how many, stride of the first)."""
    layers: list[nn.Module] = []
    for channels, count, stride in shape:
        for i in range(count):
            layers.append(block(before, channels, stride if i == 0 else 1))
            before = channels
    return layers


def resnet(block: Block, last: int, counts: Sequence[int], width: float = 1) -> nn.Module:
    w = scaled(width)
    channels = [w(last) // 8, w(last) // 4, w(last) // 2, w(last)]
    shape = zip(channels, counts, (1, 2, 2, 2), strict=True)
    stem = [conv_bn(3, w(64), 7, 2), nn.MaxPool2d(3, 2, 1)]
    return nn.Sequential(*stem, *stages(block, w(64), shape), *head(w(last)))


def regnet_x(width: float = 1) -> nn.Module:
    w = scaled(width)
    shape = [(w(n), count, 2) for n, count in ((32, 1), (64, 2), (160, 7), (400, 12))]
    block = partial(bottleneck, ratio=1, group=min(16, w(32)))
    return nn.Sequential(conv_bn(3, w(32), 3, 2), *stages(block, w(32), shape), *head(w(400)))


def fire(before: int, squeeze: int, after: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(before, squeeze, 1), nn.ReLU(True),
        Parallel(
            nn.Sequential(nn.Conv2d(squeeze, after, 1), nn.ReLU(True)),
            nn.Sequential(nn.Conv2d(squeeze, after, 3, padding=1), nn.ReLU(True)),
        ),
    )  # fmt: skip


def squeezenet(width: float = 1) -> nn.Module:
    w = scaled(width)
    layers: list[nn.Module] = [nn.Conv2d(3, w(64), 3, 2), nn.ReLU(True)]
    before = w(64)
    for number, (squeeze, after) in enumerate(
        ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
    ):
        layers += [nn.MaxPool2d(3, 2, ceil_mode=True)] if number in (0, 2, 4) else []
        layers.append(fire(before, w(squeeze), w(after)))
        before = 2 * w(after)
    layers += [nn.Dropout(), nn.Conv2d(before, CLASSES, 1), nn.ReLU(True)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def inverted(
    before: int, after: int, stride: int, grow: int, act: Callable[[], nn.Module], kernel: int
) -> nn.Module:
    """An inverted residual block, whose last convolution has no activation."""
    inner = before * grow
    grown = [] if grow == 1 else [conv_bn(before, inner, act=act)]
    depthwise = conv_bn(inner, inner, kernel, stride, groups=inner, act=act)
    body = nn.Sequential(*grown, depthwise, conv_bn(inner, after, act=None))
    same = stride == 1 and before == after
    return Sum(body, nn.Identity(), nn.Identity()) if same else body


Row = tuple[int, int, int, int, int]
"""Inverted blocks: growth, channels, how many, stride of the first, kernel."""
MOBILENET_V2: tuple[Row, ...] = (
    (1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 32, 3, 2, 3), (6, 64, 4, 2, 3), (6, 96, 3, 1, 3),
    (6, 160, 3, 2, 3), (6, 320, 1, 1, 3),
)  # fmt: skip
MNASNET: tuple[Row, ...] = (
    (1, 16, 1, 1, 3), (3, 24, 3, 2, 3), (3, 40, 3, 2, 5), (6, 80, 3, 2, 5), (6, 96, 2, 1, 3),
    (6, 192, 4, 2, 5), (6, 320, 1, 1, 3),
)  # fmt: skip


def inverted_network(
    rows: Sequence[Row], act: Callable[[], nn.Module], width: float = 1
) -> nn.Module:
    w = scaled(width)
    layers: list[nn.Module] = [conv_bn(3, w(32), 3, 2, act=act)]
    before = w(32)
    for grow, channels, count, stride, kernel in rows:
        block = partial(inverted, grow=grow, act=act, kernel=kernel)
        layers += stages(block, before, [(w(channels), count, stride)])
        before = w(channels)
    return nn.Sequential(*layers, conv_bn(before, w(1280), act=act), *head(w(1280), nn.Dropout()))


def norm_conv(before: int, after: int, kernel: int) -> list[nn.Module]:
    conv = nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=False)
    return [nn.BatchNorm2d(before), nn.ReLU(True), conv]


def densenet121(width: float = 1) -> nn.Module:
    w = scaled(width)
    growth, channels = w(32), w(64)
    layers: list[nn.Module] = [conv_bn(3, channels, 7, 2), nn.MaxPool2d(3, 2, 1)]
    for number, count in enumerate((6, 12, 24, 16)):
        if number:
            layers += [*norm_conv(channels, channels // 2, 1), nn.AvgPool2d(2, 2)]
            channels //= 2
        for _ in range(count):
            inner = norm_conv(channels, 4 * growth, 1)
            body = nn.Sequential(*inner, *norm_conv(4 * growth, growth, 3))
            layers.append(Parallel(nn.Identity(), body))
            channels += growth
    return nn.Sequential(*layers, nn.BatchNorm2d(channels), nn.ReLU(True), *head(channels))


def shuffled(before: int, after: int, stride: int) -> nn.Module:
    source, half = before if stride > 1 else after // 2, after // 2
    depthwise = conv_bn(half, half, 3, stride, groups=half, act=None)
    branch = nn.Sequential(conv_bn(source, half), depthwise, conv_bn(half, half))
    if stride == 1:
        return nn.Sequential(HalfThrough(branch), nn.ChannelShuffle(2))
    down = conv_bn(before, before, 3, stride, groups=before, act=None)
    both = Parallel(nn.Sequential(down, conv_bn(before, half)), branch)
    return nn.Sequential(both, nn.ChannelShuffle(2))


def shufflenet_v2(width: float = 1) -> nn.Module:
    w = scaled(width)
    shape = [(w(n), count, 2) for n, count in ((116, 4), (232, 8), (464, 4))]
    stem = [conv_bn(3, w(24), 3, 2), nn.MaxPool2d(3, 2, 1)]
    blocks = stages(shuffled, w(24), shape)
    return nn.Sequential(*stem, *blocks, conv_bn(w(464), w(1024)), *head(w(1024)))


Conv = tuple[int, Kernel]


def chain(before: int, *convs: Conv, stride: int = 1, w: Scaled) -> nn.Sequential:
    """Convolutions of (channels, kernel); the last one of a `stride` above 1 is not padded."""
    layers: list[nn.Module] = []
    for i, (channels, kernel) in enumerate(convs, 1):
        step = stride if i == len(convs) else 1
        layers.append(conv_bn(before, w(channels), kernel, step, None if step == 1 else 0))
        before = w(channels)
    return nn.Sequential(*layers)


GOOGLENET = (
    (64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), (192, 96, 208, 16, 48, 64),
    (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64), (112, 144, 288, 32, 64, 64),
    (256, 160, 320, 32, 128, 128), (256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128),
)  # fmt: skip


def googlenet(width: float = 1) -> nn.Module:
    w = scaled(width)
    pool = partial(nn.MaxPool2d, ceil_mode=True)
    layers = [conv_bn(3, w(64), 7, 2), pool(3, 2)]
    layers += [chain(w(64), (64, 1), (192, 3), w=w), pool(3, 2)]
    before = w(192)
    for number, (a, b1, b2, c1, c2, d) in enumerate(GOOGLENET):
        layers += {2: [pool(3, 2)], 7: [pool(2, 2)]}.get(number, [])
        pooled = nn.Sequential(pool(3, 1, 1), chain(before, (d, 1), w=w))
        convs = [((a, 1),), ((b1, 1), (b2, 3)), ((c1, 1), (c2, 3))]
        layers.append(Parallel(*(chain(before, *each, w=w) for each in convs), pooled))
        before = sum(map(w, (a, b2, c2, d)))
    return nn.Sequential(*layers, *head(before, nn.Dropout(0.2)))


TALL, WIDE = (7, 1), (1, 7)
INCEPTION_V3: tuple[tuple[tuple[tuple[Conv, ...], ...], int], ...] = (
    *(((((64, 1),), ((48, 1), (64, 5)), ((64, 1), (96, 3), (96, 3))), c) for c in (32, 64, 64)),
    ((((384, 3),), ((64, 1), (96, 3), (96, 3))), 0),
    *(
        ((((192, 1),), ((c, 1), (c, WIDE), (192, TALL)),
          ((c, 1), (c, TALL), (c, WIDE), (c, TALL), (192, WIDE))), 192)
        for c in (128, 160, 160, 192)
    ),
    ((((192, 1), (320, 3)), ((192, 1), (192, WIDE), (192, TALL), (192, 3))), 0),
)  # fmt: skip
"""Branches, and the channels of the one that averages; 0 for a pool of stride 2."""


def inception_v3(width: float = 1) -> nn.Module:
    w = scaled(width)
    make = partial(chain, w=w)

    def averaged(channels: int) -> nn.Module:
        return nn.Sequential(nn.AvgPool2d(3, 1, 1), make(before, (channels, 1)))

    def fork(*convs: Conv) -> nn.Module:
        ends = (make(w(384), (384, kernel)) for kernel in ((1, 3), (3, 1)))
        return nn.Sequential(make(before, *convs), Parallel(*ends))

    layers: list[nn.Module] = [
        make(3, (32, 3), stride=2), conv_bn(w(32), w(32), 3, padding=0),
        make(w(32), (64, 3)), nn.MaxPool2d(3, 2), make(w(64), (80, 1)),
        conv_bn(w(80), w(192), 3, padding=0), nn.MaxPool2d(3, 2),
    ]  # fmt: skip
    before = w(192)
    for branches, pooled in INCEPTION_V3:
        last = averaged(pooled) if pooled else nn.MaxPool2d(3, 2)
        convs = (make(before, *each, stride=1 if pooled else 2) for each in branches)
        layers.append(Parallel(*convs, last))
        before = sum(w(each[-1][0]) for each in branches) + (w(pooled) if pooled else before)
    for _ in range(2):
        forks = fork((384, 1)), fork((448, 1), (384, 3))
        layers.append(Parallel(make(before, (320, 1)), *forks, averaged(192)))
        before = w(320) + 4 * w(384) + w(192)
    return nn.Sequential(*layers, *head(before, nn.Dropout(0.5)))


ARCHITECTURES: dict[str, tuple[Callable[[float], nn.Module], int]] = {
    "alexnet": (alexnet, 224),
    "vgg11-bn": (partial(vgg, (1, 1, 2, 2, 2), True), 224),
    "vgg16": (partial(vgg, (2, 2, 3, 3, 3), False), 224),
    "resnet18": (partial(resnet, basic, 512, (2, 2, 2, 2)), 224),
    "resnet50": (partial(resnet, bottleneck, 2048, (3, 4, 6, 3)), 224),
    "squeezenet": (squeezenet, 224),
    "mobilenet-v2": (partial(inverted_network, MOBILENET_V2, nn.ReLU6), 224),
    "mnasnet": (partial(inverted_network, MNASNET, nn.ReLU), 224),
    "regnet-x": (regnet_x, 224),
    "densenet121": (densenet121, 224),
    "googlenet": (googlenet, 224),
    "inception-v3": (inception_v3, 299),
    "shufflenet-v2": (shufflenet_v2, 224),
}
"""By name: what builds it for a factor of its widths, and the height and width of an image."""
