"""The networks and images that `table.py` learns with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from snnc.data import Dataset, open_data

Model = TypeVar("Model", bound=nn.Module)
TRAINED, VALIDATED, CALIBRATED = 10_000, 2_000, 512
BATCH = 64
PADDING = 4


def six_layers(channels: int, size: int) -> nn.Sequential:
    """Five convolutions and two linear layers, average pooling: six layers that spike.

    (N, channels, size, size) -> (N, 10); 3.8 million multiplications for 3x32x32.
    """
    layers: list[nn.Module] = []
    for width, stride, pool in ((16, 2, 1), (32, 1, 2), (32, 1, 1), (64, 1, 2), (64, 1, 1)):
        layers.append(nn.Conv2d(channels, width, 3, stride, padding=1, bias=False))
        layers += [nn.BatchNorm2d(width), nn.ReLU(), *([nn.AvgPool2d(2)] if pool > 1 else [])]
        channels, size = width, -(-size // stride) // pool
    flat = channels * size**2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(flat, 128), nn.ReLU(), nn.Linear(128, 10))


@dataclass(frozen=True)
class Task:
    """A data set, and what of it trains, chooses and judges.

    Attributes:
        name: of the data set, as in DATA; its folder is `DIR/name`.
        data: DIR.
        shape: of one image.
        mean, std: what the images are normalised by.
        exact: whether only some images are bit-exact; they are then judged apart.
        upright: whether a mirrored image means something else; none is mirrored then.
    """

    name: str
    data: Path
    shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    exact: bool = False
    upright: bool = False

    def _open(self, split: str, selection: str = "") -> Dataset:
        return open_data(f"{self.name}:{self.data / self.name}#{split}{selection}")

    def _rows(self, first: int, count: int) -> Dataset:
        """Training images in an order drawn once for all seeds."""
        everything = self._open("train")
        rows = np.random.default_rng(0).permutation(len(everything))[first : first + count]
        return replace(everything, indices=everything.indices[np.sort(rows)], batch_size=100)

    @cached_property
    def train(self) -> Dataset:
        """10,000 training images."""
        return self._rows(0, TRAINED)

    @cached_property
    def validation(self) -> Dataset:
        """2,000 other training images: they choose epochs."""
        return self._rows(TRAINED, VALIDATED)

    @cached_property
    def calibration(self) -> Dataset:
        """512 of those that train."""
        return self.train.limit(CALIBRATED)

    @cached_property
    def parts(self) -> Mapping[str, Dataset]:
        """The test images, in the parts they are judged by."""
        test = replace(self._open("test"), batch_size=250)
        if not self.exact:
            return {"test": test}
        exact = self._open("test", "[@exact_test.npy]").indices
        others = np.setdiff1d(test.indices, exact)
        return {"exact": replace(test, indices=exact), "decoded": replace(test, indices=others)}


def tasks(data: Path) -> dict[str, Task]:
    """By name."""
    fashion = Task("fashion-mnist", data, (1, 28, 28), (0.286,), (0.353,))
    mean, std = (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)
    cifar = Task("cifar10", data, (3, 32, 32), mean, std, exact=True)
    return {task.name: task for task in (fashion, cifar)}


def network(task: Task, seed: int) -> nn.Sequential:
    """`six_layers` as it is before training, the same for a seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return six_layers(task.shape[0], task.shape[1]).eval()


def untrained(task: Task, seed: int) -> nn.Sequential:
    """`six_layers` to be trained from scratch: He's weights, batch norms that know their inputs.

    Folded, the latter give every convolution outputs of mean 0 and variance 1.
    """
    model = network(task, seed)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        for layer in model:
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if isinstance(layer, nn.BatchNorm2d):
                layer.momentum = 1.0
        x, _ = task.calibration.take(np.arange(CALIBRATED))
        model.train()
        model(normalized(task, x))
    return model.eval()


def trained_ann(task: Task, seed: int, epochs: int, kept: Path) -> nn.Sequential:
    """`six_layers` after training, from `kept` if it is there."""
    return fitted(network(task, seed), task, seed, epochs, kept)


def fitted(model: nn.Sequential, task: Task, seed: int, epochs: int, kept: Path) -> nn.Sequential:
    """`model` after training, from `kept` if it is there."""
    if not kept.exists():
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            x, y = task.train.take(np.arange(len(task.train)))
            assert y is not None
            fit(
                model,
                normalized(task, x),
                torch.from_numpy(y.astype(np.int64)),
                epochs,
                upright=task.upright,
            )
        keep_weights(model, kept)
    return with_weights(model, kept)


def keep_weights(model: nn.Module, kept: Path) -> None:
    """Write the weights of `model`, all or none."""
    part = kept.with_suffix(".part")
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, part)
    part.replace(kept)


def with_weights(model: Model, kept: Path) -> Model:
    """`model` with the weights of a file, ready to be run."""
    model.load_state_dict(load_file(kept))
    return model.to(memory_format=torch.contiguous_format).eval()


def fit(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    epochs: int,
    *,
    upright: bool = False,
    batch: int = BATCH,
    lr: float = 0.1,
) -> None:
    """Train an ANN by SGD with a rate that rises to `lr` and falls; batches are shifted, mirrored.

    In mixed precision where the images (N, C, H, W), normalised, are on a GPU, as the model is.
    """
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9, weight_decay=5e-4)
    steps = epochs * -(-len(images) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps)
    mixed = torch.autocast(images.device.type, torch.bfloat16, enabled=images.is_cuda)
    model.train()
    model.to(memory_format=torch.channels_last)
    for _ in range(epochs):
        for rows in torch.randperm(len(images)).split(batch):
            with mixed:
                output = model(_shifted(images[rows], upright))
            loss = F.cross_entropy(output.float(), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


def normalized(task: Task, x: NDArray[np.float32]) -> Tensor:
    """As the network takes it."""
    mean, std = (np.asarray(v, np.float32)[:, None, None] for v in (task.mean, task.std))
    return torch.from_numpy((x - mean) / std)


def _shifted(images: Tensor, upright: bool) -> Tensor:
    """A batch moved by up to 4 pixels; where not `upright`, mirrored at random."""
    size = images.shape[-1]
    top, left = (int(v) for v in torch.randint(0, 2 * PADDING + 1, (2,)))
    moved = F.pad(images, (PADDING,) * 4)[..., top : top + size, left : left + size]
    if upright:
        return moved
    mirrored = (torch.rand(len(images), 1, 1, 1) < 0.5).to(images.device)
    return torch.where(mirrored, moved.flip(-1), moved)
