"""Small networks of everything the frontend takes; `CASES` maps a name to (module, shape)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@torch.fx.wrap
def wrapped(x: Tensor, kind: str) -> Tensor:
    """A function that torch.fx is told not to trace through."""
    return F.relu(x) if kind == "relu" else x


class Function(nn.Module):
    """A convolution, then a function of its result."""

    def __init__(self, function: Callable[..., Tensor], channels: int = 4) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, channels, 3, padding=1)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.conv(x))


class Remembering(nn.Module):
    """It keeps a constant that it has computed, as attention does with biases of positions."""

    def __init__(self) -> None:
        super().__init__()
        self.offset, self.kept = nn.Parameter(torch.rand(2, 1, 1)), dict[str, Tensor]()

    def forward(self, x: Tensor) -> Tensor:
        key = str(x.device)
        if key not in self.kept:
            self.kept[key] = 2 * self.offset
        return x + self.kept[key]


class SharedRelu(nn.Module):
    """One ReLU and one convolution, each used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.conv(self.relu(self.conv(x))))


class Tied(nn.Module):
    """Two layers that share one parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(5, 5), nn.Linear(5, 5)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.second(F.relu(self.first(x)))


class Block(nn.Module):
    """A residual block with in-place ReLU and in-place add."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(2)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor, augment: bool = False, mask: Tensor | None = None) -> Tensor:
        if augment:
            raise ValueError
        out = self.bn(self.conv(x))
        out += x
        return self.relu(out)


class PyTorchMnist(nn.Module):
    """After the MNIST network of pytorch/examples: functional everything, dropout, log_softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 4, 3, 1), nn.Conv2d(4, 6, 3, 1)
        self.dropout1, self.dropout2 = nn.Dropout(0.25), nn.Dropout(0.5)
        self.fc1, self.fc2 = nn.Linear(96, 12), nn.Linear(12, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv2(F.relu(self.conv1(x))))
        x = self.dropout1(F.max_pool2d(x, 2))
        x = torch.flatten(x, 1)
        x = F.dropout(F.relu(self.fc1(x)), training=self.training)
        return F.log_softmax(self.fc2(self.dropout2(x)), dim=1)


class Looped(nn.Module):
    """One convolution applied in a loop, each time to another multiple, before batch norms."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(2) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        for step, norm in enumerate(self.norms):
            x = self.conv(F.relu(norm(x)) * (1 + step)) + x
        return x


class Shuffle(nn.Module):
    """Channels split in two, one half convolved, concatenated and shuffled."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1, groups=2)

    def forward(self, x: Tensor) -> Tensor:
        left, right = x.chunk(2, dim=1)
        x = torch.cat([left, F.relu(self.conv(right))], 1)
        n, c, h, w = x.size(0), x.size(1), x.size(2), x.size(3)
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, -1, h, w)
        return x[:, 1:, ..., :-1]


class Affine(nn.Module):
    """Constants of every shape: number, per channel, whole sample; parameters and literals."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.rand(2, 1, 1) + 0.5)
        self.offset = nn.Parameter(torch.rand(1, 2, 6, 6))
        self.row = nn.Parameter(torch.rand(6))
        self.register_buffer("mean", torch.tensor([0.4, 0.6]))

    def forward(self, x: Tensor) -> Tensor:
        x = (x - self.mean.view(1, -1, 1, 1)) / torch.tensor([[[2.0]], [[4.0]]])
        x = x * self.gain + self.offset - self.row
        x = torch.add(1 - x, x * 3, alpha=0.5)
        x = torch.sub(x, 2 * x.relu())
        return -(x + 0) * 1 / 2


class TwoHeads(nn.Module):
    """Two outputs, and a third head nobody uses, which holds an unsupported operation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(2, 4, 3, padding="same", dilation=2)
        self.bn = nn.BatchNorm1d(4, affine=False)
        self.a, self.b, self.c = nn.Linear(4, 2), nn.Linear(40, 3), nn.GELU()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = F.relu(self.bn(self.conv(x)))
        self.c(x)
        return F.softmax(self.a(x.mean(-1)), -1), self.b(x.flatten(1))


class Weights(nn.Module):
    """Functional layers with parameters of the module's own."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(3, 2, 3, 3))
        self.matrix = nn.Parameter(torch.randn(4, 108))

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(x, self.kernel * 0.5, stride=(1, 1), padding=1).clamp(min=0)
        return F.linear(x.flatten(1), self.matrix)


def _sequential(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(*layers)


def _kernel(*shape: int) -> Tensor:
    return torch.linspace(-1, 1, math.prod(shape)).reshape(shape)


_MAP = (2, 6, 6)
_FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "relu-method": lambda x: x.relu(),
    "relu-torch": lambda x: torch.relu(x),
    "relu-inplace": lambda x: F.relu(x, inplace=True),
    "relu-underscore": lambda x: x.relu_(),
    "twice": lambda x: x + x,
    "avg-size": lambda x: F.avg_pool2d(x, x.size()[3]),
    "avg-shape": lambda x: F.avg_pool2d(x, x.shape[-2:]).view(x.shape[0], -1),
    "avg-padded": lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True),
    "avg-exclude": lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
    "avg-divisor": lambda x: F.avg_pool2d(x, 2, divisor_override=3),
    "adaptive": lambda x: F.adaptive_avg_pool2d(x, (4, None)),
    "adaptive-max": lambda x: F.adaptive_max_pool2d(x, 4),
    "max-padded": lambda x: F.max_pool2d(x, 3, stride=2, padding=1),
    "mean": lambda x: x.mean((2, 3)),
    "mean-keep": lambda x: x.mean([-1, -2], keepdim=True),
    "mean-one-axis": lambda x: torch.mean(x, 2),
    "sum": lambda x: x.sum(dim=(2, 3)),
    "amax": lambda x: x.amax((2, 3)) + torch.amax(x, -1, keepdim=True).amax(dim=[2, 3]),
    "amax-channels": lambda x: x.amax(1) + x.max(1)[0] + torch.max(x, dim=1).values,
    "amax-all": lambda x: x.amax((1, 2, 3), keepdim=True) + x.amax((1, 3), keepdim=True),
    "stacked-max": lambda x: torch.stack([x, x.flip(2), -x], 1).max(dim=1, keepdim=True)[0],
    "mean-channels": lambda x: x.mean(1, keepdim=True) + torch.sum(x, (1, -1), keepdim=True),
    "larger": lambda x: torch.maximum(x, x.flip(1)) + torch.max(x.mean((2, 3), True), x),
    "leaky-maximum": lambda x: torch.maximum(x, 0.1 * x),
    "broadcast-add": lambda x: x - x.mean((2, 3), keepdim=True) + x.sum(1, keepdim=True),
    "reshape": lambda x: x.reshape(-1, 4, 36),
    "squeeze": lambda x: F.adaptive_avg_pool2d(x, 1).squeeze(-1).squeeze(-1),
    "squeeze-all": lambda x: F.adaptive_avg_pool2d(x, 1).squeeze(),
    "unsqueeze": lambda x: x.unsqueeze(1),
    "new-axis": lambda x: x[:, None],
    "permute": lambda x: x.permute(0, 2, 3, 1),
    "select": lambda x: x[:, -1],
    "select-method": lambda x: x.select(1, -1),
    "select-torch": lambda x: torch.select(x, -1, 2),
    "narrow": lambda x: x.narrow(1, 1, 2),
    "narrow-end": lambda x: torch.narrow(x, -1, -3, 2),
    "unbind": lambda x: sum(x.unbind(1)),
    "stack": lambda x: torch.stack([x, 2 * x], 1),
    "stack-last": lambda x: torch.stack([row.relu() for row in torch.unbind(x, 2)], dim=-1),
    "power": lambda x: x**1 + x.pow(1.0),
    "strided": lambda x: x[:, :, ::2, 1:-1:3],
    "half": lambda x: x[:, : x.size(1) // 2],
    "split": lambda x: torch.split(x, [1, 3], 1)[1],
    "pad": lambda x: F.pad(x, (1, 2, 0, 3)),
    "pad-reflect": lambda x: F.pad(x, (1, 2, 0, 3), mode="reflect"),
    "pad-replicate": lambda x: F.pad(x, (1, 2, 0, 3), mode="replicate"),
    "pad-circular": lambda x: F.pad(x, (1, 2, 0, 3), "circular"),
    "pad-number": lambda x: F.pad(x, (1, -2, 0, 3), value=-0.5),
    "matmul": lambda x: x.flatten(1) @ _kernel(144, 3),
    "matmul-function": lambda x: torch.matmul(x.flatten(1), _kernel(3, 144).t()),
    "matmul-method": lambda x: x.mean((2, 3)).mm(_kernel(4, 3)),
    "addmm": lambda x: torch.addmm(_kernel(3), x.mean((2, 3)), _kernel(4, 3)),
    "wrapped": lambda x: wrapped(x, "relu"),
    "crop": lambda x: F.pad(x, (-1, 1), "constant", 0),
    "interpolate": lambda x: F.interpolate(x, scale_factor=2),
    "interpolate-size": lambda x: F.interpolate(x, size=(18, 6), mode="nearest-exact"),
    "interpolate-same": lambda x: F.interpolate(x, size=x.shape[2:]),
    "cat": lambda x: torch.cat((x, x.relu(), x), dim=-3),
    "sum-list": lambda x: sum([x, x * 2]),
    "data": lambda x: x.data.clone(),
    "to": lambda x: x.to(x.device).to(torch.float32).type_as(x).float().cpu().contiguous(),
    "type": lambda x: +x.type(torch.FloatTensor),
    "mean-axis": lambda x: x.mean(axis=[2, 3], keepdims=True),
    "cat-axis": lambda x: torch.cat([x[:, :1], x[:, 1:]], axis=1),
    "repeat": lambda x: x[:, :1].repeat(1, 3, 1, 2),
    "tile": lambda x: torch.tile(x[:, 1:2], (1, 2, 1, 1)),
    "expand": lambda x: x[:, :1].expand(-1, 3, -1, -1),
    "expand-as": lambda x: x[:, :1].expand_as(x),
    "pixel-shuffle": lambda x: F.pixel_shuffle(x, 2),
    "pixel-unshuffle": lambda x: F.pixel_unshuffle(x, 3),
    "channel-shuffle": lambda x: F.channel_shuffle(x, 2),
    "flip": lambda x: x.flip(1, -1),
    "flip-list": lambda x: torch.flip(x, [2]),
    "roll": lambda x: x.roll(1, 1),
    "roll-two": lambda x: torch.roll(x, shifts=(-2, 4), dims=(2, -1)),
    "transposed": lambda x: F.conv_transpose2d(x, _kernel(4, 3, 3, 2), stride=2),
    "transposed-cut": lambda x: F.conv_transpose2d(
        x, _kernel(4, 2, 2, 3), torch.ones(4), (3, 2), (2, 1), (1, 0), groups=2, dilation=(1, 2)
    ),
    "relu-maximum": lambda x: torch.maximum(x, torch.zeros(1)),
    "relu-max": lambda x: torch.zeros_like(x).max(x),
    "relu-clamp": lambda x: x.clamp(0, float("inf")),
    "relu-leaky": lambda x: F.leaky_relu(x, 0.0),
    "relu-hardtanh": lambda x: nn.Hardtanh(0, float("inf"))(x),
    "relu-threshold": lambda x: F.threshold(x, 0, 0),
    "leaky": lambda x: F.leaky_relu(x, 0.1),
    "leaky-module": lambda x: nn.LeakyReLU(0.2)(x),
    "relu6": lambda x: F.relu6(x * 9),
    "relu6-module": lambda x: nn.ReLU6()(x * 9),
    "hardtanh": lambda x: nn.Hardtanh(0, 0.5)(x),
    "hardtanh-function": lambda x: F.hardtanh(x, 0.0, 0.5),
    "clamp": lambda x: x.clamp(0, 0.5),
    "clip": lambda x: torch.clip(x, min=0, max=0.5),
    "clamp-tensors": lambda x: torch.clamp(
        x, torch.zeros(()), torch.linspace(0.1, 0.7, 4)[:, None, None]
    ),
    "clamp-max": lambda x: F.relu(x).clamp(max=0.5),
    "clamp-max-of-pool": lambda x: F.avg_pool2d(F.relu(x), 2).clamp_max(0.2),
    "clamp-in-place": lambda x: (x * 1).clamp_(0, 0.5),
    "minimum": lambda x: torch.minimum(torch.relu(x), torch.tensor(0.5)),
    "min-max": lambda x: x.maximum(torch.tensor(0.0)).min(torch.tensor(0.5)),
    "max-pool-of-one": lambda x: F.max_pool2d(F.relu(x), (1, 2), dilation=(2, 1)),
    "relu6-pool": lambda x: F.max_pool2d(F.relu6(x * 9), 2),
    "pool-relu6": lambda x: F.relu6(F.max_pool2d(x * 9, 2)),
    "clip-floor-shift": lambda x: torch.floor(torch.clamp(x / 0.7, 0, 1) * 4 + 0.5) / 4 * 0.7,
    "rounded-relu": lambda x: torch.round(F.relu6(x * 9)) / 9,
    "rounded-steps": lambda x: (F.relu(x) / 0.2).clamp(max=3).round() * 0.2,
}

CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "remembering": (Remembering, _MAP),
    "shared-relu": (SharedRelu, _MAP),
    "tied": (Tied, (5,)),
    "block": (Block, _MAP),
    "pytorch-mnist": (PyTorchMnist, (1, 12, 12)),
    "shuffle": (Shuffle, (4, 6, 6)),
    "affine": (Affine, _MAP),
    "two-heads": (TwoHeads, (2, 10)),
    "weights": (Weights, _MAP),
    "grouped": (lambda: nn.Conv2d(4, 8, 3, stride=2, padding=(1, 0), groups=2), (4, 7, 5)),
    "same-even": (lambda: nn.Conv2d(2, 3, (4, 3), padding="same", dilation=(1, 2)), _MAP),
    "depthwise": (lambda: nn.Conv1d(4, 4, 3, groups=4, padding="valid"), (4, 9)),
    "multiplier": (lambda: nn.Conv2d(2, 6, 3, groups=2), _MAP),
    "transposed-1d": (lambda: nn.ConvTranspose1d(4, 6, 5, 3, 4, 2, groups=2), (4, 9)),
    "upscale": (
        lambda: _sequential(
            nn.ConvTranspose2d(2, 8, 4, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.PixelShuffle(2),
            nn.PixelUnshuffle(4), nn.ChannelShuffle(4),
        ),
        _MAP,
    ),
    "looped": (Looped, _MAP),
    "dense-bn": (
        lambda: _sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Identity()),
        (6,),
    ),
    "pools-1d": (
        lambda: _sequential(nn.MaxPool1d(2), nn.AvgPool1d(3, 1, 1), nn.AdaptiveAvgPool1d(2)),
        (3, 11),
    ),
    "pool-relu": (
        lambda: _sequential(
            nn.Conv2d(2, 3, 3), nn.MaxPool2d(2, 1), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(),
            nn.Unflatten(1, (3, 1)),
        ),
        _MAP,
    ),
    "upsample": (
        lambda: _sequential(nn.Upsample(scale_factor=(2, 3)), nn.UpsamplingNearest2d((36, 36))),
        _MAP,
    ),
    "upsample-1d": (lambda: nn.Upsample(scale_factor=3), (4, 5)),
    "prelu": (lambda: _sequential(nn.Conv2d(2, 3, 3), nn.PReLU()), _MAP),
    "prelu-channels": (lambda: _sequential(nn.Conv2d(2, 3, 3), nn.PReLU(3, init=-0.3)), _MAP),
    "paddings": (
        lambda: _sequential(
            nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect"),
            nn.Conv2d(3, 3, (4, 3), padding="same", dilation=(1, 2), padding_mode="circular"),
            nn.ReflectionPad2d((1, 0, 2, 1)), nn.ReplicationPad2d(1),
            nn.CircularPad2d((0, 2, 1, 0)), nn.ConstantPad2d((1, 0, 0, 1), 0.5),
        ),
        _MAP,
    ),
    "paddings-1d": (
        lambda: _sequential(
            nn.Conv1d(4, 4, 3, padding=2, padding_mode="replicate"), nn.ReflectionPad1d((0, 3)),
            nn.ReplicationPad1d((2, 0)), nn.CircularPad1d(1),
        ),
        (4, 6),
    ),
    "pads": (lambda: _sequential(nn.ZeroPad2d((1, 0, 2, 0)), nn.ConstantPad2d(1, 0.0)), _MAP),
    **{name: (lambda f=f: Function(f), _MAP) for name, f in _FUNCTIONS.items()},
}  # fmt: skip
