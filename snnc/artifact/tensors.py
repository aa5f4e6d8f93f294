"""Reader of members in the safetensors format: arrays that are views of the member, not copies."""

from __future__ import annotations

from math import prod
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from snnc.artifact.layout import MAX_HEADER
from snnc.errors import ArtifactError
from snnc.jsontext import parse_json

_SIZE = 8
"""Bytes of the length of the header, which the file begins with."""
_METADATA = "__metadata__"
_DTYPES = {
    "BOOL": np.bool_,
    "F16": np.float16,
    "F32": np.float32,
    "F64": np.float64,
    "I8": np.int8,
    "I16": np.int16,
    "I32": np.int32,
    "I64": np.int64,
    "U8": np.uint8,
    "U16": np.uint16,
    "U32": np.uint32,
    "U64": np.uint64,
}
_FIELDS = {"data_offsets", "dtype", "shape"}


def read_tensors(data: bytes, name: str) -> dict[str, NDArray[Any]]:
    """Every array of a member called `name`, read-only.

    Raises `ArtifactError` unless the arrays fill the member without gaps and overlaps.
    """
    length = int.from_bytes(data[:_SIZE], "little")
    start = _SIZE + length
    if len(data) < _SIZE or length > MAX_HEADER or start > len(data):
        raise _damaged(name, "no header")
    header = parse_json(data[_SIZE:start], f"the header of {name}")
    notes = header.pop(_METADATA, {})
    if not isinstance(notes, dict) or not all(isinstance(each, str) for each in notes.values()):
        raise _damaged(name, f"{_METADATA} that are no text")
    found = {key: _described(key, item, name) for key, item in header.items()}
    end = 0
    for begin, stop, _, _ in sorted(found.values(), key=lambda each: each[:2]):
        if begin != end:
            raise _damaged(name, "gaps or overlaps between arrays")
        end = stop
    if start + end != len(data):
        raise _damaged(name, f"{len(data) - start} bytes of data instead of {end}")
    return {key: _view(data, start, each) for key, each in found.items()}


_Described = tuple[int, int, np.dtype[Any], tuple[int, ...]]
"""Begin and end in the data, type, and shape."""


def _described(key: str, item: Any, name: str) -> _Described:
    """What the header says of an array, whose size is right."""
    if not isinstance(item, dict) or set(cast("dict[str, Any]", item)) != _FIELDS:
        raise _damaged(name, f"a wrong description of {key!a:.60}")
    dtype, shape, offsets = item["dtype"], item["shape"], item["data_offsets"]
    known = isinstance(dtype, str) and dtype in _DTYPES
    if not known or not _naturals(shape) or not _naturals(offsets) or len(offsets) != 2:
        raise _damaged(name, f"a wrong description of {key!a:.60}")
    begin, end = offsets
    kind = np.dtype(_DTYPES[dtype])
    if len(shape) > 32 or end - begin != prod(shape) * kind.itemsize:
        raise _damaged(name, f"another size than the shape of {key!a:.60}")
    return begin, end, kind.newbyteorder("<"), tuple(shape)


def _naturals(value: Any) -> bool:
    """Whether it is a list of whole numbers from 0 on."""
    return isinstance(value, list) and all(
        type(each) is int and each >= 0 for each in cast("list[Any]", value)
    )


def _view(data: bytes, start: int, described: _Described) -> NDArray[Any]:
    begin, end, dtype, shape = described
    count = (end - begin) // dtype.itemsize
    array = np.frombuffer(data, dtype, count, start + begin) if count else np.empty(0, dtype)
    return (array if array.flags.aligned else array.copy()).reshape(shape)


def _damaged(name: str, reason: str) -> ArtifactError:
    return ArtifactError(f"{name} is damaged: {reason}")
