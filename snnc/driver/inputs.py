"""Data given as text, as arrays or as batches: opened, and held against the model's input."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.data import Dataset, DataSpec, open_data
from snnc.data.arrays import array_source
from snnc.errors import DataError
from snnc.transform import Batches

Data = str | NDArray[Any] | Batches
"""A DATA text, an array (N, *shape) of samples, or re-iterable batches of (x, y or None)."""


def open_batches(
    data: Data | None,
    what: str,
    shape: tuple[int, ...],
    *,
    batch_size: int = 100,
    log: logging.Logger | None = None,
) -> Batches | None:
    """`data` as batches of samples of `shape`; None stays None.

    Args:
        what: what the data is for, e.g. "calibration"; messages begin with it.
        log: is told what was done to the values.

    Raises:
        DataError: it cannot be read, or its samples have another shape.
    """
    if data is None:
        return None
    try:
        opened = _open(data, what, shape, batch_size)
        _check_shape(opened, shape)
    except DataError as error:
        raise DataError(f"{what}: {error.message}", hint=error.hint) from error
    if log is not None and isinstance(opened, Dataset):
        for note in opened.notes:
            log.info("%s: %s", what, note)
    return opened


def data_info(data: Batches | None) -> dict[str, Any] | None:
    """What the report and the artifact say about data: number of samples and a digest."""
    if not isinstance(data, Dataset):
        return None if data is None else {"samples": None, "digest": None}
    return {"samples": len(data), "digest": data.digest}


def size_of(data: Batches) -> int | None:
    """Number of samples where it is known, for progress bars."""
    return len(data) if isinstance(data, Dataset) else None


def _open(data: Data, what: str, shape: tuple[int, ...], batch_size: int) -> Batches:
    if isinstance(data, str):
        return open_data(data, batch_size=batch_size, expect_shape=shape)
    if isinstance(data, np.ndarray):
        source = array_source(data, None, "the array")
        return Dataset(DataSpec("npy", what), source, np.arange(len(data)), batch_size)
    if not isinstance(data, Iterable) or iter(data) is data:
        raise DataError(
            f"a {type(data).__name__} can be gone through once only, or not at all",
            hint="a DATA text, an array, or a list of batches (x, y)",
        )
    return data


def _check_shape(data: Batches, shape: tuple[int, ...]) -> None:
    if isinstance(data, Dataset):
        found = data.input_shape
    else:
        first = next(iter(data), None)
        if first is None:
            raise DataError("there are no batches")
        found = np.shape(first[0])[1:]
    if tuple(found) != tuple(shape):
        raise DataError(
            f"samples have shape {tuple(found)}, the model takes {tuple(shape)}",
            hint="use data of that shape, or compile the model for this one (--input-shape)",
        )
