"""`.npy` files, as data and as masks."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import numpy as np

from fuzz import npy_edits
from snnc.data import open_data


class Npy:
    """Arrays of samples, and masks beside them; all samples are read."""

    name = "npy"

    def __init__(self) -> None:
        samples = np.random.default_rng(0).random((12, 1, 3, 3), np.float32)
        arrays = (samples, samples.astype(np.float64), (samples * 255).astype(np.uint8))
        self._samples = npy_edits.saved(samples)
        self._bases = [npy_edits.saved(each) for each in (*arrays, np.asfortranarray(samples))]
        masks = (np.arange(12) % 2 == 0, np.arange(6), np.arange(12, dtype=np.int8))
        self._masks = [npy_edits.saved(each) for each in masks]

    def write(self, rng: Random, place: Path) -> Path:
        if rng.randrange(4) == 0:
            (place / "x.npy").write_bytes(self._samples)
            path, bases = place / "m.npy", self._masks
        else:
            path, bases = place / "x.npy", self._bases
        if rng.randrange(200) == 0:
            os.mkfifo(path)
            return path
        path.write_bytes(npy_edits.edited(rng, rng.choice(bases)))
        return path

    def is_whole(self, path: Path) -> bool:
        return path.is_file() and npy_edits.is_whole(path.read_bytes())

    def use(self, path: Path, rng: Random) -> None:
        place = path.parent
        text = f"{place}/x.npy[@{place}/m.npy]" if path.name == "m.npy" else str(path)
        for _ in open_data(text, batch_size=5):
            pass
