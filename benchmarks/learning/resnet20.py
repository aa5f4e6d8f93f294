"""The given ResNet-20: its bit-exact images, all images, and itself fine-tuned on the latter."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

from benchmarks.learning.bench import RESNET_MEAN, RESNET_STD, Data
from benchmarks.learning.networks import fit, keep_weights, with_weights
from benchmarks.repository import EXAMPLES
from snnc.data import Dataset, open_data
from snnc.frontends.usercode import import_code

CALIBRATED, CHOOSE, RATE = 1_024, 2_000, 0.02
"""Images that calibrate; of all images, those that choose the epoch; the rate of fine-tuning."""


def given(folder: Path) -> nn.Module:
    """The network as it was given."""
    model = import_code(str(EXAMPLES / "resnet20" / "net.py"), is_file=True).resnet20()
    model.load_state_dict(load_file(folder / "models" / "cifar10-resnet20" / "weights.safetensors"))
    return model.eval()


def exact_images(folder: Path) -> Data:
    """The bit-exact images; a tenth of those that train choose the epoch."""
    exact = _opened(folder, "train[@exact_train.npy]")
    rows = np.random.default_rng(0).permutation(exact.indices)
    held = len(rows) // 10
    train, validation = _rows(exact, rows[held:]), _rows(exact, rows[:held])
    parts = {"exact": _opened(folder, "test[@exact_test.npy]")}
    return Data(train, validation, train.limit(CALIBRATED), parts, _opened(folder, "test"))


def all_images(folder: Path) -> Data:
    """48,000 training images that learn, 2,000 that choose the epoch, bit-exact ones calibrate."""
    every, test = _opened(folder, "train"), _opened(folder, "test")
    rows = np.random.default_rng(0).permutation(every.indices)
    train, validation = _rows(every, rows[CHOOSE:]), _rows(every, rows[:CHOOSE])
    exact = _opened(folder, "test[@exact_test.npy]")
    decoded = replace(test, indices=np.setdiff1d(test.indices, exact.indices))
    known = np.intersect1d(_opened(folder, "train[@exact_train.npy]").indices, train.indices)
    calibration = replace(every, indices=known).limit(CALIBRATED)
    return Data(train, validation, calibration, {"exact": exact, "decoded": decoded}, test)


def fine_tuned(folder: Path, images: Dataset, epochs: int, seed: int, kept: Path) -> nn.Module:
    """The given network after training on `images`, from `kept` if it is there."""
    model = given(folder)
    if not kept.exists():
        x, y = images.take(np.arange(len(images)))
        assert y is not None
        mean, std = (np.asarray(v, np.float32)[:, None, None] for v in (RESNET_MEAN, RESNET_STD))
        x -= mean
        x /= std
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            fit(model, torch.from_numpy(x), torch.from_numpy(y.astype(np.int64)), epochs, lr=RATE)
        keep_weights(model, kept)
    return with_weights(model, kept)


def _opened(folder: Path, part: str) -> Dataset:
    return open_data(f"cifar10:{folder / 'cifar10'}#{part}")


def _rows(images: Dataset, rows: np.ndarray) -> Dataset:
    return replace(images, indices=np.sort(rows))
