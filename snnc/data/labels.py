"""Labels as people store them, as the class numbers that a network's outputs are judged by."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.errors import DataError


@dataclass(frozen=True)
class ClassNumbers:
    """Turns integer labels of a batch into class numbers (N,); leaves others as they are.

    Attributes:
        outputs: shape of one output of the network.
        judged: whether labels are held against outputs only; where passes learn, integers of the
            output's shape are targets and stay.
    """

    outputs: tuple[int, ...]
    judged: bool

    def __call__(self, y: NDArray[Any]) -> NDArray[Any]:
        """Class numbers of labels (N, 1), or of one-hot labels (N, C).

        Raises `DataError` for a row of (N, C) that is not one-hot.
        """
        if self._single(y):
            return y[:, 0]
        if not self._one_hot(y):
            return y
        whole = y.astype(np.int64)
        if ((whole != 0) & (whole != 1)).any() or (whole.sum(axis=1) != 1).any():
            raise DataError(
                f"y has shape {y.shape[1:]} a sample, and is not one-hot everywhere",
                hint="class numbers (N,), one-hot labels, or real targets",
            )
        return whole.argmax(axis=1)

    def note(self, y: NDArray[Any]) -> str | None:
        """What is done to labels like these, for the log."""
        if self._single(y):
            return "labels of shape (N, 1) are taken as class numbers"
        if self._one_hot(y):
            return "one-hot labels are taken as class numbers"
        if self.judged and prod(self.outputs) == 1 and y.dtype.kind in "iub":
            return "labels 0 and 1 for one output: class 1 is a positive output"
        return None

    def require_classes(self, classes: int | None) -> None:
        """Raise `DataError` where data of so many classes do not fit the outputs; None: unknown."""
        if classes is None or len(self.outputs) != 1:
            return
        expected = max(2, self.outputs[0])
        if classes != expected:
            raise DataError(
                f"the data has {classes} classes, the network has {self.outputs[0]} outputs",
                hint="data of the classes that the network was trained on",
            )

    def _single(self, y: NDArray[Any]) -> bool:
        single = y.dtype.kind in "iub" and y.ndim == 2 and y.shape[1] == 1
        return single and (self.judged or prod(self.outputs) > 1)

    def _one_hot(self, y: NDArray[Any]) -> bool:
        fits = y.ndim == 2 and y.shape[1:] == self.outputs and self.outputs[0] > 1
        return self.judged and y.dtype.kind in "iub" and fits
