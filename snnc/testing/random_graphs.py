"""Random small spiking graphs of all ops, for property tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from snnc.ir import EncodeDirect, EncodeLatency, EncodePoisson, Graph, Upsample
from snnc.testing.builder import NetBuilder, Style
from snnc.testing.square_windows import windows

LARGEST_SAMPLE = 400
ENCODERS = (EncodeDirect, EncodeDirect, EncodePoisson, EncodeLatency)


def random_graph(seed: int, style: Style = Style.QUANTIZED) -> Graph:
    """A spiking graph of two to four populations with random structure, options and parameters.

    Args:
        seed: the same seed gives the same graph.
        style: real or integer parameters; `Style.ANN` is refused, it has no neurons.
    """
    if style is Style.ANN:
        raise ValueError("random graphs are spiking graphs")
    rng = np.random.default_rng(seed)
    rank = int(rng.integers(1, 3))
    shape = (int(rng.integers(1, 4)), *(int(n) for n in rng.integers(4, 8, rank)))
    encode = ENCODERS[int(rng.integers(len(ENCODERS)))]
    net = NetBuilder(style, shape, seed, encode=encode)
    return _Writer(net, rng).write()


class _Writer:
    """Adds random layers; `spikes` are the populations that shortcuts can start from."""

    def __init__(self, net: NetBuilder, rng: np.random.Generator) -> None:
        self.net, self.rng = net, rng
        self.spikes: list[str] = []
        self.moves: tuple[Callable[[str], str], ...] = (
            self.sumpool, self.maxpool, self.slice, self.pad, self.permute, self.concat, self.scale,
            self.upsample, self.count_maxpool,
        )  # fmt: skip

    def write(self) -> Graph:
        x = self.net.input
        for _ in range(int(self.rng.integers(2, 5))):
            x = self.population(x)
            if self.chance(0.6):
                x = self.moves[int(self.rng.integers(len(self.moves)))](x)
        if self.chance(0.8):
            x = self.net.linear(self.name("fc"), x, int(self.rng.integers(1, 6)))
        return self.net.finish(x)

    def population(self, x: str) -> str:
        """A weighted layer, sometimes a sum with a shortcut or a second branch, then neurons."""
        current = self.weighted(x)
        shape = self.net.shape(current)
        same = [spike for spike in self.spikes if self.net.shape(spike) == shape]
        if same and self.chance(0.7):
            current = self.net.add(self.name("add"), current, str(self.rng.choice(same)))
        elif self.chance(0.3):
            branch = self.net.scale(self.name("scale"), current, self.rng.uniform(1, 3, shape[0]))
            current = self.net.add(self.name("add"), current, branch)
        self.net.neuron_options = self.neuron()
        per_channel, bounded = self.chance(0.5), self.chance(0.2)
        if self.chance(0.2):
            spike = self.net.linear_act(self.name("linear"), current, rounds=self.chance(0.5))
        else:
            spike = self.net.act(
                self.name("act"), current, per_channel=per_channel, bounded=bounded
            )
        self.spikes.append(spike)
        return spike

    def weighted(self, x: str) -> str:
        shape = self.net.shape(x)
        bias = str(self.rng.choice(["none", "channel", "map"]))
        if len(shape) == 1:
            return self.net.linear(self.name("fc"), x, int(self.rng.integers(2, 8)))
        if self.chance(0.15):
            return self.net.linear(self.name("fc"), x, int(self.rng.integers(2, 8)), bias=bias)
        kernel = int(self.rng.integers(1, 4))
        groups = shape[0] if self.chance(0.3) else 1
        channels = shape[0] * int(self.rng.integers(1, 3)) if shape[0] < 5 else shape[0]
        return self.net.conv(
            self.name("conv"), x, channels,
            kernel=kernel, padding=kernel // 2 + int(self.chance(0.2)), groups=groups, bias=bias,
            stride=2 if min(shape[1:]) > 3 and self.chance(0.3) else 1,
            dilation=2 if min(shape[1:]) > 4 and self.chance(0.2) else 1,
        )  # fmt: skip

    def neuron(self) -> dict[str, Any]:
        reset: Literal["subtract", "zero"] = "zero" if self.chance(0.3) else "subtract"
        return {
            "leak": float(self.rng.choice([1.0, 0.9, 0.5])),
            "reset": reset,
            "order": "fire-integrate" if self.chance(0.3) else "integrate-fire",
            "wait": int(self.rng.choice([0, 0, 1, 4])),
            "signed": reset == "subtract" and self.chance(0.25),
        }

    # -- ops between two populations ---------------------------------------------------------

    def sumpool(self, x: str) -> str:
        wins = self.windows(x)
        if wins is None:
            return x
        multiplicity = tuple(
            tuple(int(m) for m in self.rng.integers(1, 3, len(axis))) for axis in wins
        )
        chosen = multiplicity if self.chance(0.5) else None
        return self.net.sumpool(self.name("sumpool"), x, wins, chosen)

    def maxpool(self, x: str) -> str:
        wins = self.windows(x)
        return x if wins is None else self.net.maxpool(self.name("maxpool"), x, wins)

    def count_maxpool(self, x: str) -> str:
        wins = self.windows(x)
        return x if wins is None else self.net.count_maxpool(self.name("count"), x, wins)

    def windows(self, x: str) -> Any:
        size = self.net.shape(x)[1:]
        if not size or min(size) < 3:
            return None
        padding = int(self.rng.integers(0, 2))
        return windows(size, 2 + padding, int(self.rng.integers(1, 3)), padding)

    def slice(self, x: str) -> str:
        size = self.net.shape(x)[1:]
        return self.net.every_second(self.name("slice"), x) if size and min(size) > 2 else x

    def pad(self, x: str) -> str:
        return self.net.pad_channels(self.name("pad"), x, 1, int(self.rng.integers(0, 2)))

    def permute(self, x: str) -> str:
        axes = tuple(int(a) for a in self.rng.permutation(len(self.net.shape(x))))
        return self.net.permute(self.name("permute"), x, axes)

    def upsample(self, x: str) -> str:
        size = self.net.shape(x)
        factors = tuple(int(n) for n in self.rng.integers(1, 3, len(size) - 1))
        if not factors or np.prod(size) > LARGEST_SAMPLE:
            return x
        return self.net.rearrange(self.name("upsample"), Upsample(factors=factors), x)

    def concat(self, x: str) -> str:
        tail = self.net.shape(x)[1:]
        fits = [spike for spike in self.spikes if self.net.shape(spike)[1:] == tail]
        if not fits or np.prod(self.net.shape(x)) > LARGEST_SAMPLE:
            return x
        return self.net.concat(self.name("concat"), x, str(self.rng.choice(fits)))

    def scale(self, x: str) -> str:
        factor = self.rng.uniform(1, 3, self.net.shape(x) if self.chance(0.5) else ())
        return self.net.scale(self.name("scale"), x, factor, bias=self.chance(0.5))

    def name(self, stem: str) -> str:
        return self.net.graph.fresh(stem)

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)
