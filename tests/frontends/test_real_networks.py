"""The given trained networks: names, accuracy, and every logit as torch computes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from snnc import frontends
from snnc.data import open_data
from snnc.frontends import load
from snnc.interp import run_ann
from snnc.ir import Graph

RESNET = "examples/resnet20/net.py:resnet20"
MNIST = "examples/mnist/net.py:mnist_cnn"
MEAN = np.array([0.485, 0.456, 0.406], np.float32).reshape(3, 1, 1)
STD = np.array([0.229, 0.224, 0.225], np.float32).reshape(3, 1, 1)


@pytest.fixture(scope="module", autouse=True)
def _in_the_repository(repository: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(repository)
        yield


def listing(graph: Graph) -> str:
    """One line per node: name, op, inputs, shape, and the user's line."""
    return "".join(
        f"{n.name} = {n.op.mnemonic}({', '.join(graph.inputs_of(n.name))})"
        f" {graph.type_of(n.name)} | {n.loc}\n"
        for n in graph
    )


@pytest.mark.parametrize(
    ("reference", "shape"),
    [
        (RESNET, (3, 32, 32)),
        (MNIST, (1, 28, 28)),
        ("examples/digits/net.py:build", (1, 8, 8)),
    ],
    ids=["resnet20", "mnist", "digits"],
)
def test_nodes(reference: str, shape: tuple[int, ...], golden: str) -> None:
    assert listing(load(reference, input_shape=shape)) == golden


def batches(spec: str, size: int = 250) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
    data = list(open_data(spec))
    x, y = (np.concatenate([batch[i] for batch in data]) for i in (0, 1))
    for start in range(0, len(x), size):
        yield x[start : start + size], y[start : start + size]


def compare(reference: str, weights: Path, shape: tuple[int, ...], spec: str) -> float:
    """Accuracy of the traced graph; its logits must be those of torch to 1e-5 of the largest."""
    graph = load(reference, weights=weights, input_shape=shape)
    torchs = frontends.reference(reference, weights=weights)
    right = []
    for x, y in batches(spec):
        image = (x - MEAN) / STD if shape[0] == 3 else x
        (wanted,) = torchs(image)
        got = run_ann(graph, image)[graph.outputs[0]].numpy()
        error = np.abs(got - wanted).max(1) / np.abs(wanted).max(1)
        assert float(error.max()) < 1e-5
        right += list(got.argmax(1) == y)
    return float(np.mean(right))


def test_resnet20(snnc_data: Path, cifar10_dir: Path) -> None:
    weights = snnc_data / "models" / "cifar10-resnet20" / "weights.safetensors"
    folder = next(cifar10_dir.rglob("test_batch.bin")).parent
    exact = next(cifar10_dir.rglob("exact_test.npy"))
    accuracy = compare(RESNET, weights, (3, 32, 32), f"cifar10:{folder}#test[@{exact}]")
    assert accuracy == pytest.approx(0.916, abs=0.001)


def test_mnist(snnc_data: Path) -> None:
    weights = snnc_data / "models" / "mnist-cnn-avgpool" / "weights.safetensors"
    accuracy = compare(MNIST, weights, (1, 28, 28), f"mnist:{snnc_data / 'mnist'}#test")
    assert accuracy == pytest.approx(0.979, abs=0.001)
