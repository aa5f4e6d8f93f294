"""The images of `conversion.py`: those that calibrate, select and test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.conversion.judged_networks import Network
from snnc.data import Dataset, open_data

CALIBRATION_IMAGES = SELECTION_IMAGES = 1024

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Images:
    """The rows of a data set that a part of the measurement takes.

    Attributes:
        name: of the part, and of its files.
        net: the network, which knows its normalisation.
        data: the images, of which `rows` count.
        rows: numbers of the images, (N,) int64.
    """

    name: str
    net: Network
    data: Dataset
    rows: Labels

    def batches(self, size: int, start: int = 0, stop: int | None = None) -> Iterator[Tensor]:
        """Normalised images, (≤ size, channels, height, width) float32."""
        given = self.net.mean or (0.0,), self.net.std or (1.0,)
        mean, std = (np.array(v, np.float32)[:, None, None] for v in given)
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
    net: Network, folder: Path, agreement: int, limit: int | None
) -> tuple[dict[str, Images], NDArray[np.bool_]]:
    """The bit-exact test images, the others of an evenly spaced sample; which are in both.

    Args:
        net: the network.
        folder: of the data.
        agreement: images of the sample.
        limit: take only so many of each part.
    """
    everything = open_data(f"{net.kind}:{folder / net.kind}#test")
    rows = everything.indices
    sample = rows[np.arange(agreement) * len(rows) // agreement]
    exact = open_data(f"{everything.spec}[@exact_test.npy]").indices if net.exact else rows
    rest, exact = np.setdiff1d(sample, exact)[:limit], exact[:limit]
    parts = {"exact": Images("exact", net, everything, exact)}
    if len(rest):
        parts["rest"] = Images(f"rest-of-{agreement}", net, everything, rest)
    return parts, np.isin(exact, sample)


def training_images(net: Network, folder: Path, draw: int, limit: int | None) -> Draw:
    """The first 1,024 of a permutation calibrate, the next 1,024 choose."""
    train = f"{net.kind}:{folder / net.kind}#train"
    exact = open_data(f"{train}[@exact_train.npy]" if net.exact else train)
    rows = np.random.default_rng(draw).permutation(exact.indices)
    chosen = rows[CALIBRATION_IMAGES:][:SELECTION_IMAGES][:limit]
    calibration = Images("calibration", net, exact, rows[:CALIBRATION_IMAGES])
    return Draw(draw, calibration, Images("selection", net, exact, chosen))
