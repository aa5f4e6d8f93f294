"""Batches that come one after another: checked, converted, and the same in every pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from copy import copy
from hashlib import sha256
from typing import Any

import numpy as np

from snnc.data.arrays import DIVIDED, Array, finite_float32
from snnc.data.items import pair, user_code
from snnc.data.labels import ClassNumbers
from snnc.errors import DataError
from snnc.transform import Batch

FIXED_ORDER = "the same samples in the same order in every pass: an array, a Dataset, a list"


class BatchStream:
    """Batches of an iterable that can be gone through again.

    Labels and outputs are collected in separate passes, so a pass that begins with other samples
    than the first one is refused: data that are shuffled or distorted at random.

    Args:
        batches: items as `snnc.data.items.pair` takes them, batches or single samples.
        what: names the data in errors.
        shape: of one sample.

    Raises:
        DataError: no batches; here and when iterating.
    """

    def __init__(self, batches: Iterable[Any], what: str, shape: tuple[int, ...]) -> None:
        self._batches, self._what, self._shape = batches, what, tuple(shape)
        self._first: bytes | None = None
        with user_code(what):
            first = next(iter(batches), None)
        if first is None:
            raise DataError("there are no batches")
        x, self._label = pair(first, what)
        self._class_numbers: ClassNumbers | None = None
        self.input_shape = x.shape if x.shape == self._shape else x.shape[1:]
        self.notes: tuple[str, ...] = (DIVIDED,) if x.dtype == np.uint8 else ()

    def __iter__(self) -> Iterator[Batch]:
        """Batches of (x float32 (N, *shape), y (N, …) or None).

        Raises:
            DataError: a batch of another shape or type, with NaN or infinity, with labels where
                others have none, or that differ from those of the first pass.
        """
        done, labelled = 0, None
        for item in self._items():
            x, y = self._batch(item)
            if not done:
                self._require_same(x, y)
            if labelled not in (None, y is not None):
                raise DataError(f"{self._what}: some batches have a y, others have none")
            labelled = y is not None
            rows = np.arange(done, done + len(x))
            done += len(x)
            if y is not None and self._class_numbers is not None:
                y = self._class_numbers(y)
            yield finite_float32(x, self._what, rows), y
        if not done:
            raise DataError(
                f"{self._what}: there are no batches in a second pass, they can be gone through "
                "once only",
                hint=FIXED_ORDER,
            )

    def judged_by(self, class_numbers: ClassNumbers) -> BatchStream:
        """The same with labels as class numbers."""
        stream = copy(self)
        stream._class_numbers = class_numbers
        note = None if self._label is None else class_numbers.note(self._label)
        stream.notes = (*self.notes, *([note] if note else []))
        return stream

    def _items(self) -> Iterator[Any]:
        with user_code(self._what):
            items = iter(self._batches)
        while True:
            with user_code(self._what):
                try:
                    item = next(items)
                except StopIteration:
                    return
            yield item

    def _batch(self, item: Any) -> tuple[Array, Array | None]:
        x, y = pair(item, self._what)
        if x.shape == self._shape:
            x, y = x[None], None if y is None else y[None]
        if x.shape[1:] != self._shape or x.ndim != len(self._shape) + 1:
            raise DataError(f"{self._what}: a batch of shape {x.shape} of samples {self._shape}")
        if y is not None and (y.ndim == 0 or len(y) != len(x)):
            raise DataError(f"{self._what}: {len(x)} samples but y has shape {y.shape}")
        return x, y

    def _require_same(self, x: Array, y: Array | None) -> None:
        found = sha256(np.ascontiguousarray(x).tobytes())
        found.update(b"" if y is None else np.ascontiguousarray(y).tobytes())
        if self._first not in (None, found.digest()):
            raise DataError(
                f"{self._what}: a second pass begins with other samples, so labels and outputs "
                "would not belong together",
                hint=FIXED_ORDER,
            )
        self._first = found.digest()
