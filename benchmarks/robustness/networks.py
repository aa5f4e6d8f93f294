"""The networks that `table.py` attacks: how they are built, trained, and kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

import snnc
from benchmarks.learning.networks import Task, fitted, tasks

Kind = Literal["ann", "converted", "direct", "poisson", "robust"]
EPOCHS = {"mnist": 4, "cifar10": 16}
"""Of the ANN, on 10,000 images."""
LEARNT = {"mnist": 3, "cifar10": 4}
"""Of a spiking network, which starts from the ANN."""
ROBUST = "robust{epochs=6 lr=0.002 eps=0.1 steps=3 calibration-steps=50}"
AUGMENTED = {"cifar10": " augment=crop-flip"}


@dataclass(frozen=True)
class Network:
    """One network.

    Attributes:
        kind: what it is; `direct` and `poisson` are trained with that input, `robust` on inputs
            that fool it.
        seed: of its weights, its training and its encoder.
        timesteps: the window T; 0 for an ANN.
        leak: that it is trained with.
        changed: that it is given after training, or None.
    """

    dataset: str
    kind: Kind
    seed: int = 0
    timesteps: int = 0
    leak: float = 1.0
    changed: float | None = None

    @property
    def name(self) -> str:
        """Of its files."""
        parts = [self.dataset, self.kind, f"seed{self.seed}"]
        parts += [f"T{self.timesteps}"] if self.timesteps else []
        parts += [f"leak{self.leak:g}"] if self.leak != 1 else []
        parts += [] if self.changed is None else [f"then{self.changed:g}"]
        return "-".join(parts)


def digits_network() -> nn.Sequential:
    """Two convolutions of stride 2 and two linear layers; 0.24 million multiplications."""
    return nn.Sequential(
        *_convolution(1, 12, stride=2),
        *_convolution(12, 24, stride=2),
        nn.Flatten(),
        nn.Linear(24 * 7 * 7, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


def small_vgg() -> nn.Sequential:
    """16-A-24-24-A-48-A-10 for 3x32x32; 3.3 million multiplications."""
    layers: list[nn.Module] = []
    channels = 3
    for width, pooled in ((16, True), (24, False), (24, True), (48, True)):
        layers += _convolution(channels, width)
        layers += [nn.AvgPool2d(2)] if pooled else []
        channels = width
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(48 * 4 * 4, 10))


def _convolution(channels: int, width: int, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(width), nn.ReLU()]


class Networks:
    """Makes networks, once each.

    Args:
        data: folder of the data sets.
        work: folder for what is trained.
    """

    def __init__(self, data: Path, work: Path) -> None:
        found = tasks(data)
        self._tasks = {
            "mnist": Task("mnist", data, (1, 28, 28), (0.0,), (1.0,), upright=True),
            "cifar10": replace(found["cifar10"], mean=(0.0,) * 3, std=(1.0,) * 3),
        }
        self._data, self._work = data, work
        work.mkdir(parents=True, exist_ok=True)

    def images(self, dataset: str) -> str:
        """DATA that judge: test images, of CIFAR-10 the bit-exact ones."""
        exact = "[@exact_test.npy]" if dataset == "cifar10" else ""
        return f"{dataset}:{self._data / dataset}#test{exact}"

    def path(self, network: Network) -> Path:
        """The file of a network, made if it is not there."""
        path = self._work / f"{network.name}.snnc"
        if not path.exists():
            part = path.with_suffix(".part.snnc")
            self._make(network, part)
            part.replace(path)
        return path

    def _make(self, network: Network, path: Path) -> None:
        if network.changed is not None:
            trained = self.path(replace(network, changed=None))
            passes = f"set-leak{{leak={network.changed:g}}}"
            snnc.compile(trained, passes=passes, output=path)
            return
        task, ann = self._tasks[network.dataset], self._ann(network.dataset, network.seed)
        if network.kind == "ann":
            snnc.save(ann, task.shape, path)
            return
        snnc.compile(
            ann,
            **_how(network),
            timesteps=network.timesteps,
            calibration=task.calibration,
            train=task.train,
            validation=task.validation,
            input_shape=task.shape,
            output=path,
            workdir=self._work / "checkpoints" / network.name,
            resume=True,
            seed=network.seed,
        )

    def _ann(self, dataset: str, seed: int) -> nn.Sequential:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = digits_network() if dataset == "mnist" else small_vgg()
        kept = self._work / f"{dataset}-{seed}.safetensors"
        return fitted(model, self._tasks[dataset], seed, EPOCHS[dataset], kept)


def _how(network: Network) -> dict[str, Any]:
    """The recipe or the passes of a spiking network."""
    if network.kind == "converted":
        return {"recipe": "convert"}
    if network.kind == "robust":
        return {"recipe": ROBUST}
    encode = "encode=poisson " if network.kind == "poisson" else ""
    epochs, augment = LEARNT[network.dataset], AUGMENTED.get(network.dataset, "")
    return {
        "passes": "fold-batchnorm,lower-avgpool,"
        f"activations-to-neurons{{{encode}leak={network.leak:g}}},"
        "threshold-balance{source=current percentile=99.7 granularity=layer timesteps=50 "
        "scale=0.5},fold-scale,"
        f"learn{{epochs={epochs} lr=0.002 schedule=cosine leak=false{augment}}}"
    }
