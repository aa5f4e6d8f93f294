"""Data as text or as Python holds them: opened, and checked against the model's input."""

from __future__ import annotations

import logging
from typing import Any

from snnc.data import Dataset
from snnc.data.given import open_given
from snnc.data.labels import ClassNumbers
from snnc.data.stream import BatchStream
from snnc.errors import DataError, UsageError
from snnc.options import Data
from snnc.transform import Batches


def open_batches(
    data: Data | None,
    what: str,
    shape: tuple[int, ...],
    *,
    batch_size: int = 100,
    class_numbers: ClassNumbers | None = None,
    log: logging.Logger | None = None,
) -> Batches | None:
    """`data` as batches of samples of `shape`; None stays None.

    Args:
        data: of any kind that `snnc.data.given.open_given` takes.
        what: what the data is for, e.g. "calibration"; messages begin with it.
        class_numbers: turns labels into class numbers, and knows how many the network has.
        log: gets a line for each change made to the values.

    Raises:
        DataError: it cannot be read, or its samples have another shape, or other classes.
    """
    if data is None:
        return None
    try:
        opened = open_given(data, what, shape, batch_size)
        _check_shape(opened, shape)
        opened = opened if class_numbers is None else opened.judged_by(class_numbers)
    except DataError as error:
        said = error.message.removeprefix(f"{what}: ")  # errors of a stream of batches begin so
        raise DataError(f"{what}: {said}", hint=error.hint) from error
    if log is not None:
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
    class_numbers: ClassNumbers | None = None,
    log: logging.Logger,
) -> tuple[Batches | None, Batches | None]:
    """Training and validation data, as `open_batches` opens them.

    Args:
        validation: a fraction takes that part out of the training data.
        class_numbers: what the labels of validation data of their own become.
        seed: chooses the part; the same seed, data and fraction give the same part.

    Raises:
        UsageError: a fraction that cannot be taken out.
        DataError: as `open_batches`, or one of both would be empty.
    """
    part = fraction(validation)
    opened = open_batches(train, "train", shape, log=log)
    if part is None:
        own = None if isinstance(validation, float | int) else validation
        return opened, open_batches(own, "validation", shape, class_numbers=class_numbers, log=log)
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


def _check_shape(data: Dataset | BatchStream, shape: tuple[int, ...]) -> None:
    given = tuple(data.input_shape)
    if given == tuple(shape):
        return
    shown = ",".join(map(str, given))
    hint = f"use data of that shape, or compile the model for this one (--input-shape {shown})"
    if len(given) == 3 and (given[2], *given[:2]) == tuple(shape):
        hint = "put channels first: x.transpose(0, 3, 1, 2)"
    raise DataError(f"samples have shape {given}, the model takes {tuple(shape)}", hint=hint)
