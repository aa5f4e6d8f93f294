"""An HDF5 file as nested dicts of numbers and texts, read as data from that one file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from snnc.errors import ModelError
from snnc.frontends.importing.names import shown

FILE_LIMIT = 4 << 30
"""Largest size of a file in bytes."""
RATIO = 2048
"""How much larger than the file its numbers may be; gzip does not reach it."""
SMALL = 1 << 26
"""Bytes that the numbers of any file may take."""
OBJECTS = 100_000
"""Most groups and arrays of a file."""
DEPTH = 16
"""Most groups in each other."""
TEXTS_AT_ONCE = 64
FILTERS = frozenset({1, 2, 3, 32000})
"""Filters that HDF5 and h5py hold: gzip, shuffle, fletcher32, lzf. Others are loaded as plugins."""


def read_group(path: Path, name: str) -> dict[str, Any] | None:
    """The content of the group called `name` at the top of a file; None if there is none.

    Texts become `str`, everything else numpy arrays and numbers. Nothing is run or written, and
    no other file is opened.

    Raises `ModelError` for a file that is damaged or too large, or that refers to other files.
    """
    try:
        size = path.stat().st_size
        if size > FILE_LIMIT:
            raise ModelError(f"{path} is larger than {FILE_LIMIT >> 30} GiB")
        with h5py.File(path, "r", locking=False) as file:
            reader = _Reader(path, max(SMALL, RATIO * size))
            link = file.get(name, getlink=True)
            if link is None:
                return None
            found = reader.item(file, name, 0)
    except ModelError:
        raise
    except Exception as error:  # h5py raises whatever the file makes it stumble over
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"{path} is an HDF5 file that is damaged: {shown(first)}",
            hint="write the file again",
        ) from None
    return found if isinstance(found, dict) else None


class _Reader:
    """Reads objects of one file within a budget of bytes and of objects.

    Args:
        path: the file, for messages.
        budget: bytes that all numbers and texts may take.
    """

    def __init__(self, path: Path, budget: int) -> None:
        self._path = path
        self._left = budget
        self._objects = 0
        self._groups: set[h5py.Group] = set()

    def item(self, group: h5py.Group, key: object, depth: int) -> Any:
        """A member of a group: a dict, an array, a number or a text."""
        self._objects += 1
        if self._objects > OBJECTS or depth > DEPTH:
            raise self._refused("holds more groups and arrays than a network has")
        if not isinstance(key, str):
            raise self._refused("is damaged: a name in it is no text")
        if not isinstance(group.get(key, getlink=True), h5py.HardLink):
            raise self._refused(f"is damaged: {shown(key)} lies elsewhere, by a link")
        found = group[key]
        if isinstance(found, h5py.Dataset):
            return self._array(found, key)
        if not isinstance(found, h5py.Group):
            raise self._refused(f"is damaged: {shown(key)} is neither a group nor an array")
        if found in self._groups:
            raise self._refused(f"is damaged: the group {shown(key)} is in two places")
        self._groups.add(found)
        return {name: self.item(found, name, depth + 1) for name in found}

    def _array(self, array: h5py.Dataset, key: str) -> Any:
        if array.is_virtual or array.external:
            raise self._refused(f"keeps {shown(key)} in another file")
        settings = array.id.get_create_plist()
        filters = {settings.get_filter(i)[0] for i in range(settings.get_nfilters())}
        if filters - FILTERS:
            raise self._refused(f"stores {shown(key)} by a filter other than gzip and lzf")
        chunk = math.prod(array.chunks or (0,))
        text = h5py.check_string_dtype(array.dtype) is not None
        if not text and array.dtype.kind not in "fiub":
            raise self._refused(f"holds {shown(key)}, which is neither numbers nor text")
        if array.shape is None:
            raise self._refused(f"holds {shown(key)}, which is empty")
        self._take(max(math.prod(array.shape), chunk) * array.dtype.itemsize)
        if not text:
            return array[()]
        return self._texts(array) if array.shape else self._text(array[()])

    def _texts(self, array: h5py.Dataset) -> Any:
        """An array of texts, some rows at a time: many may be the same long one."""
        rows = [
            [self._text(value) for value in np.ravel(row)]
            for start in range(0, array.shape[0], TEXTS_AT_ONCE)
            for row in array[start : start + TEXTS_AT_ONCE]
        ]
        return np.array(rows, dtype=object).reshape(array.shape)

    def _text(self, value: Any) -> str:
        self._take(len(value))
        return value.decode("utf-8") if isinstance(value, bytes) else str(value)

    def _take(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise self._refused("claims arrays far larger than the file")

    def _refused(self, reason: str) -> ModelError:
        return ModelError(f"{self._path} {reason}", hint="write the file again, with nir.write")
