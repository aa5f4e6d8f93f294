"""Known image collections: digits, the official layouts of MNIST and CIFAR-10."""

from __future__ import annotations

import gzip
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.data.arrays import DIVIDED, Array, ArraySource, array_source
from snnc.data.image_file import decode
from snnc.data.reading import (
    load_array,
    load_arrays,
    reading,
    require_expansion,
    require_file,
)
from snnc.errors import DataError

DIGITS_TRAIN = 1297
_CIFAR_RECORD = 1 + 3 * 32 * 32


def open_known(kind: str, folder: Path, split: str) -> ArraySource | PackedImages:
    """Open `digits`, `mnist`, `fashion-mnist` or `cifar10`. Raises `DataError`."""
    if kind == "digits":
        return _digits(split)
    if not folder.is_dir():
        raise DataError(f"{kind}: there is no folder {folder}")
    return _cifar10(folder, split) if kind == "cifar10" else _mnist(kind, folder, split)


def _digits(split: str) -> ArraySource:
    """1,797 8x8 digits, x (1,8,8) in [0,1]; a fixed permutation, 1,297 to train, 500 to test."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise DataError(
            "digits comes with scikit-learn, which is not installed",
            hint="pip install 'snnc[demo]'",
        ) from None
    bunch: Any = load_digits()
    x = (bunch.images / 16).astype(np.float32)[:, None]
    order = np.random.default_rng(0).permutation(len(x))
    rows = order[:DIGITS_TRAIN] if split == "train" else order[DIGITS_TRAIN:]
    return ArraySource(x[rows], bunch.target[rows], classes=10)


# -- MNIST ---------------------------------------------------------------------------------


def _mnist(kind: str, folder: Path, split: str) -> ArraySource:
    stem = "train" if split == "train" else "t10k"
    images = _idx(kind, folder, f"{stem}-images", 3)
    labels = _idx(kind, folder, f"{stem}-labels", 1)
    return array_source(images[:, None], labels.astype(np.int64), f"{kind}:{folder}#{split}")


def _idx(kind: str, folder: Path, stem: str, rank: int) -> Array:
    """An unsigned-byte IDX file, compressed or not (http://yann.lecun.com/exdb/mnist)."""
    names = [f"{stem}{dot}idx{rank}-ubyte{gz}" for gz in ("", ".gz") for dot in ("-", ".")]
    path = next((folder / name for name in names if (folder / name).is_file()), None)
    if path is None:
        raise DataError(f"{kind}: {folder} has no {names[0]} (or .gz)")
    header = 4 * (1 + rank)
    with reading(path), gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        start = file.read(header)
        if len(start) < header or start[:4] != bytes((0, 0, 8, rank)):
            raise DataError(f"{path} is not an IDX file of {rank} axes of unsigned bytes")
        shape = tuple(int(n) for n in np.frombuffer(start[4:], ">u4"))
        size, stored = int(np.prod(shape, dtype=object)), path.stat().st_size
        if path.suffix == ".gz":
            require_expansion(str(path), stored, size)
        elif stored != header + size:
            raise _other_length(path, shape)
        data = file.read(size + 1)
    if len(data) != size:
        raise _other_length(path, shape)
    return np.frombuffer(data, np.uint8).reshape(shape)


def _other_length(path: Path, shape: tuple[int, ...]) -> DataError:
    return DataError(f"{path} is truncated or damaged: it announces {shape} bytes, has others")


# -- CIFAR-10 ------------------------------------------------------------------------------


def _cifar10(folder: Path, split: str) -> ArraySource | PackedImages:
    """The official binary version, or a `cifar10.npz` of raw and JPEG images."""
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] if split == "train" else ["test_batch.bin"]
    for place in (folder, folder / "cifar-10-batches-bin"):
        if (place / names[0]).is_file():
            x, y = _cifar_batches([place / name for name in names])
            exact = place / f"exact_{split}.npy"
            masks = {exact.name: load_array(exact)} if exact.is_file() else {}
            return ArraySource(x, y, masks, classes=10)
    if (folder / "cifar10.npz").is_file():
        return _cifar_pack(folder / "cifar10.npz", split)
    raise DataError(
        f"cifar10: {folder} has no cifar-10-batches-bin/{names[0]}",
        hint="unpack cifar-10-binary.tar.gz there (the binary version, not the Python one)",
    )


def _cifar_batches(paths: Sequence[Path]) -> tuple[Array, Array]:
    """The images and labels of all files, which are read into one array."""
    counts = [_cifar_records(path) for path in paths]
    records = np.empty((sum(counts), _CIFAR_RECORD), np.uint8)
    parts = np.split(records, np.cumsum(counts)[:-1])
    for path, part in zip(paths, parts, strict=True):
        with reading(path), path.open("rb") as file:
            if file.readinto(part.data) != part.nbytes:
                raise DataError(f"{path} has changed while it was read")
        if part[:, 0].max() > 9:
            raise DataError(f"{path} is damaged: a label of {part[:, 0].max()}, not 0 to 9")
    return records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0].astype(np.int64)


def _cifar_records(path: Path) -> int:
    """The number of records of a file. Raises `DataError` if it has no whole number of them."""
    require_file(path)
    count, rest = divmod(path.stat().st_size, _CIFAR_RECORD)
    if not count or rest:
        raise DataError(f"{path} is truncated: not a whole number of {_CIFAR_RECORD} byte records")
    return count


def _cifar_pack(path: Path, split: str) -> PackedImages:
    keys = [f"{split}_{k}" for k in ("exact", "exact_images", "labels", "jpeg", "jpeg_offsets")]
    arrays = load_arrays(path, keys)
    for key in keys:
        if key not in arrays:
            raise DataError(f"{path} cannot be read: it has no {key}")
    exact, raw, labels, jpeg, offsets = (arrays[key] for key in keys)
    fits = (
        exact.dtype == bool
        and exact.shape == labels.shape == (len(labels),)
        and raw.dtype == jpeg.dtype == np.uint8
        and raw.shape == (int(exact.sum()), 3, 32, 32)
        and offsets.shape == (int((~exact).sum()) + 1,)
        and offsets.dtype.kind in "iu"
        and bool((np.diff(offsets.astype(np.int64)) >= 0).all())
        and 0 <= int(offsets[0]) <= int(offsets[-1]) <= jpeg.size
    )
    if not fits:
        raise DataError(f"{path} is damaged: its arrays of {split} images do not fit together")
    files = [(jpeg, int(start), int(stop)) for start, stop in pairwise(offsets)]
    return PackedImages(raw, exact, files, labels.astype(np.int64), {f"exact_{split}.npy": exact})


# -- images that are decoded on access -----------------------------------------------------


@dataclass(frozen=True)
class PackedImages:
    """uint8 images, some stored raw and the others as JPEG, which `take` decodes.

    Attributes:
        raw: (n, C, H, W) uint8, the images where `exact` is true, in order.
        exact: (N,) bool, whether an image is stored raw.
        jpeg: (bytes, start, stop) of the others, in order.
        labels: (N,) int64.
        masks: selections that come with the data.
    """

    raw: Array
    exact: NDArray[np.bool_]
    jpeg: Sequence[tuple[Array, int, int]] = field(repr=False)
    labels: Array
    masks: Mapping[str, Array]
    labelled: bool = True
    notes: tuple[str, ...] = (DIVIDED,)
    classes: int | None = 10

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one image."""
        return self.raw.shape[1:]

    def take(self, rows: NDArray[np.int64]) -> tuple[Array, Array]:
        """Images and labels of these rows. Raises `DataError` for a JPEG without Pillow."""
        rank = np.where(self.exact, np.cumsum(self.exact), np.cumsum(~self.exact)) - 1
        images = [
            self.raw[rank[row]] if self.exact[row] else self._decode(int(rank[row])) for row in rows
        ]
        return np.stack(images), self.labels[rows]

    def _decode(self, index: int) -> Array:
        data, start, stop = self.jpeg[index]
        pixels = decode(io.BytesIO(data[start:stop].tobytes()), f"image {index}", "RGB")
        if pixels.shape != self.sample_shape:
            raise DataError(f"image {index} has shape {pixels.shape}, not {self.sample_shape}")
        return pixels
