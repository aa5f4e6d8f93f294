"""VGG16 on CIFAR-10 in one time step, by iterative initialisation and retraining.

python examples/cifar10_iir/iir.py --train 'cifar10:DIR#train' --test 'cifar10:DIR#test' \
    --workdir DIR [--full]

After an interruption, the same command continues.
"""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from net import vgg16
from torch import Tensor, nn

import snnc
from snnc.data import Dataset, open_data

START = 5
"""The first window; the last is one step."""
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
CONVERT = (
    "fold-batchnorm,fold-normalization,lower-avgpool,activations-to-neurons,"
    "threshold-balance{source=current percentile=90 granularity=layer timesteps=100},fold-scale"
)
"""Thresholds are percentiles of the input currents, measured in the spiking network."""


@dataclass(frozen=True)
class Settings:
    """Settings of a run.

    Attributes:
        images: number of training images, None for all.
        width: channels of the first convolutions; VGG16 has 64.
        ann_epochs, ann_lr, ann_dropout: training of the ANN.
        epochs, lr, dropout, surrogate: training of the spiking network, per window.
        batch: samples per training step.
        device: where networks are trained: cpu or cuda.
        seed: of all random numbers.
    """

    images: int | None
    width: int
    ann_epochs: int
    ann_lr: float
    ann_dropout: float
    epochs: int
    lr: float
    dropout: float
    surrogate: str = "linear"
    batch: int = 64
    device: str = "cpu"
    seed: int = 0


SMALL = Settings(
    images=10_000,
    width=16,
    ann_epochs=8,
    ann_lr=0.02,
    ann_dropout=0.0,
    epochs=1,
    lr=5e-4,
    dropout=0.0,
    surrogate="triangle",
)
FULL = Settings(
    images=None,
    width=64,
    ann_epochs=300,
    ann_lr=0.01,
    ann_dropout=0.5,
    epochs=500,
    lr=1e-4,
    dropout=0.2,
    device="cuda",
)
"""The settings of the paper."""


def augmented(images: Tensor) -> Tensor:
    """Images (N,C,H,W), mirrored at random and shifted by up to four pixels."""
    count, _, height, width = images.shape
    mirrored = torch.rand(count, 1, 1, 1) < 0.5
    padded = F.pad(torch.where(mirrored, images.flip(3), images), (4, 4, 4, 4))
    up, left = torch.randint(9, (2, count)).tolist()
    crops = [x[:, i : i + height, j : j + width] for x, i, j in zip(padded, up, left, strict=True)]
    return torch.stack(crops)


def normalized(images: Tensor) -> Tensor:
    """Images normalised for the ANN; in the spiking network this is part of the graph."""
    mean, std = torch.tensor(MEAN), torch.tensor(STD)
    return (images - mean[:, None, None]) / std[:, None, None]


def train_ann(model: nn.Module, data: Dataset, settings: Settings, checkpoint: Path) -> None:
    """Train with SGD, continuing after the last finished epoch."""
    samples, classes = data.take(np.arange(len(data)))
    x, y = torch.from_numpy(samples), torch.from_numpy(classes).long()
    optimizer = torch.optim.SGD(
        model.parameters(), lr=settings.ann_lr, momentum=0.9, weight_decay=5e-4
    )
    milestones = [round(part * settings.ann_epochs) for part in (0.45, 0.70, 0.90)]
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones, gamma=0.2)
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule}
    done = 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, map_location=settings.device, weights_only=True)
        done = saved.pop("done")
        for name, state in saved.items():
            parts[name].load_state_dict(state)
    model.train()
    for epoch in range(done, settings.ann_epochs):
        torch.manual_seed(1000 * settings.seed + epoch)
        total = 0.0
        for rows in torch.randperm(len(x)).split(settings.batch):
            images = normalized(augmented(x[rows])).to(settings.device)
            loss = F.cross_entropy(model(images), y[rows].to(settings.device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(rows)
        schedule.step()
        logging.info("ANN: epoch %d/%d, loss %.4g", epoch + 1, settings.ann_epochs, total / len(x))
        states = {name: part.state_dict() for name, part in parts.items()}
        torch.save({**states, "done": epoch + 1}, checkpoint.with_suffix(".new"))
        checkpoint.with_suffix(".new").replace(checkpoint)
    model.eval()


@torch.no_grad()
def accuracy(model: nn.Module, data: Dataset, device: str) -> float:
    """Fraction of the samples that an ANN classifies correctly."""
    right = 0
    for x, y in data:
        output = model(normalized(torch.from_numpy(x)).to(device))
        right += int((output.argmax(1).cpu().numpy() == y).sum())
    return right / len(data)


def show(name: str, path: Path, test: Dataset) -> None:
    """A line of the table for a spiking network."""
    figures = snnc.evaluate(path, test).evaluation.report()
    print(
        f"{name:10} {figures['timesteps']:2}  {100 * figures['accuracy']:6.2f} %"
        f"  {figures['spikes_per_neuron']:.3f}"
    )


def main(settings: Settings, train_data: str, test_data: str, workdir: Path) -> None:
    """Train, convert, reduce, and print a line for every network."""
    claim(workdir, {**asdict(settings), "train": train_data})
    train, validation = open_data(train_data).limit(settings.images).split(0.1, settings.seed)
    test = open_data(test_data)

    torch.manual_seed(settings.seed)
    model = vgg16(settings.width, settings.ann_dropout).to(settings.device)
    train_ann(model, train, settings, workdir / "ann.pt")
    print("network     T  accuracy  spikes per neuron")
    print(f"ANN            {100 * accuracy(model, test, settings.device):6.2f} %")

    path = workdir / "converted.snnc"
    if not path.exists():
        convert(model.cpu(), train, path)
    show("converted", path, test)

    for timesteps in range(START, 0, -1):
        before, path = path, workdir / f"T{timesteps}.snnc"
        if not path.exists():
            reduce(before, timesteps, settings, train, validation, path)
        show("trained", path, test)


def convert(model: nn.Module, train: Dataset, path: Path) -> None:
    """Convert the ANN for the first window."""
    snnc.compile(
        model,
        passes=CONVERT,
        timesteps=START,
        calibration=train.limit(512),
        input_shape=train.input_shape,
        mean=MEAN,
        std=STD,
        output=path,
    )


def reduce(
    before: Path,
    timesteps: int,
    settings: Settings,
    train: Dataset,
    validation: Dataset,
    path: Path,
) -> None:
    """Train the network `before` for a window of `timesteps`; checkpoints lie beside `path`."""
    options = (
        f"epochs={settings.epochs} batch={settings.batch} lr={settings.lr} "
        f"dropout={settings.dropout} surrogate={settings.surrogate} augment=crop-flip"
    )
    snnc.compile(
        before,
        passes=f"reduce-timesteps{{start={timesteps} {options}}},drop-state",
        timesteps=timesteps,
        train=train,
        validation=validation,
        device=settings.device,
        seed=settings.seed,
        workdir=path.with_suffix(""),
        resume=True,
        output=path,
    )


def claim(workdir: Path, settings: dict[str, object]) -> None:
    """Create the folder of a run; exit if it holds a run with other settings."""
    workdir.mkdir(parents=True, exist_ok=True)
    path = workdir / "settings.json"
    if path.exists() and json.loads(path.read_text()) != settings:
        raise SystemExit(f"{workdir} holds a run of other settings; give another --workdir")
    path.write_text(json.dumps(settings, indent=1))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", required=True, help="training data, e.g. cifar10:DIR#train")
    parser.add_argument("--test", required=True, help="test data, e.g. cifar10:DIR#test")
    parser.add_argument("--workdir", type=Path, required=True, help="for checkpoints and networks")
    parser.add_argument("--full", action="store_true", help="the setting of the paper, on a GPU")
    parser.add_argument("--device", choices=["cpu", "cuda"])
    parser.add_argument("--images", type=int, help="training images")
    parser.add_argument("--width", type=int, help="channels of the first convolutions")
    parser.add_argument("--ann-epochs", type=int)
    parser.add_argument("--epochs", type=int, help="for every window")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--seed", type=int)
    return parser.parse_args()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    given = arguments()
    chosen = {
        name: value
        for name, value in vars(given).items()
        if value is not None and name in SMALL.__dataclass_fields__
    }
    settings = replace(FULL if given.full else SMALL, **chosen)
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("torch finds no CUDA device; --device cpu does it without, slowly")
    try:
        main(settings, given.train, given.test, given.workdir)
    except snnc.SnncError as error:
        raise SystemExit(f"error: {error}") from None
    except KeyboardInterrupt:
        raise SystemExit("interrupted; the same command continues") from None
