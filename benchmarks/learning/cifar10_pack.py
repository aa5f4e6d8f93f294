"""CIFAR-10 from one file of 40 MB: some images as they are, the others as JPEG."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PACK = "cifar10.npz"
BATCHES = {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}


def binary_folder(data: Path, work: Path) -> Path:
    """`data`, if it holds the binary files of CIFAR-10; else those of its `cifar10.npz`, in `work`.

    Of a split the file holds, as arrays: `train_labels` (N,); `train_exact` (N,), whether an image
    is kept as it is; those images, `train_exact_images` (., 3, 32, 32) uint8; the others as JPEG,
    one after the other in `train_jpeg`, from and to the bytes of `train_jpeg_offsets`.

    Raises:
        SystemExit: there is neither.
    """
    if any(data.rglob(BATCHES["test"][0])):
        return data
    if not (data / PACK).exists():
        raise SystemExit(f"{data} holds neither {BATCHES['test'][0]} nor {PACK}")
    folder = work / "cifar-10-batches-bin"
    if not (folder / "exact_test.npy").exists():
        folder.mkdir(parents=True, exist_ok=True)
        with np.load(data / PACK) as pack:
            for split in BATCHES:
                _unpack(pack, split, folder)
    return folder


def _unpack(pack: Mapping[str, NDArray[np.uint8]], split: str, folder: Path) -> None:
    images, labels = _images(pack, split), pack[f"{split}_labels"].astype(np.uint8)
    records = np.concatenate([labels[:, None], images.reshape(len(images), -1)], axis=1)
    for name, part in zip(
        BATCHES[split], np.array_split(records, len(BATCHES[split])), strict=True
    ):
        part.tofile(folder / name)
    np.save(folder / f"exact_{split}.npy", pack[f"{split}_exact"])


def _images(pack: Mapping[str, NDArray[np.uint8]], split: str) -> NDArray[np.uint8]:
    from PIL import Image

    exact = pack[f"{split}_exact"].astype(bool)
    images = np.empty((len(exact), 3, 32, 32), np.uint8)
    images[exact] = pack[f"{split}_exact_images"]
    jpeg, ends = pack[f"{split}_jpeg"].tobytes(), pack[f"{split}_jpeg_offsets"]
    for row, start, end in zip(np.flatnonzero(~exact), ends[:-1], ends[1:], strict=True):
        with Image.open(BytesIO(jpeg[start:end])) as image:
            images[row] = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    return images
