"""Data given as text, as arrays or as batches: opened, and checked against the model's input."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import numpy as np

from snnc.data import Dataset, DataSpec, open_data
from snnc.data.arrays import array_source
from snnc.errors import DataError, UsageError
from snnc.options import Data
from snnc.transform import Batches


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
        log: gets a line for each change made to the values.

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


def fraction(validation: Data | float | None) -> float | None:
    """The part of the training data that `validation` names; None where it names data.

    Raises `UsageError` for a number outside (0, 1).
    """
    if not isinstance(validation, str | float | int):
        return None
    try:
        part = float(validation)
    except ValueError:
        return None
    if not 0 < part < 1:
        raise UsageError(
            f"--validation {validation}: a part of the training data lies between 0 and 1",
            hint="e.g. 0.1, or data of their own",
        )
    return part


def open_training(
    train: Data | None,
    validation: Data | float | None,
    shape: tuple[int, ...],
    *,
    seed: int,
    log: logging.Logger,
) -> tuple[Batches | None, Batches | None]:
    """Training and validation data, as `open_batches` opens them.

    Args:
        validation: a fraction takes that part out of the training data.
        seed: chooses the part; the same seed, data and fraction give the same part.

    Raises:
        UsageError: a fraction that cannot be taken out.
        DataError: as `open_batches`, or one of both would be empty.
    """
    part = fraction(validation)
    opened = open_batches(train, "train", shape, log=log)
    if part is None:
        own = None if isinstance(validation, float | int) else validation
        return opened, open_batches(own, "validation", shape, log=log)
    if not isinstance(opened, Dataset):
        state = "there are none" if opened is None else "these come in batches"
        raise UsageError(
            f"--validation {validation} takes samples out of the training data, and {state}",
            hint="--train DATA" if opened is None else "train on a DATA text or an array",
        )
    try:
        rest, chosen = opened.split(part, seed)
    except DataError as error:
        raise DataError(f"validation: {error.message}", hint=error.hint) from error
    log.info("train: %d samples; validation: %d others, by seed %d", len(rest), len(chosen), seed)
    return rest, chosen


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
        given = data.input_shape
    else:
        first = next(iter(data), None)
        if first is None:
            raise DataError("there are no batches")
        given = np.shape(first[0])[1:]
    if tuple(given) != tuple(shape):
        raise DataError(
            f"samples have shape {tuple(given)}, the model takes {tuple(shape)}",
            hint="use data of that shape, or compile the model for this one (--input-shape)",
        )
