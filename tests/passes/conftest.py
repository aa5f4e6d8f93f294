"""Two trained networks as `ann` graphs beside the same networks in torch."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.numpy import load_file

from snnc.ir import (
    Add,
    AvgPool,
    BatchNorm,
    Conv,
    Graph,
    Input,
    Linear,
    Pad,
    Relu,
    Reshape,
    Scale,
    Slice,
    verify,
)
from snnc.testing import windows

Arrays = dict[str, NDArray[np.float32]]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Network:
    """A trained network: its graph, the same in torch eager, and data it was not trained for here.

    Attributes:
        images: (N, C, H, W) float32 in [0, 1], and `labels`, (N,), for judging.
        calibration: (N, C, H, W) training images.
    """

    graph: Graph
    eager: Callable[[torch.Tensor], torch.Tensor]
    images: NDArray[np.float32]
    labels: NDArray[np.int64]
    calibration: NDArray[np.float32]


class _Writer:
    """Adds nodes with the arrays of a state dict."""

    def __init__(self, shape: tuple[int, ...], state: Arrays) -> None:
        self.graph = Graph()
        self.state = state
        self.graph.add("x", Input(shape=shape))

    def ref(self, name: str):
        return self.graph.set_param(name, self.state[name])

    def conv(self, name: str, x: str, stride: int = 1, padding: int = 0) -> str:
        op = Conv(
            weight=self.ref(f"{name}.weight"),
            stride=(stride, stride),
            padding=((padding, padding),) * 2,
        )
        return self.graph.add(name, op, [x])

    def norm(self, name: str, x: str) -> str:
        op = BatchNorm(
            mean=self.ref(f"{name}.running_mean"),
            variance=self.ref(f"{name}.running_var"),
            weight=self.ref(f"{name}.weight"),
            bias=self.ref(f"{name}.bias"),
        )
        return self.graph.add(name, op, [x])

    def avgpool(self, name: str, x: str, kernel: int) -> str:
        size = self.graph.type_of(x).shape[1:]
        wins = windows(size, kernel, kernel)
        divisors = tuple((kernel,) * len(axis) for axis in wins)
        return self.graph.add(name, AvgPool(windows=wins, divisors=divisors), [x])

    def relu(self, name: str, x: str) -> str:
        return self.graph.add(name, Relu(), [x])

    def block(self, name: str, x: str, stride: int) -> str:
        y = self.relu(
            f"{name}.relu1", self.norm(f"{name}.bn1", self.conv(f"{name}.conv1", x, stride, 1))
        )
        y = self.norm(f"{name}.bn2", self.conv(f"{name}.conv2", y, 1, 1))
        if stride == 2:
            c, h, w = self.graph.type_of(x).shape
            half = Slice(starts=(0, 0, 0), stops=(c, h, w), steps=(1, 2, 2))
            x = self.graph.add(f"{name}.slice", half, [x])
            pad = Pad(padding=((c // 2, c // 2), (0, 0), (0, 0)))
            x = self.graph.add(f"{name}.pad", pad, [x])
        return self.relu(f"{name}.relu2", self.graph.add(f"{name}.add", Add(), [y, x]))

    def finish(self, x: str) -> Graph:
        self.graph.outputs = (x,)
        verify(self.graph)
        return self.graph


def _resnet20(state: Arrays) -> Graph:
    write = _Writer((3, 32, 32), state)
    state["normalize.factor"] = (1 / np.array(STD)).astype(np.float32)
    state["normalize.bias"] = (-np.array(MEAN) / np.array(STD)).astype(np.float32)
    scale = Scale(factor=write.ref("normalize.factor"), bias=write.ref("normalize.bias"))
    x = write.graph.add("normalize", scale, ["x"])
    x = write.relu("relu", write.norm("bn1", write.conv("conv1", x, 1, 1)))
    for stage in (1, 2, 3):
        for number in range(3):
            x = write.block(f"layer{stage}.{number}", x, 2 if stage > 1 and number == 0 else 1)
    x = write.graph.add("flatten", Reshape(shape=(64,)), [write.avgpool("pool", x, 8)])
    op = Linear(weight=write.ref("linear.weight"), bias=write.ref("linear.bias"))
    return write.finish(write.graph.add("linear", op, [x]))


def _resnet20_eager(state: Arrays) -> Callable[[torch.Tensor], torch.Tensor]:
    p = {name: torch.from_numpy(array) for name, array in state.items()}

    def norm(name: str, x: torch.Tensor) -> torch.Tensor:
        mean, var = p[f"{name}.running_mean"], p[f"{name}.running_var"]
        return F.batch_norm(x, mean, var, p[f"{name}.weight"], p[f"{name}.bias"])

    def forward(x: torch.Tensor) -> torch.Tensor:
        column = (1, 3, 1, 1)
        x = (x - torch.tensor(MEAN).reshape(column)) / torch.tensor(STD).reshape(column)
        x = F.relu(norm("bn1", F.conv2d(x, p["conv1.weight"], padding=1)))
        for name in (f"layer{s}.{n}" for s in (1, 2, 3) for n in range(3)):
            stride = 2 if name in ("layer2.0", "layer3.0") else 1
            y = F.conv2d(x, p[f"{name}.conv1.weight"], stride=stride, padding=1)
            y = F.relu(norm(f"{name}.bn1", y))
            y = norm(f"{name}.bn2", F.conv2d(y, p[f"{name}.conv2.weight"], padding=1))
            if stride == 2:
                c = x.shape[1]
                x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, c // 2, c // 2))
            x = F.relu(x + y)
        return F.linear(x.mean((2, 3)), p["linear.weight"], p["linear.bias"])

    return forward


def _mnist(state: Arrays) -> Graph:
    write = _Writer((1, 28, 28), state)
    x = "x"
    for conv in (0, 3, 6):
        x = write.relu(str(conv + 1), write.conv(str(conv), x))
        x = write.avgpool(str(conv + 2), x, 2)
    x = write.graph.add("9", Reshape(shape=(128,)), [x])
    x = write.relu("11", write.graph.add("10", Linear(weight=write.ref("10.weight")), [x]))
    return write.finish(write.graph.add("12", Linear(weight=write.ref("12.weight")), [x]))


def _mnist_eager(state: Arrays) -> Callable[[torch.Tensor], torch.Tensor]:
    p = {name: torch.from_numpy(array) for name, array in state.items()}

    def forward(x: torch.Tensor) -> torch.Tensor:
        for conv in (0, 3, 6):
            x = F.avg_pool2d(F.relu(F.conv2d(x, p[f"{conv}.weight"])), 2)
        return F.linear(F.relu(F.linear(x.flatten(1), p["10.weight"])), p["12.weight"])

    return forward


def _cifar10(files: list[Path]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    rows = np.concatenate([np.fromfile(f, np.uint8).reshape(-1, 3073) for f in files])
    images = rows[:, 1:].reshape(-1, 3, 32, 32).astype(np.float32) / 255
    return images, rows[:, 0].astype(np.int64)


def _idx(path: Path) -> NDArray[np.uint8]:
    data = np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8)
    rank = int(data[3])
    shape = data[4 : 4 + 4 * rank].view(">u4").astype(int)
    return data[4 + 4 * rank :].reshape(shape)


@pytest.fixture(scope="session")
def resnet20(snnc_data: Path, cifar10_dir: Path) -> Network:
    """ResNet-20 of CIFAR-10; judged on exact test images, calibrated on exact training images."""
    state = load_file(snnc_data / "models" / "cifar10-resnet20" / "weights.safetensors")
    (test,) = cifar10_dir.rglob("test_batch.bin")
    images, labels = _cifar10([test])
    training, _ = _cifar10(sorted(cifar10_dir.rglob("data_batch_*.bin")))
    exact_test, exact_train = (
        np.load(next(cifar10_dir.rglob(f"exact_{part}.npy"))) for part in ("test", "train")
    )
    calibration = training[exact_train][:1024]
    eager = _resnet20_eager(dict(state))
    return Network(_resnet20(state), eager, images[exact_test], labels[exact_test], calibration)


@pytest.fixture(scope="session")
def mnist(snnc_data: Path) -> Network:
    """A convolutional network of MNIST without biases."""
    state = load_file(snnc_data / "models" / "mnist-cnn-avgpool" / "weights.safetensors")
    folder = snnc_data / "mnist"
    test, train = (
        _idx(folder / f"{part}-images-idx3-ubyte.gz")[:, None].astype(np.float32) / 255
        for part in ("t10k", "train")
    )
    labels = _idx(folder / "t10k-labels-idx1-ubyte.gz").astype(np.int64)
    return Network(_mnist(state), _mnist_eager(state), test, labels, train[:1024])
