"""The trained networks that benchmarks convert, their test images, and the answers of the ANNs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.conversion.kept import kept
from benchmarks.repository import EXAMPLES
from snnc.data import Dataset, open_data
from snnc.driver import ModelSource
from snnc.driver.models import eager


@dataclass(frozen=True)
class Network:
    """A trained network and the data it is judged on.

    Attributes:
        title: as in the table.
        model: its code, below `examples/`.
        weights: its weights, below `DIR/models/`.
        input_shape: of one image.
        kind: the DATA kind; its folder is `DIR/kind`.
        exact: whether only a part of the images is bit-exact.
        mean, std: what the network's author normalised by.
        training: a script below `examples/` that trains weights which are not there.
    """

    title: str
    model: str
    weights: str
    input_shape: tuple[int, ...]
    kind: str
    exact: bool
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    training: str = ""

    def find_weights(self, data: Path, work: Path) -> Path:
        """Below `data`, else below `work`, where they are trained if they are missing."""
        given, own = data / "models" / self.weights, work / Path(self.weights).name
        if given.exists() or not self.training:
            return given
        if not own.exists():
            script = EXAMPLES / self.training
            command = [sys.executable, script, data / self.kind, "-o", own]
            if subprocess.run(list(map(str, command)), stdout=sys.stderr, check=False).returncode:
                sys.exit(f"{script} failed")
        return own


RESNET20 = Network(
    "ResNet-20, CIFAR-10",
    "resnet20/net.py:resnet20",
    "cifar10-resnet20/weights.safetensors",
    (3, 32, 32),
    "cifar10",
    True,
    (0.485, 0.456, 0.406),
    (0.229, 0.224, 0.225),
)
RESNET56 = replace(
    RESNET20,
    title="ResNet-56, CIFAR-10",
    model="resnet20/net.py:resnet56",
    weights="cifar10-resnet56/weights.safetensors",
)
NETWORKS: Mapping[str, Network] = {
    "resnet20": RESNET20,
    "resnet56": RESNET56,
    "mnist": Network(
        "4 conv/linear layers, MNIST",
        "mnist/net.py:mnist_cnn",
        "mnist-cnn-avgpool/weights.safetensors",
        (1, 28, 28),
        "mnist",
        False,
    ),
    "fashion": Network(
        "residual, 8 layers, Fashion-MNIST",
        "fashion_mnist/net.py:fashion_resnet",
        "fashion-resnet.safetensors",
        (1, 28, 28),
        "fashion-mnist",
        False,
        training="fashion_mnist/train.py",
    ),
}


@dataclass(frozen=True)
class Judge:
    """The test images of a network, and what its ANN says of them."""

    net: Network
    data: Path
    work: Path

    @cached_property
    def weights(self) -> Path:
        """The file of the network's weights."""
        return self.net.find_weights(self.data, self.work)

    @cached_property
    def images(self) -> Dataset:
        """All test images."""
        return open_data(f"{self.net.kind}:{self.data / self.net.kind}#test")

    @cached_property
    def exact(self) -> NDArray[np.bool_]:
        """Which of them are bit-exact."""
        if not self.net.exact:
            return np.ones(len(self.images), bool)
        chosen = open_data(f"{self.images.spec}[@exact_test.npy]")
        return np.isin(self.images.indices, chosen.indices)

    @cached_property
    def ann(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The ANN's class of each image, and the label."""
        file = f"{self.net.kind}-{Path(self.net.weights).parent.name}-answers.json"
        answers = kept(self.work / file, self._answers)
        return np.array(answers["ann"]), np.array(answers["labels"])

    def _answers(self) -> dict[str, Any]:
        source = ModelSource(
            model=str(EXAMPLES / self.net.model),
            weights=self.weights,
            mean=self.net.mean,
            std=self.net.std,
        )
        run = eager(source)
        batches = [(run(x).argmax(axis=1), y) for x, y in self.images]
        classes, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
        return {"ann": classes.tolist(), "labels": labels.tolist()}

    def figures(self, classes: NDArray[np.int64], chosen: NDArray[np.int64]) -> dict[str, Any]:
        """Of a program that answered `classes` to the `chosen` images, against the ANN."""
        theirs, labels = (array[chosen] for array in self.ann)
        right, exact = classes == labels, self.exact[chosen]
        gap, half = points_lost((theirs == labels)[exact], right[exact])
        return {
            "accuracy": float(right[exact].mean()),
            "ann_accuracy": float((theirs == labels)[exact].mean()),
            "gap_points": gap,
            "gap_interval_95": half,
            "judged": int(exact.sum()),
            "agreement": float((classes == theirs).mean()),
            "images": len(chosen),
        }

    def below(
        self, classes: NDArray[np.int64], others: NDArray[np.int64], chosen: NDArray[np.int64]
    ) -> dict[str, float]:
        """How far `classes` are below the answers of another program to the same images."""
        theirs, labels = (array[chosen] for array in self.ann)
        exact = self.exact[chosen]
        points, half = points_lost((others == labels)[exact], (classes == labels)[exact])
        agreement, agreement_half = points_lost(others == theirs, classes == theirs)
        return {
            "below_float_points": points,
            "below_float_interval_95": half,
            "agreement_below_float_points": agreement,
            "agreement_below_float_interval_95": agreement_half,
        }


def points_lost(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> tuple[float, float]:
    """How many percent fewer are right, and half of the paired 95 % interval, in points.

    Args:
        before, after: whether the answer to each image is right, (N,).
    """
    lost = 100.0 * (before.astype(int) - after)
    return float(lost.mean()), float(1.96 * lost.std(ddof=1) / np.sqrt(len(lost)))
