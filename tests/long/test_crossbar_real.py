"""Value for value: two trained networks on crossbar tiles and in the reference, 100 real images."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import pytest

import snnc
from snnc.data import open_data
from snnc.driver import verify_artifact

IMAGES = 100
TIMESTEPS = 8
TARGETS = ["crossbar", "crossbar{rows=64 cols=64 cell-bits=2}"]


@dataclass(frozen=True)
class Trained:
    """A trained network: its code, weights, input and normalisation, and the tiles it takes."""

    code: str
    weights: str
    shape: tuple[int, ...]
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()


RESNET20 = Trained(
    "resnet20/net.py:resnet20",
    "cifar10-resnet20",
    (3, 32, 32),
    (0.485, 0.456, 0.406),
    (0.229, 0.224, 0.225),
)
MNIST = Trained("mnist/net.py:mnist_cnn", "mnist-cnn-avgpool", (1, 28, 28))


@pytest.mark.long
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("network", [RESNET20, MNIST], ids=["resnet20", "mnist"])
def test_every_spike_count_and_readout_is_equal(
    network: Trained,
    target: str,
    repository: Path,
    snnc_data: Path,
    cifar10_dir: Path,
    tmp_path: Path,
) -> None:
    folder = f"cifar10:{cifar10_dir}" if network is RESNET20 else f"mnist:{snnc_data / 'mnist'}"
    mask = "[@exact_{}.npy]" if network is RESNET20 else ""
    calibration, test = (f"{folder}#{s}{mask.format(s)}" for s in ("train", "test"))
    path = tmp_path / "network.snnc"
    compiled = snnc.compile(
        f"{repository / 'examples' / network.code}",
        output=path,
        target=target,
        weights=snnc_data / "models" / network.weights / "weights.safetensors",
        input_shape=network.shape,
        mean=network.mean,
        std=network.std,
        recipe="convert{bits=8}",
        timesteps=TIMESTEPS,
        calibration=open_data(calibration).limit(64),
    )
    start = time.perf_counter()
    result = verify_artifact(path, data=test, limit=IMAGES)
    print(compiled.report["hardware"]["totals"])
    print(result.report(), f"{time.perf_counter() - start:.0f} s")
    assert result.samples == IMAGES
    assert result.spikes > 10**6
    assert result.quantized and result.equal
