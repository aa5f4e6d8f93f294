"""How tensors and constants of a network are stored in the buffers and files of the CPU backend."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc import ir
from snnc_backends.cpu.number_types import ALIGNMENT, DTYPES

Array = NDArray[Any]
ANALOG = "f64"
"""Type of tensors before the encoding."""


def storage(kind: ir.TensorType) -> str:
    """Type of a tensor's buffer: f64 before the encoding, else f32, or i8 or i32 for integers."""
    if kind.signal is ir.Signal.ANALOG:
        return ANALOG
    if kind.signal is ir.Signal.CURRENT:
        return "i32" if kind.quantized else "f32"
    return "i8" if kind.levels <= 127 else "i32"


class Blob:
    """The content of `weights.bin`: arrays at multiples of 64 bytes."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, array: Array, dtype: str) -> int:
        """Append an array in row-major order; returns its offset."""
        data = np.ascontiguousarray(array, DTYPES[dtype]).tobytes()
        offset = self._size
        self._parts.append(data + bytes(-len(data) % ALIGNMENT))
        self._size += len(self._parts[-1])
        return offset

    def content(self) -> bytes:
        return b"".join(self._parts)


def weight_type(weight: Array, dtype: str) -> str:
    """Type of the stored weights of a layer whose result is of type `dtype`."""
    whole = weight.dtype.kind in "iub"
    small = whole and max(int(weight.max()), -int(weight.min())) <= 127
    return "i8" if dtype == "i32" and small else dtype


def record_of(op: ir.Op, kind: ir.TensorType) -> str:
    """How a run reports the result of an op; see `snnc_backends.cpu.plan.Tensor`."""
    if not op.makes_events or kind.signal not in (ir.Signal.SPIKE, ir.Signal.COUNT):
        return "none"
    if kind.signal is ir.Signal.COUNT:
        return "count"
    return "signed" if kind.signed else "spike"
