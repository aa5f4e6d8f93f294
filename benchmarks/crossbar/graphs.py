"""Integer graphs of known architectures with weights that are all 1, for mapping and placement.

Only their shapes and branches matter: every neuron integrates and fires, pools are maxima of counts
or, at the end, sums. The layers are those of `mapping.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from snnc import ir
from snnc.testing import windows

TIMESTEPS = 4


class Net:
    """A graph under construction; a value is the name of its node."""

    def __init__(self, *shape: int) -> None:
        self.graph = ir.Graph(ir.Stage.SNN)
        self.graph.add("x", ir.Input(shape=shape))
        self.start = self.graph.add("encode", ir.EncodeDirect(scale=1 / 255, hi=255), ["x"])
        self.count = 0

    def _name(self, kind: str) -> str:
        self.count += 1
        return f"{kind}{self.count}"

    def _shape(self, x: str) -> tuple[int, ...]:
        return self.graph.type_of(x).shape

    def _weight(self, name: str, *shape: int) -> Any:
        return self.graph.set_param(name, np.ones(shape, np.int8))

    def conv(
        self,
        x: str,
        outputs: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        padding: int | None = None,
    ) -> str:
        """A convolution; without `padding` it keeps the size but for its stride."""
        name, inputs = self._name("conv"), self._shape(x)[0]
        pad = kernel // 2 if padding is None else padding
        op = ir.Conv(
            weight=self._weight(name, outputs, inputs // groups, kernel, kernel),
            padding=((pad, pad), (pad, pad)), stride=(stride, stride), groups=groups,
        )  # fmt: skip
        return self.graph.add(name, op, [x])

    def fires(self, x: str) -> str:
        """Neurons."""
        name = self._name("neurons")
        return self.graph.add(name, ir.Neuron(threshold=100), [x])

    def add(self, *terms: str) -> str:
        """The sum of branches."""
        return self.graph.add(self._name("add"), ir.Add(), list(terms))

    def spikes(self, x: str) -> str:
        """Spikes as a term of a sum."""
        return self.graph.add(self._name("current"), ir.Scale(factor=np.int32(1)), [x])

    def narrowed(self, x: str, more: int) -> str:
        """Every second pixel, and `more` channels of zeros on either side."""
        shape = self._shape(x)
        op = ir.Slice(starts=(0, 0, 0), stops=shape, steps=(1, 2, 2))
        x = self.graph.add(self._name("slice"), op, [x])
        pad = ir.Pad(padding=((more, more), (0, 0), (0, 0)))
        return self.graph.add(self._name("pad"), pad, [x])

    def halve(self, x: str) -> str:
        """Maxima of 2 x 2."""
        op = ir.CountMaxPool(windows=windows(self._shape(x)[1:], 2, 2))
        return self.graph.add(self._name("pool"), op, [x])

    def flat(self, x: str, mean: bool = False) -> str:
        """A vector: of all elements, or of the sums of the channels."""
        if mean:
            size = self._shape(x)[1]
            op = ir.SumPool(windows=windows((size, size), size, size))
            x = self.graph.add(self._name("pool"), op, [x])
        op = ir.Reshape(shape=(int(np.prod(self._shape(x))),))
        return self.graph.add(self._name("flat"), op, [x])

    def linear(self, x: str, outputs: int) -> str:
        """A linear layer."""
        name = self._name("fc")
        return self.graph.add(
            name, ir.Linear(weight=self._weight(name, outputs, *self._shape(x))), [x]
        )

    def done(self, x: str) -> ir.Graph:
        """The graph, with a readout."""
        self.graph.outputs = (self.graph.add("out", ir.Readout(), [x]),)
        self.graph.meta["timesteps"] = TIMESTEPS
        return self.graph


def vgg16(size: int, features: tuple[int, ...]) -> ir.Graph:
    """Thirteen convolutions and the linear layers."""
    net = Net(3, size, size)
    x = net.start
    for width, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(depth):
            x = net.fires(net.conv(x, width, 3))
        x = net.halve(x)
    x = net.flat(x)
    for outputs in features[:-1]:
        x = net.fires(net.linear(x, outputs))
    return net.done(net.linear(x, features[-1]))


def resnet18(size: int, imagenet: bool) -> ir.Graph:
    """With 1 x 1 convolutions in the shortcuts."""
    net = Net(3, size, size)
    x = net.fires(net.conv(net.start, 64, 7 if imagenet else 3, 2 if imagenet else 1))
    x = net.halve(x) if imagenet else x
    for width in (64, 128, 256, 512):
        for block in range(2):
            stride = 2 if width > 64 and not block else 1
            y = net.conv(net.fires(net.conv(x, width, 3, stride)), width, 3)
            short = net.conv(x, width, 1, stride) if stride == 2 else net.spikes(x)
            x = net.fires(net.add(y, short))
    return net.done(net.linear(net.flat(x, mean=True), 1000 if imagenet else 10))


def resnet20() -> ir.Graph:
    """For CIFAR-10; shortcuts without weights: every second pixel, channels of zeros."""
    net = Net(3, 32, 32)
    x = net.fires(net.conv(net.start, 16, 3))
    for width in (16, 32, 64):
        for block in range(3):
            stride = 2 if width > 16 and not block else 1
            y = net.conv(net.fires(net.conv(x, width, 3, stride)), width, 3)
            short = net.narrowed(x, width // 4) if stride == 2 else x
            x = net.fires(net.add(y, net.spikes(short)))
    return net.done(net.linear(net.flat(x, mean=True), 10))


def mobilenet_v2() -> ir.Graph:
    """For 224 x 224 images, of width 1; neurons behind every convolution, as the recipes put."""
    blocks = (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
        (6, 320, 1, 1),
    )  # fmt: skip
    net = Net(3, 224, 224)
    x, channels = net.fires(net.conv(net.start, 32, 3, 2)), 32
    for expansion, width, count, first in blocks:
        for i in range(count):
            stride, inner, before = first if i == 0 else 1, channels * expansion, x
            if expansion > 1:
                x = net.fires(net.conv(x, inner, 1))
            x = net.fires(net.conv(x, inner, 3, stride, inner))
            x = net.conv(x, width, 1)
            if stride == 1 and channels == width:
                x = net.add(x, net.spikes(before))
            x, channels = net.fires(x), width
    x = net.fires(net.conv(x, 1280, 1))
    return net.done(net.linear(net.flat(x, mean=True), 1000))


def lenet5() -> ir.Graph:
    """Of 28 x 28 images, the first convolution padded."""
    net = Net(1, 28, 28)
    x = net.halve(net.fires(net.conv(net.start, 6, 5)))
    x = net.flat(net.halve(net.fires(net.conv(x, 16, 5, padding=0))))
    for features in (120, 84):
        x = net.fires(net.linear(x, features))
    return net.done(net.linear(x, 10))


def mlp() -> ir.Graph:
    """784-512-10."""
    net = Net(784)
    return net.done(net.linear(net.fires(net.linear(net.start, 512)), 10))


GRAPHS: Mapping[str, Callable[[], ir.Graph]] = {
    "VGG16, 32x32": lambda: vgg16(32, (512, 512, 10)),
    "VGG16, 224x224": lambda: vgg16(224, (4096, 4096, 1000)),
    "ResNet-18, 32x32": lambda: resnet18(32, False),
    "ResNet-18, 224x224": lambda: resnet18(224, True),
    "ResNet-20, 32x32": resnet20,
    "MobileNet-v2, 224x224": mobilenet_v2,
    "LeNet-5": lenet5,
    "MLP 784-512-10": mlp,
}
