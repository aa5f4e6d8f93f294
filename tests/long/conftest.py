"""The two trained networks, ready to be compiled and judged on real images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import snnc
from snnc.data import open_data
from snnc.driver import Compiled

TIMESTEPS = 8
CALIBRATION_IMAGES = 64


@dataclass(frozen=True)
class Trained:
    """A trained network and its data.

    Attributes:
        code, weights: what `compile` is given.
        shape, mean, std: of one image; how the network was trained.
        data: DATA of a split, "train" or "test", with `{0}` in its place.
    """

    code: str
    weights: Path
    data: str
    shape: tuple[int, ...]
    mean: Sequence[float] = ()
    std: Sequence[float] = ()

    @property
    def test(self) -> str:
        """The test images, as DATA."""
        return self.data.format("test")

    def compile(self, output: Path, **options: Any) -> Compiled:
        """Compile for 8 steps, calibrated on a few training images."""
        return snnc.compile(
            self.code,
            output=output,
            weights=self.weights,
            input_shape=self.shape,
            mean=self.mean,
            std=self.std,
            timesteps=TIMESTEPS,
            calibration=open_data(self.data.format("train")).limit(CALIBRATION_IMAGES),
            **options,
        )


@pytest.fixture(params=["resnet20", "mnist"])
def network(
    request: pytest.FixtureRequest, repository: Path, snnc_data: Path, cifar10_dir: Path
) -> Trained:
    """Each of the two."""
    examples, models = repository / "examples", snnc_data / "models"
    if request.param == "mnist":
        return Trained(
            code=f"{examples / 'mnist' / 'net.py'}:mnist_cnn",
            weights=models / "mnist-cnn-avgpool" / "weights.safetensors",
            data=f"mnist:{snnc_data / 'mnist'}#{{0}}",
            shape=(1, 28, 28),
        )
    return Trained(
        code=f"{examples / 'resnet20' / 'net.py'}:resnet20",
        weights=models / "cifar10-resnet20" / "weights.safetensors",
        data=f"cifar10:{cifar10_dir}#{{0}}[@exact_{{0}}.npy]",
        shape=(3, 32, 32),
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    )
