"""Damaged and hostile files of arrays: one line, quickly, and without their memory."""

from __future__ import annotations

import gzip
import io
import os
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from snnc.data import open_data
from snnc.data.reading import EXPANDED_BYTES, reading
from snnc.errors import DataError

ONES = np.ones((64, 32), np.float32)
MEMORY = 2 << 30
"""Bytes that reading a damaged file may take."""


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def header(text: str, version: tuple[int, int] = (1, 0), length: int | None = None) -> bytes:
    """An .npy file of this header, and little data."""
    size = struct.pack("<H" if version == (1, 0) else "<I", length or len(text))
    return b"\x93NUMPY" + bytes(version) + size + text.encode() + bytes(64)


def announced(shape: str) -> bytes:
    return header(f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n")


def archive(path: Path, data: bytes, method: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr("x.npy", data)


def encrypted(path: Path) -> None:
    archive(path, npy(ONES))
    data = bytearray(path.read_bytes())
    for start, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(start) + flags] |= 1
    path.write_bytes(data)


def damaged(method: int) -> Callable[[Path], None]:
    """A compressed archive with wrong bytes in its member."""

    def write(path: Path) -> None:
        archive(path, npy(np.random.default_rng(0).random((64, 32))), method)
        data = bytearray(path.read_bytes())
        data[60:90] = bytes(30)
        path.write_bytes(data)

    return write


def unknown_method(path: Path) -> None:
    archive(path, npy(ONES))
    data = bytearray(path.read_bytes())
    for start, method in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        data[data.index(start) + method] = 99
    path.write_bytes(data)


def bomb(path: Path) -> None:
    """128 MB of zeros, of 8 GB announced, in less than 1 MB."""
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file,
        file.open("x.npy", "w", force_zip64=True) as member,
    ):
        member.write(announced("(1024, 2097152)")[:-64])
        for _ in range(8):
            member.write(bytes(1 << 24))


def truncated(path: Path) -> None:
    np.savez(path, x=ONES)
    path.write_bytes(path.read_bytes()[:-100])


LYING = ("(1000000000, 1000000000)", "(10000, 10000)", "(65, 32)", "(-1, 32)")
FILES: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "encrypted": ("x.npz", encrypted, "x.npy is encrypted"),
    "LZMA": ("x.npz", damaged(zipfile.ZIP_LZMA), "cannot be read"),
    "deflate": ("x.npz", damaged(zipfile.ZIP_DEFLATED), "cannot be read"),
    "bzip2": ("x.npz", damaged(zipfile.ZIP_BZIP2), "cannot be read"),
    "method": ("x.npz", unknown_method, "cannot be read"),
    "bomb": ("x.npz", bomb, "bytes expand to"),
    "truncated": ("x.npz", truncated, "it is not an .npz file"),
    "longer": ("x.npz", lambda p: archive(p, npy(ONES) + b"0"), "longer than its array"),
    "objects in npz": (
        "x.npz",
        lambda p: archive(p, npy(np.array([None, {}], object))),
        "Object arrays cannot be loaded",
    ),
    "objects": (
        "x.npy",
        lambda p: p.write_bytes(npy(np.array([None, {}], object))),
        "x.npy cannot be read: ",
    ),
    "unfinished": (
        "x.npy",
        lambda p: p.write_bytes(header("{'descr': '<f4', 'shape': (3,\n")),
        "cannot be read",
    ),
    "unfinished in npz": (
        "x.npz",
        lambda p: archive(p, header("{'descr': '<f4', 'shape': (3,\n")),
        "cannot be read",
    ),
    "nested": ("x.npy", lambda p: p.write_bytes(header("(" * 5000)), "cannot be read"),
    "long header": (
        "x.npy",
        lambda p: p.write_bytes(header("{", (2, 0), 0xFFFFFFF0)),
        "cannot be read",
    ),
    "elements of no bytes": (
        "x.npy",
        lambda p: p.write_bytes(header("{'descr': [], 'fortran_order': False, 'shape': (-1,)}\n")),
        "elements of 0 bytes",
    ),
    "elements of no bytes in npz": (
        "x.npz",
        lambda p: archive(p, header("{'descr': '<U0', 'fortran_order': False, 'shape': (3,)}\n")),
        "elements of 0 bytes",
    ),
    "samples of no elements": (
        "x.npy",
        lambda p: p.write_bytes(announced("(1000000000000, 0)")),
        "x is empty, its shape is (1000000000000, 0)",
    ),
    "FIFO": ("x.npy", os.mkfifo, "not a regular file"),
    "FIFO npz": ("x.npz", os.mkfifo, "not a regular file"),
    "device": ("x.npy", lambda p: p.symlink_to("/dev/zero"), "not a regular file"),
    "device npz": ("x.npz", lambda p: p.symlink_to("/dev/zero"), "not a regular file"),
    "folder": ("x.npz", lambda p: p.mkdir(), "not a regular file"),
    **{
        f"{name} of {shape}": (
            f"x.{name}",
            (lambda p, s=shape: p.write_bytes(announced(s)))
            if name == "npy"
            else (lambda p, s=shape: archive(p, announced(s))),
            "cannot be read",
        )
        for name in ("npy", "npz")
        for shape in LYING
    },
}


def refused(text: str) -> DataError:
    """The error of opening and reading all of `text`, within `MEMORY`."""
    tracemalloc.start()
    try:
        with pytest.raises(DataError) as caught:
            list(open_data(text))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "\n" not in caught.value.message and caught.value.exit_code == 2
    assert peak < MEMORY
    return caught.value


@pytest.mark.parametrize("name", FILES)
def test_damaged_files_of_arrays(name: str, tmp_path: Path) -> None:
    file, make, reason = FILES[name]
    make(tmp_path / file)
    error = refused(str(tmp_path / file))
    assert reason in error.message and str(tmp_path / file) in error.message


def test_masks_are_read_with_the_same_care(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", ONES)
    os.mkfifo(tmp_path / "m.npy")
    assert "not a regular file" in refused(f"{tmp_path}/x.npy[@{tmp_path}/m.npy]").message


def test_compressed_data_that_is_no_bomb(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", x=np.zeros((EXPANDED_BYTES // 8, 1)) > 0)
    assert "x is bool" in refused(f"{tmp_path}/x.npz").message  # read, whatever its ratio
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (1 << 20, 16), np.uint8)
    np.savez_compressed(tmp_path / "x.npz", x=x, y=np.zeros(len(x), np.int64))
    assert len(open_data(f"{tmp_path}/x.npz")) == 1 << 20


# -- MNIST and CIFAR-10 --------------------------------------------------------------------


def idx(shape: tuple[int, ...], size: int) -> bytes:
    return bytes((0, 0, 8, len(shape))) + np.array(shape, ">u4").tobytes() + bytes(size)


IDX: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "lying": ("", lambda: idx((1 << 31, 1 << 31, 9), 99), "it announces"),
    "lying, compressed": (
        ".gz",
        lambda: gzip.compress(idx((1 << 31, 28, 28), 99)),
        "bytes expand to",
    ),
    "short, compressed": (".gz", lambda: gzip.compress(idx((9, 28, 28), 99)), "it announces"),
    "bomb": (
        ".gz",
        lambda: gzip.compress(idx((1 << 19, 28, 28), (1 << 19) * 784), 1),
        "bytes expand to",
    ),
    "more than announced": (
        ".gz",
        lambda: gzip.compress(idx((2, 28, 28), 1 << 28), 1),
        "it announces",
    ),
}


@pytest.mark.parametrize("name", IDX)
def test_idx_files(name: str, tmp_path: Path) -> None:
    suffix, data, reason = IDX[name]
    path = tmp_path / f"t10k-images-idx3-ubyte{suffix}"
    path.write_bytes(data())
    error = refused(f"mnist:{tmp_path}#test")
    assert reason in error.message and str(path) in error.message


def test_a_fifo_is_no_idx_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "t10k-images-idx3-ubyte")
    assert "has no t10k-images-idx3-ubyte" in refused(f"mnist:{tmp_path}#test").message


def pack(folder: Path, **changed: np.ndarray) -> Path:
    """A `cifar10.npz` of one raw and one JPEG image, with other arrays where `changed`."""
    arrays = {
        "test_exact": np.array([True, False]),
        "test_exact_images": np.zeros((1, 3, 32, 32), np.uint8),
        "test_labels": np.array([3, 1], np.uint8),
        "test_jpeg": np.zeros(9, np.uint8),
        "test_jpeg_offsets": np.array([0, 9]),
    }
    np.savez(folder / "cifar10.npz", **{**arrays, **changed})  # type: ignore[arg-type]
    return folder / "cifar10.npz"


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.99])
def test_a_truncated_pack(kept: float, tmp_path: Path) -> None:
    path = pack(tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    assert f"{path} cannot be read" in refused(f"cifar10:{tmp_path}#test").message


@pytest.mark.parametrize(
    "changed",
    [
        {"test_exact": np.array([True, True])},
        {"test_exact": np.array([1, 0])},
        {"test_exact_images": np.zeros((1, 3, 32, 32), np.float32)},
        {"test_labels": np.array([3])},
        {"test_jpeg_offsets": np.array([0, 10])},
        {"test_jpeg_offsets": np.array([9, 0])},
        {"test_jpeg_offsets": np.array([0, 4, 9])},
    ],
)
def test_a_pack_that_does_not_fit_together(changed: dict[str, np.ndarray], tmp_path: Path) -> None:
    path = pack(tmp_path, **changed)
    error = refused(f"cifar10:{tmp_path}#test")
    assert error.message.startswith(f"{path} is damaged")


def test_a_pack_with_a_damaged_image(tmp_path: Path) -> None:
    pack(tmp_path)
    assert "image 0 cannot be read" in refused(f"cifar10:{tmp_path}#test").message


def test_records_of_cifar10_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "test_batch.bin"
    path.write_bytes(bytes([200]) * 3073)
    assert f"{path} is damaged: a label of 200" in refused(f"cifar10:{tmp_path}#test").message


# -- whatever a reader raises --------------------------------------------------------------


@pytest.mark.parametrize("error", [RuntimeError("a\nb"), NotImplementedError(), SyntaxError("a b")])
def test_what_a_reader_raises_is_one_line(error: Exception) -> None:
    with pytest.raises(DataError) as caught, reading("x"):
        raise error
    assert caught.value.message in (
        "x cannot be read: a b",
        "x cannot be read: NotImplementedError",
    )
    assert caught.value.__cause__ is error
