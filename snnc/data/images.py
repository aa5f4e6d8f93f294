"""Image collections: digits, the official layouts of MNIST and CIFAR-10, class folders."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.data.arrays import DIVIDED, Array, ArraySource, array_source, load_array
from snnc.errors import DataError

DIGITS_TRAIN = 1297
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff"})
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
    return array_source(x[rows], bunch.target[rows], "digits")


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
    data = _bytes_of(path)
    header = 4 * (1 + rank)
    if len(data) < header or data[:4] != bytes((0, 0, 8, rank)):
        raise DataError(f"{path} is not an IDX file of {rank} axes of unsigned bytes")
    shape = tuple(int(n) for n in np.frombuffer(data[4:header], ">u4"))
    if len(data) - header != int(np.prod(shape, dtype=object)):
        raise DataError(f"{path} is truncated: it announces {shape}, holds {len(data)} bytes")
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


def _bytes_of(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if path.suffix == ".gz" else data
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from None


# -- CIFAR-10 ------------------------------------------------------------------------------


def _cifar10(folder: Path, split: str) -> ArraySource | PackedImages:
    """The official binary version, or a `cifar10.npz` of raw and JPEG images."""
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] if split == "train" else ["test_batch.bin"]
    for place in (folder, folder / "cifar-10-batches-bin"):
        if (place / names[0]).is_file():
            parts = [_cifar_batch(place / name) for name in names]
            x, y = (np.concatenate(part) for part in zip(*parts, strict=True))
            exact = place / f"exact_{split}.npy"
            return ArraySource(x, y, {exact.name: load_array(exact)} if exact.is_file() else {})
    if (folder / "cifar10.npz").is_file():
        return _cifar_pack(folder / "cifar10.npz", split)
    raise DataError(
        f"cifar10: {folder} has no cifar-10-batches-bin/{names[0]}",
        hint="unpack cifar-10-binary.tar.gz there (the binary version, not the Python one)",
    )


def _cifar_batch(path: Path) -> tuple[Array, Array]:
    try:
        records = np.fromfile(path, np.uint8)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    if not len(records) or len(records) % _CIFAR_RECORD:
        raise DataError(f"{path} is truncated: not a whole number of {_CIFAR_RECORD} byte records")
    records = records.reshape(-1, _CIFAR_RECORD)
    return records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0].astype(np.int64)


def _cifar_pack(path: Path, split: str) -> PackedImages:
    keys = [f"{split}_{k}" for k in ("exact", "exact_images", "labels", "jpeg", "jpeg_offsets")]
    try:
        with np.load(path, allow_pickle=False) as pack:
            exact, raw, labels, jpeg, offsets = (pack[key] for key in keys)
    except (OSError, EOFError, KeyError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
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
        return _decode_image(io.BytesIO(data[start:stop].tobytes()), f"image {index}", "RGB")


@dataclass(frozen=True)
class FolderImages:
    """Image files, one folder per class; classes are numbered in the order of folder names."""

    files: Sequence[Path] = field(repr=False)
    labels: Array
    mode: str
    sample_shape: tuple[int, ...]
    masks: Mapping[str, Array] = field(default_factory=dict[str, Array])
    labelled: bool = True
    notes: tuple[str, ...] = (DIVIDED,)

    def __len__(self) -> int:
        return len(self.files)

    def take(self, rows: NDArray[np.int64]) -> tuple[Array, Array]:
        """Images and labels of these rows. Raises `DataError` for one of another size."""
        images = [_decode_image(self.files[row], str(self.files[row]), self.mode) for row in rows]
        for row, image in zip(rows, images, strict=True):
            if image.shape != self.sample_shape:
                raise DataError(
                    f"{self.files[row]} has shape {image.shape}, the first image "
                    f"{self.sample_shape}",
                    hint="bring all images to one size",
                )
        return np.stack(images), self.labels[rows]


def open_folder(folder: Path) -> FolderImages:
    """`DIR/class/image.png`, classes and files in order of their names. Raises `DataError`."""
    if not folder.is_dir():
        raise DataError(f"images: there is no folder {folder}")
    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    images = [
        (path, label)
        for label, place in enumerate(classes)
        for path in sorted(place.iterdir())
        if path.suffix.lower() in SUFFIXES
    ]
    if not images:
        raise DataError(f"images: no images in folders of {folder}", hint="DIR/class/image.png")
    mode = _mode_of(images[0][0])
    shape = _decode_image(images[0][0], str(images[0][0]), mode).shape
    labels = np.array([label for _, label in images], np.int64)
    return FolderImages([path for path, _ in images], labels, mode, shape)


def _mode_of(path: Path) -> str:
    """Grey images stay grey (1 channel); all others are RGB."""
    image = _pillow()
    try:
        with image.open(path) as opened:
            return "L" if opened.mode in ("1", "L") else "RGB"
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from None


def _decode_image(file: Path | io.BytesIO, what: str, mode: str) -> Array:
    image = _pillow()
    try:
        with image.open(file) as opened:
            pixels = np.asarray(opened.convert(mode))
    except OSError as error:
        raise DataError(f"{what} cannot be read: {error}") from None
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _pillow() -> Any:
    try:
        return import_module("PIL.Image")
    except ImportError:
        raise DataError(
            "reading image files needs Pillow, which is not installed",
            hint="pip install 'snnc[images]'",
        ) from None
