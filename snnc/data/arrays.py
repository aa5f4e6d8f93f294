"""Data sources: the protocol, arrays in memory, and the files `x.npy` and `x.npz`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from snnc.data.reading import array_names, load_array, load_arrays
from snnc.errors import DataError

Array = NDArray[Any]
DIVIDED = "uint8 divided by 255"


class Source(Protocol):
    """Random access to samples and labels."""

    @property
    def sample_shape(self) -> tuple[int, ...]: ...

    @property
    def labelled(self) -> bool: ...

    @property
    def notes(self) -> tuple[str, ...]: ...

    @property
    def masks(self) -> Mapping[str, Array]: ...

    @property
    def classes(self) -> int | None:
        """Number of classes, where the source tells it."""
        ...

    def __len__(self) -> int: ...

    def take(self, rows: NDArray[np.int64]) -> tuple[Array, Array | None]:
        """Samples (len(rows), *sample_shape) and labels of these rows, as stored."""
        ...


@dataclass(frozen=True)
class ArraySource:
    """Samples in an array (in memory or memory-mapped), with or without labels.

    Attributes:
        x: (N, *sample shape), floating or uint8.
        y: (N, …) or None.
        masks: selections that come with the data, by the name of their file.
        classes: number of classes, None where it is not known.
    """

    x: Array
    y: Array | None = None
    masks: Mapping[str, Array] = field(default_factory=dict[str, Array])
    classes: int | None = None

    def __len__(self) -> int:
        return len(self.x)

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return self.x.shape[1:]

    @property
    def labelled(self) -> bool:
        """Whether the data have labels."""
        return self.y is not None

    @property
    def notes(self) -> tuple[str, ...]:
        """Conversions of the values, for the log."""
        return (DIVIDED,) if self.x.dtype == np.uint8 else ()

    def take(self, rows: NDArray[np.int64]) -> tuple[Array, Array | None]:
        """Samples and labels of these rows."""
        return self.x[rows], None if self.y is None else self.y[rows]


def to_float32(x: Array, what: str) -> NDArray[np.float32]:
    """Floating types cast to float32, uint8 divided by 255. Raises `DataError` for others."""
    if x.dtype == np.uint8:
        return x.astype(np.float32) / np.float32(255)
    if not np.issubdtype(x.dtype, np.floating):
        raise DataError(
            f"{what}: x is {x.dtype}", hint="float32, or uint8 to be divided by 255, is taken"
        )
    with np.errstate(over="ignore"):  # becomes infinity, which is then reported
        return np.ascontiguousarray(x, np.float32)


def finite_float32(x: Array, what: str, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """`x` as `to_float32` gives it. Raises `DataError` naming the one of `rows` with NaN or inf."""
    x = to_float32(x, what)
    finite = np.isfinite(x).reshape(len(x), -1).all(axis=1)
    if not finite.all():
        bad = rows[np.flatnonzero(~finite)[0]]
        raise DataError(f"{what}: sample {bad} holds NaN or infinity")
    return x


def array_source(x: Array, y: Array | None, what: str) -> ArraySource:
    """A source of these arrays. Raises `DataError` if they do not fit together."""
    if x.ndim < 2:
        raise DataError(f"{what}: x has shape {x.shape}", hint="(N, *sample shape) is taken")
    if not x.size:
        raise DataError(f"{what}: x is empty, its shape is {x.shape}")
    to_float32(x[:0], what)
    if y is not None and (y.ndim == 0 or len(y) != len(x)):
        raise DataError(f"{what}: {len(x)} samples but y has shape {y.shape}")
    if y is not None and y.dtype.kind not in "fiub":
        raise DataError(f"{what}: y is {y.dtype}", hint="class numbers or real values are taken")
    return ArraySource(x, y)


def open_file(path: Path) -> ArraySource:
    """Open `x.npy` (memory-mapped), or `x.npz` with `x` and optionally `y`. Raises `DataError`."""
    if path.suffix == ".npy":
        return array_source(load_array(path), None, str(path))
    arrays = load_arrays(path, ("x", "y"))
    if "x" not in arrays:
        raise DataError(
            f"{path} has no array 'x'; it has {', '.join(array_names(path)) or 'none'}",
            hint="np.savez(path, x=…, y=…)",
        )
    return array_source(arrays["x"], arrays.get("y"), str(path))
