"""The input shape of a module, where exactly one is possible."""

from __future__ import annotations

import logging
import time

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snnc.errors import UnsupportedError, UsageError
from snnc.frontends import trace
from snnc.frontends.input_shape import LIMIT, infer_shape


class Functional(nn.Module):
    """A strided convolution, one by `F.conv2d`, and a view that would mix samples if it could."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.weight = nn.Parameter(torch.zeros(16, 8, 3, 3))
        self.fc = nn.Linear(16 * 64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(F.relu(self.conv(x)), self.weight, None, 1, 1)
        return self.fc(F.max_pool2d(x, 2).view(-1, 16 * 64))


class WeightFirst(nn.Module):
    """Its first layer is a function on a grouped weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(4, 2, 3, 3))
        self.fc = nn.Linear(4 * 6 * 6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(F.conv2d(x, self.weight, groups=2).flatten(1))


def lenet() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(400, 10)),
    )


def conv(features: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Flatten(), nn.Linear(features, 3))


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), (784,)),
        (conv(8 * 32 * 32), (3, 32, 32)),
        (lenet(), (1, 32, 32)),
        (Functional(), (3, 32, 32)),
        (WeightFirst(), (4, 8, 8)),
        (
            nn.Sequential(
                *(nn.BatchNorm1d(4), nn.Conv1d(4, 8, 3, padding=1), nn.MaxPool1d(2)),
                *(nn.Flatten(), nn.Linear(64, 3)),
            ),
            (4, 16),
        ),
    ],
    ids=["linear", "conv", "lenet", "functional", "weight", "1d"],
)
def test_the_one_shape(module: nn.Module, shape: tuple[int, ...]) -> None:
    assert infer_shape(module, "net") == shape
    assert trace(module.eval()).type_of("input").shape == shape


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)),
         "several sizes, e.g. 3,3,3 and 3,4,4"),
        (nn.Conv2d(3, 8, 3, stride=2, padding=1), "several sizes, e.g. 3,2,2 and 3,4,4"),
        (conv(8 * 32 * 16), f"no square input of up to {LIMIT} fits"),
        (nn.Sequential(nn.ReLU()), "no layer tells the shape"),
        (nn.Sequential(nn.Unflatten(1, (2, 3)), nn.Linear(2, 3)), "does not take 2 features"),
    ],
    ids=["adaptive", "convolutional", "oblong", "weightless", "mismatched"],
)  # fmt: skip
def test_no_shape_or_several_name_the_flag(module: nn.Module, words: str) -> None:
    with pytest.raises(UsageError) as error:
        infer_shape(module, "net")
    assert words in error.value.message and error.value.message.startswith("net")
    assert error.value.message.endswith("give --input-shape")


def test_what_was_inferred_is_said_and_the_module_left_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    module = lenet().train()
    with caplog.at_level(logging.WARNING):
        infer_shape(module, "net.py:lenet")
    assert "net.py:lenet: input shape 1,32,32 inferred, sizes 32 to 35 fit" in caplog.text
    assert module.training and all(p.device.type == "cpu" for p in module.parameters())


def test_a_module_that_cannot_be_traced_says_so() -> None:
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(UnsupportedError, match="control flow"):
        infer_shape(Odd(), "net")


def test_large_images_cost_no_arithmetic() -> None:
    layers: list[nn.Module] = []
    for before, after in ((3, 64), (64, 128), (128, 512)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    module = nn.Sequential(*layers, nn.Flatten(), nn.Linear(512 * 28 * 28, 2))
    start = time.process_time()
    assert infer_shape(module, "net") == (3, 224, 224)
    assert time.process_time() - start < 20
