"""Random access to samples, and batches of an epoch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.errors import PassError
from snnc.transform import Batch, Batches, Ranks, Selectable

Rows = NDArray[np.int64]
HASHED = 16
"""Number of samples that `digest` hashes."""


@dataclass(frozen=True)
class Held:
    """Samples in memory: x (N, *shape), and y (N, …) or None."""

    x: NDArray[np.float32]
    y: NDArray[Any] | None

    def __len__(self) -> int:
        return len(self.x)

    def take(self, rows: Rows) -> Batch:
        """The samples `rows` as one batch."""
        return self.x[rows], None if self.y is None else self.y[rows]


def selectable(data: Batches, what: str) -> Selectable:
    """`data` itself if it has random access, else all its samples in memory.

    Args:
        data: the stream.
        what: its name in errors: "training" or "validation".

    Raises:
        PassError: there are no samples, or only some have labels.
    """
    samples = data if isinstance(data, Selectable) else _held(data, what)
    if not len(samples):
        raise PassError(f"the {what} data hold no samples", hint="give at least one sample")
    return samples


def _held(data: Batches, what: str) -> Held:
    xs: list[NDArray[np.float32]] = []
    ys: list[NDArray[Any]] = []
    for x, y in data:
        xs.append(np.asarray(x, np.float32))
        if y is not None:
            ys.append(np.asarray(y))
    if ys and len(ys) != len(xs):
        raise PassError(f"some of the {what} data have labels and some have not")
    if not xs:
        return Held(np.empty((0,), np.float32), None)
    return Held(np.concatenate(xs), np.concatenate(ys) if ys else None)


def digest(data: Selectable) -> str:
    """A hash of the length and of `HASHED` evenly spaced samples, to recognise the data."""
    rows = np.unique(np.linspace(0, len(data) - 1, HASHED).astype(np.int64))
    hashed = sha256(str(len(data)).encode())
    for values in data.take(rows):
        if values is not None:
            array = np.ascontiguousarray(values)
            hashed.update(f"{array.dtype.str}{array.shape}".encode() + array.tobytes())
    return hashed.hexdigest()


def batches(order: Rows, size: int, start: int = 0) -> Iterator[Rows]:
    """`order` in batches of `size`, from batch `start` on; only the last may be smaller."""
    for first in range(start * size, len(order), size):
        yield order[first : first + size]


def share(rows: Rows, ranks: Ranks) -> Rows:
    """The rows of a batch for this process; empty if there are more processes than samples."""
    return rows[ranks.rank :: ranks.count]
