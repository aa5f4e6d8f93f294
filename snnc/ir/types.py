"""Types of the tensors on edges, and references to parameters."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import prod

Shape = tuple[int, ...]
"""Shape of one sample: no batch axis, no time axis; channels first."""


class Signal(StrEnum):
    """Kind of values in a tensor (docs/semantics.md, S1)."""

    ANALOG = "analog"
    SPIKE = "spike"
    COUNT = "count"
    CURRENT = "current"


class Stage(StrEnum):
    """`ANN`: real values, no time. `SNN`: spikes over a window of T steps."""

    ANN = "ann"
    SNN = "snn"


@dataclass(frozen=True, slots=True)
class Ref:
    """The name of an array in `Graph.params`."""

    name: str

    def __str__(self) -> str:
        return f"@{self.name}"


@dataclass(frozen=True, slots=True)
class TensorType:
    """Type of one sample of a tensor: no batch axis, no time axis.

    Attributes:
        shape: shape of one sample, channels first.
        signal: kind of the values.
        levels: largest magnitude of a SPIKE or COUNT value; 0 for ANALOG and CURRENT.
        dtype: "float32", or "int32"/"int64" once quantised.
        constant_in_time: the same value at every step of the window (direct encoding).
        signed: values of a SPIKE or COUNT may be negative.
    """

    shape: tuple[int, ...]
    signal: Signal
    levels: int = 0
    dtype: str = "float32"
    constant_in_time: bool = False
    signed: bool = False

    @property
    def size(self) -> int:
        """Number of elements of one sample."""
        return prod(self.shape)

    @property
    def quantized(self) -> bool:
        """True for integer tensors."""
        return self.dtype.startswith("int")

    def __str__(self) -> str:
        shape = "x".join(map(str, self.shape)) or "scalar"
        sign = "±" if self.signed else ""
        levels = f" {sign}{self.levels}" if self.levels > 1 or self.signed else ""
        dtype = "" if self.dtype == "float32" else f" {self.dtype}"
        constant = " constant" if self.constant_in_time else ""
        return f"{self.signal}<{shape}{levels}{dtype}{constant}>"


Windows = tuple[tuple[tuple[int, int], ...], ...]
"""Per spatial axis, per output position: the (start, stop) of the inputs it covers."""


def regular_windows(
    size: int, count: int, kernel: int, stride: int, padding: int
) -> tuple[tuple[int, int], ...]:
    """The `count` windows of ordinary pooling along an axis of `size` inputs, clipped to it."""
    starts = [i * stride - padding for i in range(count)]
    return tuple((max(0, start), min(size, start + kernel)) for start in starts)
