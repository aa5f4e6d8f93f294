"""Spike for spike: two trained networks on the CPU and in the reference, for 100 real images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

import snnc
from snnc.data import open_data
from snnc.driver import ModelSource, verify_artifact

IMAGES = 100
TIMESTEPS = 8
PASSES = (
    "fold-batchnorm,fold-normalization,lower-avgpool,activations-to-neurons{neuron},"
    "threshold-balance,initialize-potential,fold-scale,quantize{quantize}"
)
NEURONS = {
    "default": "",
    "leak 0.9": "{leak=0.9}",
    "fire-integrate": "{order=fire-integrate}",
    "fire-integrate, leak 0.9": "{leak=0.9 order=fire-integrate}",
    "reset to zero": "{reset=zero}",
    "wait 4": "{wait=4}",
    "wait 4, fire-integrate": "{wait=4 order=fire-integrate}",
    "signed": "{signed=true}",
}
CASES = [("default", bits) for bits in (8, 4, 2)] + [(n, 8) for n in NEURONS if n != "default"]


@dataclass(frozen=True)
class Trained:
    """A trained network by name: its code, weights, data and normalisation."""

    code: str
    weights: str
    shape: tuple[int, ...]
    mean: Sequence[float] = ()
    std: Sequence[float] = ()

    def source(self, repository: Path, data: Path) -> ModelSource:
        return ModelSource(
            model=f"{repository / 'examples' / self.code}",
            weights=data / "models" / self.weights / "weights.safetensors",
            input_shape=self.shape,
            mean=self.mean,
            std=self.std,
        )


RESNET20 = Trained(
    "resnet20/net.py:resnet20",
    "cifar10-resnet20",
    (3, 32, 32),
    (0.485, 0.456, 0.406),
    (0.229, 0.224, 0.225),
)
MNIST = Trained("mnist/net.py:mnist_cnn", "mnist-cnn-avgpool", (1, 28, 28))


@pytest.mark.long
@pytest.mark.parametrize(("neuron", "bits"), CASES)
@pytest.mark.parametrize("network", [RESNET20, MNIST], ids=["resnet20", "mnist"])
def test_every_spike_count_and_readout_is_equal(
    network: Trained,
    neuron: str,
    bits: int,
    repository: Path,
    snnc_data: Path,
    cifar10_dir: Path,
    tmp_path: Path,
) -> None:
    folder = f"cifar10:{cifar10_dir}" if network is RESNET20 else f"mnist:{snnc_data / 'mnist'}"
    mask = "[@exact_{}.npy]" if network is RESNET20 else ""
    calibration, test = (f"{folder}#{s}{mask.format(s)}" for s in ("train", "test"))
    source = network.source(repository, snnc_data)
    path = tmp_path / "network.snnc"
    passes = PASSES.replace("{neuron}", NEURONS[neuron]).replace("{quantize}", f"{{bits={bits}}}")
    snnc.compile(
        source.model,
        output=path,
        weights=source.weights,
        input_shape=source.input_shape,
        mean=source.mean,
        std=source.std,
        passes=passes,
        timesteps=TIMESTEPS,
        calibration=open_data(calibration).limit(64),
    )
    result = verify_artifact(path, data=test, limit=IMAGES)
    print(result.report())
    assert result.samples == IMAGES
    assert result.spikes > 10**6
    assert result.equal
