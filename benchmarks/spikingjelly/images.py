"""The images of `conversion.py`: those that calibrate, select and test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnc.data import Dataset, open_data

CALIBRATION_IMAGES = SELECTION_IMAGES = 1024
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Images:
    """The rows of a data set that a part of the measurement takes.

    Attributes:
        name: of the part, and of its files.
        data: the images, of which `rows` count.
        rows: numbers of the images, (N,) int64.
    """

    name: str
    data: Dataset
    rows: Labels

    def batches(self, size: int, start: int = 0, stop: int | None = None) -> Iterator[Tensor]:
        """Normalised images, (≤ size, 3, 32, 32) float32."""
        mean, std = (np.array(v, np.float32)[:, None, None] for v in (MEAN, STD))
        for x, _ in replace(self.data, indices=self.rows[start:stop], batch_size=size):
            yield torch.from_numpy((x - mean) / std)

    def labels(self) -> Labels:
        """(N,) int64."""
        chosen = replace(self.data, indices=self.rows, batch_size=1000)
        return np.concatenate([y for _, y in chosen if y is not None]).astype(np.int64)


@dataclass(frozen=True)
class Draw:
    """The training images of a draw: those that calibrate, those that choose delay and recipe."""

    number: int
    calibration: Images
    selection: Images


def test_images(
    folder: Path, agreement: int, limit: int | None
) -> tuple[dict[str, Images], NDArray[np.bool_]]:
    """The bit-exact test images, the others of an evenly spaced sample; which are in both.

    Args:
        folder: of the data.
        agreement: images of the sample.
        limit: take only so many of each part.
    """
    everything = open_data(f"cifar10:{folder / 'cifar10'}#test")
    rows = everything.indices
    sample = rows[np.arange(agreement) * len(rows) // agreement]
    exact = open_data(f"{everything.spec}[@exact_test.npy]").indices
    rest, exact = np.setdiff1d(sample, exact)[:limit], exact[:limit]
    parts = {
        "exact": Images("exact", everything, exact),
        "rest": Images(f"rest-of-{agreement}", everything, rest),
    }
    return parts, np.isin(exact, sample)


def training_images(folder: Path, draw: int, limit: int | None) -> Draw:
    """The first 1,024 of a permutation calibrate, the next 1,024 choose."""
    exact = open_data(f"cifar10:{folder / 'cifar10'}#train[@exact_train.npy]")
    rows = np.random.default_rng(draw).permutation(exact.indices)
    chosen = rows[CALIBRATION_IMAGES:][:SELECTION_IMAGES][:limit]
    calibration = Images("calibration", exact, rows[:CALIBRATION_IMAGES])
    return Draw(draw, calibration, Images("selection", exact, chosen))
