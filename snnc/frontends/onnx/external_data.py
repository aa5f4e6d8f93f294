"""Arrays that an ONNX file keeps in other files: read from the folder of the model only."""

from __future__ import annotations

import math
from pathlib import Path, PurePosixPath, PureWindowsPath

from onnx import TensorProto, helper

from snnc.errors import ModelError

LIMIT = 4 << 30
"""Largest number of bytes that all arrays of one model take."""


class ExternalData:
    """Reads the external arrays of one model into it.

    Args:
        model: the ONNX file; its arrays lie in its folder or below.
    """

    def __init__(self, model: Path) -> None:
        self._model = model
        self._folder = model.parent.resolve()
        self._bytes = 0

    def read_into(self, tensor: TensorProto) -> None:
        """Put the bytes of `tensor` into itself if they are external, and check its size.

        Raises `ModelError` for a file outside the folder, and for a size that does not fit.
        """
        size = _byte_size(tensor, self._model)
        self._bytes += size
        if self._bytes > LIMIT:
            raise ModelError(f"{self._model}: its arrays take more than {LIMIT >> 30} GiB")
        if tensor.data_location != TensorProto.EXTERNAL:
            return
        fields = {entry.key: entry.value for entry in tensor.external_data}
        path = self._inside(fields.get("location", ""))
        offset = self._count(fields.get("offset", "0"))
        length = self._count(fields.get("length", str(size)))
        if length != size:
            raise ModelError(f"{self._model}: an array of {size} bytes claims {length} in {path}")
        tensor.raw_data = self._bytes_of(path, offset, length)
        tensor.data_location = TensorProto.DEFAULT
        del tensor.external_data[:]

    def _inside(self, location: str) -> Path:
        """The file of a location, which lies in the folder also after links are followed."""
        posix, windows = PurePosixPath(location), PureWindowsPath(location)
        parts = {*posix.parts, *windows.parts}
        absolute = posix.is_absolute() or windows.drive or windows.root
        if not location.isprintable() or not location or absolute or ".." in parts:
            raise self._outside(location)
        path = (self._folder / location).resolve()
        if not path.is_relative_to(self._folder):
            raise self._outside(location)
        if not path.is_file():
            raise ModelError(
                f"{self._model}: its arrays are in {location[:100]}, which is no file",
                hint="keep the file of the arrays beside the model",
            )
        return path

    def _outside(self, location: str) -> ModelError:
        return ModelError(
            f"{self._model}: an array is in {location[:100]!r}, outside the folder of the model",
            hint="put the file of the arrays beside the model, not a link to it",
        )

    def _count(self, text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 19):
            raise ModelError(f"{self._model}: {text[:30]!r} is no place in a file of arrays")
        return int(text)

    def _bytes_of(self, path: Path, offset: int, length: int) -> bytes:
        try:
            with path.open("rb") as file:
                file.seek(offset)
                data = file.read(length)
        except OSError as error:
            raise ModelError(f"{path} cannot be read: {error.strerror}") from None
        if len(data) != length:
            raise ModelError(f"{path} is shorter than {self._model} says")
        return data


def _byte_size(tensor: TensorProto, model: Path) -> int:
    """Number of bytes of a tensor, by its shape and type. Raises `ModelError`."""
    if any(n < 0 for n in tensor.dims):
        raise ModelError(f"{model}: an array has a negative size")
    if tensor.data_type == TensorProto.STRING:
        return sum(map(len, tensor.string_data))
    try:
        kind = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    except (KeyError, ValueError, TypeError):
        raise ModelError(f"{model}: an array is of an unknown type {tensor.data_type}") from None
    four = tensor.data_type in (TensorProto.INT4, TensorProto.UINT4)
    bits = 4 if four else 8 * kind.itemsize
    size = -(-math.prod(tensor.dims) * bits // 8)
    if tensor.HasField("raw_data") and len(tensor.raw_data) != size:
        raise ModelError(f"{model}: an array of {size} bytes holds {len(tensor.raw_data)}")
    return size
