"""Random small networks of all operations the torch frontend takes, in many spellings."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Shape = tuple[int, ...]
Step = Callable[[Tensor], Tensor]
Maker = Callable[[random.Random, Shape], nn.Module | Step]
"""A layer or function for samples of a shape (C, H, W)."""


class Network(nn.Module):
    """Steps one after another; the head is linear. A step is a layer or a function."""

    def __init__(self, steps: Sequence[nn.Module | Step], outputs: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(step for step in steps if isinstance(step, nn.Module))
        self.steps = [None if isinstance(step, nn.Module) else step for step in steps]
        self.fc = nn.Linear(outputs, 4)

    def forward(self, x: Tensor) -> Tensor:
        layers = iter(self.layers)
        for step in self.steps:
            x = next(layers)(x) if step is None else step(x)
        return self.fc(x.flatten(1))


class Branches(nn.Module):
    """Two convolutions of one input, joined."""

    def __init__(self, channels: int, join: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.left = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.right, self.join = nn.Conv2d(channels, channels, 1), join

    def forward(self, x: Tensor) -> Tensor:
        return self.join(self.left(x), self.right(x).relu())


def _conv(rng: random.Random, shape: Shape) -> nn.Module:
    channels = shape[0]
    groups = rng.choice([n for n in (1, 1, 2, channels) if channels % n == 0])
    kernel = tuple(min(n, rng.choice([1, 2, 3])) for n in shape[1:])
    width = groups * rng.randint(1, max(1, 6 // groups))
    padding = rng.choice(["same", "valid", 0, 1, (1, 0)])
    stride = 1 if padding == "same" else rng.choice([1, 1, 2, (1, 2)])
    return nn.Conv2d(
        channels, width, kernel, stride, padding, groups=groups, bias=rng.random() < 0.5
    )


def _transposed(rng: random.Random, shape: Shape) -> nn.Module:
    stride = rng.choice([1, 2, 3])
    return nn.ConvTranspose2d(
        shape[0], rng.randint(1, 4), rng.choice([2, 3]), stride, rng.choice([0, 1]),
        rng.randint(0, stride - 1),
    )  # fmt: skip


def _norm(rng: random.Random, shape: Shape) -> nn.Module:
    norm = nn.BatchNorm2d(shape[0], affine=rng.random() < 0.7)
    assert norm.running_mean is not None and norm.running_var is not None
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.3, 2)
    return norm


def _relu(rng: random.Random, shape: Shape) -> nn.Module | Step:
    return rng.choice(
        [nn.ReLU(), nn.ReLU(inplace=True), F.relu, torch.relu, lambda x: x.relu(),
         lambda x: x.clamp(min=0), lambda x: torch.maximum(x, torch.zeros_like(x)),
         lambda x: F.relu(x, inplace=True)]
    )  # fmt: skip


def _pool(rng: random.Random, shape: Shape) -> nn.Module | Step:
    size = rng.choice([1, 2, 3])
    ceil, stride = rng.random() < 0.5, rng.choice([1, 2])
    bins = rng.randint(1, min(shape[1:]))
    if min(shape[1:]) < size:
        return nn.AdaptiveAvgPool2d((bins, None))
    return rng.choice(
        [nn.MaxPool2d(size, stride, size // 2, ceil_mode=ceil),
         nn.AvgPool2d(size, stride, size // 2, ceil, rng.random() < 0.5),
         nn.AdaptiveAvgPool2d(bins), nn.AdaptiveMaxPool2d((bins, None)),
         lambda x: F.max_pool2d(x, size), lambda x: F.avg_pool2d(x, size, stride=stride),
         lambda x: x.mean(-1, keepdim=True), lambda x: x.sum(dim=(2, 3), keepdim=True)]
    )  # fmt: skip


def _moved(rng: random.Random, shape: Shape) -> nn.Module | Step:
    channels, height, width = shape
    a, b = rng.randint(0, 2), rng.randint(0, 2)
    found: list[nn.Module | Step] = [
        nn.ZeroPad2d((a, b, b, a)),
        lambda x: F.pad(x, (a, 0, 0, b)),
        lambda x: x.permute(0, 1, 3, 2),
        lambda x: x.transpose(1, 2),
        lambda x: x.flip(-1),
        lambda x: torch.flip(x, (1, 2)),
        lambda x: x.roll(a, 2),
        lambda x: x[:, :, ::2],
        lambda x: x[..., : max(1, width - a)],
        lambda x: x.view(x.size(0), height, channels, width),
        lambda x: x.reshape(len(x), channels * height, 1, -1),
        lambda x: torch.cat([x, x.relu()], 1),
        lambda x: torch.cat(x.split(1, dim=1)[::-1], dim=1),
        lambda x: x.repeat(1, 2, 1, 1),
        lambda x: x[:, :1].expand(-1, 3, -1, -1),
        lambda x: F.interpolate(x, scale_factor=2),
        nn.Upsample(scale_factor=(1, 2)),
        nn.Dropout2d(0.5),
        nn.Identity(),
    ]
    if channels % 2 == 0:
        found += [nn.ChannelShuffle(2), lambda x: sum(x.chunk(2, 1))]
    if channels % 4 == 0:
        found.append(nn.PixelShuffle(2))
    if height % 2 == width % 2 == 0:
        found.append(nn.PixelUnshuffle(2))
    return rng.choice(found)


def _arithmetic(rng: random.Random, shape: Shape) -> nn.Module | Step:
    number = rng.choice([-2.0, 0.5, 3.0])
    channel = torch.linspace(-1, 1, shape[0]).reshape(-1, 1, 1)
    whole = torch.linspace(-1, 1, shape[1] * shape[2]).reshape(shape[1:])
    return rng.choice(
        [lambda x: x * number, lambda x: number - x, lambda x: x / number,
         lambda x: -x + x * number,
         lambda x: x * channel, lambda x: x.add(channel), lambda x: torch.sub(x, whole, alpha=2),
         lambda x: x + x, Branches(shape[0], torch.add), Branches(shape[0], lambda a, b: a - b),
         Branches(shape[0], lambda a, b: torch.cat((a, b), dim=1))]
    )  # fmt: skip


MAKERS: tuple[Maker, ...] = (_conv, _conv, _transposed, _norm, _relu, _relu, _pool, _moved, _moved,
                             _arithmetic)  # fmt: skip
LARGEST = 1500  # elements of a sample between two steps


def random_network(seed: int) -> tuple[Network, Shape]:
    """A network in eval mode, and the shape of its samples."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    shape: Shape = (rng.randint(1, 4), rng.randint(4, 8), rng.randint(4, 8))
    x, steps = torch.zeros(2, *shape), list[nn.Module | Step]()
    with torch.no_grad():
        for _ in range(rng.randint(2, 9)):
            step = rng.choice(MAKERS)(rng, tuple(x.shape[1:]))
            try:
                y = (step.eval() if isinstance(step, nn.Module) else step)(x)
            except RuntimeError:  # a pool or a kernel that is larger than what is left
                continue
            if 0 < y[0].numel() <= LARGEST:
                steps, x = [*steps, step], y
    return Network(steps, x[0].numel()).eval(), shape
