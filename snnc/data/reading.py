"""Reading files: what a reader raises is one line; archives are checked before they are read."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from snnc.errors import DataError, one_line

EXPANDED_BYTES = 1 << 26
"""A compressed file may expand to this many bytes, whatever its compression."""
LARGEST_RATIO = 100
"""Beyond `EXPANDED_BYTES`, the most that a file may expand."""


@contextmanager
def reading(what: str | Path) -> Iterator[None]:
    """Turn whatever a reader of files raises into `DataError`; a `DataError` stays as it is.

    Readers of other packages raise errors of every class on damaged files: zipfile `RuntimeError`
    and `NotImplementedError`, Pillow `SyntaxError`, numpy `tokenize.TokenError`, ….
    """
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"there is no file {what}") from None
    except MemoryError:
        raise DataError(f"{what} cannot be read: it does not fit into memory") from None
    except Exception as error:
        raise DataError(f"{what} cannot be read: {one_line(error)}") from error


def require_file(path: Path) -> None:
    """Raise `DataError` unless `path` is a regular file; a FIFO or a device might never end."""
    if path.exists() and not path.is_file():
        raise DataError(f"{path} cannot be read: it is not a regular file")
    if not path.exists():
        raise DataError(f"there is no file {path}")


def require_expansion(what: str, stored: int, expanded: int) -> None:
    """Raise `DataError` where `stored` bytes that expand to `expanded` look like a bomb."""
    if expanded > EXPANDED_BYTES and expanded > LARGEST_RATIO * stored:
        raise DataError(
            f"{what} cannot be read: {stored} bytes expand to {expanded}, more than "
            f"{LARGEST_RATIO} times as many",
            hint="if that is meant, store the data uncompressed",
        )


def load_array(path: Path) -> NDArray[Any]:
    """The array of an `.npy` file, memory-mapped. Raises `DataError`."""
    require_file(path)
    with reading(path):
        _require_header(path)
        return np.lib.format.open_memmap(path, mode="r")


def load_arrays(path: Path, names: Sequence[str]) -> Mapping[str, NDArray[Any]]:
    """Those of the arrays `names` that an `.npz` file has. Raises `DataError`."""
    require_file(path)
    with reading(path):
        if not zipfile.is_zipfile(path):
            raise DataError(f"{path} cannot be read: it is not an .npz file")
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            return {n: _member(archive, members[n], path) for n in names if n in members}


def array_names(path: Path) -> tuple[str, ...]:
    """Names of the arrays of an `.npz` file. Raises `DataError`."""
    with reading(path), zipfile.ZipFile(path) as archive:
        return tuple(name.removesuffix(".npy") for name in archive.namelist())


def _require_header(path: Path) -> None:
    """Raise `ValueError` where the header announces more than the file holds.

    numpy allocates the announced length, up to 4 GiB, before it reads.
    """
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        announced = int.from_bytes(file.read(2 if version == (1, 0) else 4), "little")
        if announced > path.stat().st_size:
            raise ValueError("its header is longer than the file")
        file.seek(0)
        _announced(file)


def _announced(file: IO[bytes]) -> int:
    """Bytes of the array that a header announces; 0 for objects, which are not read.

    Raises `ValueError` for elements of no bytes, for which numpy divides by zero.
    """
    version = np.lib.format.read_magic(file)
    read = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, _, dtype = read(file)
    if not dtype.itemsize or any(n < 0 for n in shape):
        raise ValueError(f"an array of shape {shape} of elements of {dtype.itemsize} bytes")
    return 0 if dtype.hasobject else int(np.prod(shape, dtype=object)) * dtype.itemsize


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> NDArray[Any]:
    if info.flag_bits & 1:
        raise DataError(f"{path} cannot be read: {info.filename} is encrypted")
    require_expansion(f"{path}: {info.filename}", info.compress_size, info.file_size)
    with archive.open(info) as file:
        _require_size(file, info, path)
    with archive.open(info) as file:
        array = np.lib.format.read_array(file, allow_pickle=False)
        if file.read(1):
            raise ValueError(f"{info.filename} is longer than its array")
    return array


def _require_size(file: IO[bytes], info: zipfile.ZipInfo, path: Path) -> None:
    """Raise `DataError` where the header announces more than the archive holds."""
    announced = _announced(file)
    if announced > info.file_size:
        raise DataError(
            f"{path} cannot be read: {info.filename} announces {announced} bytes, and has "
            f"{info.file_size}"
        )
