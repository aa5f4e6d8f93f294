"""A deep network in few steps is told so, and what is advised helps on other samples."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor, nn

import snnc
from snnc.analysis.diagnosis import Diagnosis
from snnc.data import open_data

BLOCKS, CHANNELS, T = 6, 6, 3
EPOCHS, BATCH = 4, 64


class Block(nn.Module):
    """Two convolutions with batch norm, and a shortcut around them."""

    def __init__(self) -> None:
        super().__init__()
        convs = [nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False) for _ in range(2)]
        self.conv1, self.conv2 = convs
        self.bn1, self.bn2 = nn.BatchNorm2d(CHANNELS), nn.BatchNorm2d(CHANNELS)
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, 8, 8) -> the same."""
        inner = self.relu1(self.bn1(self.conv1(x)))
        return self.relu2(self.bn2(self.conv2(inner)) + x)


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    """17 layers that spike, trained on the digits for some seconds."""
    torch.manual_seed(0)
    first = [nn.Conv2d(1, CHANNELS, 3, padding=1, bias=False), nn.BatchNorm2d(CHANNELS), nn.ReLU()]
    blocks = [Block() for _ in range(BLOCKS)]
    model = nn.Sequential(*first, *blocks, nn.AvgPool2d(8), nn.Flatten(), nn.Linear(CHANNELS, 10))
    batches = list(open_data("digits#train", batch_size=BATCH))
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(EPOCHS):
        for x, y in batches:
            assert y is not None
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(torch.from_numpy(x)), torch.from_numpy(y))
            loss.backward()
            optimizer.step()
    return model.eval()


BINARY = ("convert", "convert{wait=T-1}", "convert{tune=4}")
"""Recipes whose neurons may still become groups."""


def diagnosed(model: nn.Module, timesteps: int, recipe: str) -> Diagnosis:
    """On 64 samples that the passes did not see, of 256."""
    return snnc.diagnose(
        model,
        calibration="digits#train[:256]",
        input_shape=(1, 8, 8),
        timesteps=timesteps,
        recipe=recipe,
    )


def agreement(found: Diagnosis) -> float:
    told = found.over_t[-1].agreement
    assert found.samples == 64 and told is not None
    return told


@pytest.fixture(scope="module")
def few(trained: nn.Module) -> Diagnosis:
    """The default recipe in few steps."""
    return diagnosed(trained, T, "convert")


def test_too_few_steps_are_named(few: Diagnosis) -> None:
    (fault,) = few.faults
    assert fault.cause == "too-few-timesteps" and len(few.findings) <= 2
    assert fault.remedy.startswith(f"-T {2 * T}, ") and "calibrate" not in fault.remedy
    assert set(re.findall(r"convert\{[^}]*\}", fault.remedy)) == {
        f"convert{{latency={2 * T}}}",
        *(f"convert{{{option}}}" for option in ("split=1.5", "signed=true", "wait=T-1", "tune=4")),
    }


@pytest.mark.parametrize(
    ("recipe", "timesteps"),
    [
        ("convert", 2 * T),
        ("convert{split=1.5}", T),
        pytest.param("convert{signed=true}", T, marks=pytest.mark.long),
        pytest.param("convert{wait=T-1}", T, marks=pytest.mark.long),
        pytest.param("convert{tune=4}", T, marks=pytest.mark.long),
    ],
)
def test_what_is_advised_helps(
    trained: nn.Module, few: Diagnosis, recipe: str, timesteps: int
) -> None:
    found = diagnosed(trained, timesteps, recipe)
    assert agreement(found) > agreement(few)
    assert [each.name for each in found.layers] == [each.name for each in few.layers]
    for fault in found.faults:
        assert fault.cause == "too-few-timesteps"
        assert "split" not in fault.remedy or recipe in (
            "convert",
            "convert{wait=T-1}",
            "convert{tune=4}",
        )
        assert recipe == "convert" or recipe not in fault.remedy
