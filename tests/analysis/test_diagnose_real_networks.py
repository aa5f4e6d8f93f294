"""Faults injected into the given trained networks are found, and without any there are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnc.analysis.diagnosis import Diagnosis
from snnc.data import open_data
from snnc.driver import ModelSource, load_model
from snnc.driver.models import normalize
from snnc.ir import Graph

RESNET = "examples/resnet20/net.py:resnet20"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def faults(found: Diagnosis) -> list[tuple[str, str]]:
    """(layer, cause) of every fault, in the order of the network."""
    return [(each.layer, str(each.cause)) for each in found.faults]


@pytest.fixture(scope="module")
def resnet(repository: Path, snnc_data: Path) -> Graph:
    """The given ResNet-20, its input normalised."""
    weights = snnc_data / "models" / "cifar10-resnet20" / "weights.safetensors"
    shape = (3, 32, 32)
    model = str(repository / RESNET)
    source = ModelSource(model=model, weights=weights, input_shape=shape, mean=MEAN, std=STD)
    return load_model(source)


@pytest.fixture(scope="module")
def images(cifar10_dir: Path) -> list[tuple[np.ndarray, None]]:
    folder = next(cifar10_dir.rglob("test_batch.bin")).parent
    text = f"cifar10:{folder}#train[:24]"
    return [(x, None) for x, _ in open_data(text)]


@pytest.mark.parametrize(
    ("layer", "factor", "cause"),
    [("layer1.1.relu", 10.0, "threshold-too-high"), ("layer3.0.relu_1", 0.1, "threshold-too-low")],
)
def test_resnet_with_one_wrong_threshold(
    inject: Any, resnet: Graph, images: Any, layer: str, factor: float, cause: str
) -> None:
    wrong = inject.ScaleThreshold(layer=layer, factor=factor)
    found = inject.diagnose(resnet, images, 4, after={"initialize-potential": wrong})
    assert faults(found) == [(layer, cause)]


@pytest.mark.parametrize(("norm", "layer"), [("bn1", "relu"), ("layer2.0.bn2", "layer2.0.relu_1")])
def test_resnet_without_a_batch_norm(
    inject: Any, resnet: Graph, images: Any, norm: str, layer: str
) -> None:
    found = inject.diagnose(resnet, images, 2, first=[inject.ForgetNorm(norm=norm)])
    assert faults(found) == [(layer, "batch-norm-missing")]
    assert found.faults[0].node == norm


def test_resnet_that_lacks_a_batch_norm(inject: Any, resnet: Graph, images: Any) -> None:
    wrong = resnet.clone()
    wrong.bypass("layer2.1.bn1")
    found = inject.diagnose(wrong, images, 2)
    assert faults(found)[0] == ("layer2.1.relu", "batch-norm-missing")
    assert found.faults[0].node == "layer2.1.conv1"


@pytest.mark.parametrize(
    ("mean", "std"),
    [((), ()), ((0.5,), (0.5,)), (MEAN, ())],
)
def test_resnet_with_a_wrong_normalisation(
    inject: Any, resnet: Graph, images: Any, mean: tuple[float, ...], std: tuple[float, ...]
) -> None:
    plain = resnet.clone()
    plain.bypass("normalize")
    wrong = normalize(plain, mean, std)
    assert faults(inject.diagnose(wrong, images, 2))[0] == ("relu", "wrong-normalisation")


def test_resnet_with_its_mean_in_a_constant_bias(inject: Any, resnet: Graph, images: Any) -> None:
    found = inject.diagnose(resnet, images, 2, first=[inject.FoldIntoConstantBias()])
    assert faults(found) == [("relu", "bias-at-border")]
    assert found.faults[0].node == "conv1"


def test_the_given_networks_are_healthy(
    inject: Any, resnet: Graph, images: Any, mnist: Graph, digits: Any
) -> None:
    assert faults(inject.diagnose(resnet, images, 64)) == []
    assert faults(inject.diagnose(mnist, digits, 16)) == []


@pytest.fixture(scope="module")
def mnist(repository: Path, snnc_data: Path) -> Graph:
    weights = snnc_data / "models" / "mnist-cnn-avgpool" / "weights.safetensors"
    model = f"{repository / 'examples/mnist/net.py'}:mnist_cnn"
    return load_model(ModelSource(model=model, weights=weights, input_shape=(1, 28, 28)))


@pytest.fixture(scope="module")
def digits(snnc_data: Path) -> list[tuple[np.ndarray, None]]:
    return [(x, None) for x, _ in open_data(f"mnist:{snnc_data / 'mnist'}#train[:64]")]
