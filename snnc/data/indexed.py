"""Map-style datasets: `data[i]` is a sample, `len(data)` their number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.data.arrays import DIVIDED, Array, to_float32
from snnc.data.items import pair, user_code
from snnc.errors import DataError


@dataclass(frozen=True)
class IndexedSource:
    """A map-style dataset, read lazily: `data[i]` is `(x, y)`, `x` or a dict."""

    data: Any = field(repr=False)
    what: str
    count: int
    sample_shape: tuple[int, ...]
    labelled: bool
    notes: tuple[str, ...]
    masks: Mapping[str, Array] = field(default_factory=dict[str, Array])

    def __len__(self) -> int:
        return self.count

    @property
    def classes(self) -> int | None:
        """Number of classes where the dataset lists their names, as those of torchvision do."""
        names = getattr(self.data, "classes", None)
        return len(names) if self.labelled and isinstance(names, list | tuple) else None  # type: ignore[reportUnknownArgumentType]

    def take(self, rows: NDArray[np.int64]) -> tuple[Array, Array | None]:
        """Samples and labels of these rows. Raises `DataError` if one has another shape."""
        pairs = [_item(self.data, int(row), self.what) for row in rows]
        for row, (x, _) in zip(rows, pairs, strict=True):
            if x.shape != self.sample_shape:
                raise DataError(
                    f"{self.what}: sample {row} has shape {x.shape}, the first {self.sample_shape}"
                )
        return np.stack([x for x, _ in pairs]), _stack_labels([y for _, y in pairs], self.what)


def open_indexed(data: Any, what: str, notes: tuple[str, ...] = ()) -> IndexedSource:
    """A source of a map-style dataset; `notes` are for the log. Raises `DataError`."""
    with user_code(what):
        count = len(data)
    if not count:
        raise DataError(f"{what} is empty")
    x, y = _item(data, 0, what)
    to_float32(x[None], what)
    divided = (DIVIDED,) if x.dtype == np.uint8 else ()
    return IndexedSource(data, what, count, x.shape, y is not None, (*divided, *notes))


def _item(data: Any, row: int, what: str) -> tuple[Array, Array | None]:
    with user_code(f"{what}[{row}]"):
        return pair(data[row], what)


def _stack_labels(labels: list[Array | None], what: str) -> Array | None:
    present = [y for y in labels if y is not None]
    if not present:
        return None
    if len(present) != len(labels) or len({y.shape for y in present}) > 1:
        raise DataError(f"{what}: samples whose y differ in shape, or are missing")
    return np.stack(present)
