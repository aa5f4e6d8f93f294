"""Data from user code: a function that returns a map-style dataset or an iterable."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.data.arrays import DIVIDED, Array, ArraySource, array_source, to_float32
from snnc.data.spec import DataSpec
from snnc.errors import DataError


@dataclass(frozen=True)
class IndexedSource:
    """A map-style dataset, read lazily: `data[i]` is `(x, y)` or `x`, `len(data)` the size."""

    data: Any = field(repr=False)
    what: str
    count: int
    sample_shape: tuple[int, ...]
    labelled: bool
    notes: tuple[str, ...]
    masks: Mapping[str, Array] = field(default_factory=dict[str, Array])

    def __len__(self) -> int:
        return self.count

    def take(self, rows: NDArray[np.int64]) -> tuple[Array, Array | None]:
        """Samples and labels of these rows. Raises `DataError` if one has another shape."""
        pairs = [_item(self.data, int(row), self.what) for row in rows]
        for row, (x, _) in zip(rows, pairs, strict=True):
            if x.shape != self.sample_shape:
                raise DataError(
                    f"{self.what}: sample {row} has shape {x.shape}, the first {self.sample_shape}"
                )
        return np.stack([x for x, _ in pairs]), _stack_labels([y for _, y in pairs], self.what)


def open_factory(
    spec: DataSpec, expect_shape: tuple[int, ...] | None
) -> ArraySource | IndexedSource:
    """Call the factory and open what it returns. Raises `DataError`."""
    what = f"{spec.path}:{spec.factory}"
    factory = getattr(_module(spec, what), spec.factory, None)
    if not callable(factory):
        raise DataError(f"{what}: there is no function {spec.factory!r}")
    with _user_code(what):
        data: Any = factory()
    if hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        return _indexed(data, what)
    if not isinstance(data, Iterable):
        raise DataError(
            f"{what} returned a {type(data).__name__}", hint="a Dataset, or an iterable of (x, y)"
        )
    return _gathered(data, what, expect_shape)


def _module(spec: DataSpec, what: str) -> Any:
    if spec.kind == "module":
        with _user_code(what), _importable(Path.cwd()):
            return importlib.import_module(spec.path)
    path = Path(spec.path)
    if not path.is_file():
        raise DataError(f"{what}: there is no file {path}")
    loader = importlib.util.spec_from_file_location(f"_snnc_data_{path.stem}", path)
    if loader is None or loader.loader is None:
        raise DataError(f"{what}: not a Python file")
    module = importlib.util.module_from_spec(loader)
    with _user_code(what), _importable(path.resolve().parent):
        loader.loader.exec_module(module)
    return module


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Let the user's module import its neighbours."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


@contextmanager
def _user_code(what: str) -> Iterator[None]:
    """Turn exceptions of user code into `DataError`."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{what} failed: {type(error).__name__}: {error}") from error


def _indexed(data: Any, what: str) -> IndexedSource:
    with _user_code(what):
        count = len(data)
    if not count:
        raise DataError(f"{what} is empty")
    x, y = _item(data, 0, what)
    to_float32(x[None], what)
    notes = (DIVIDED,) if x.dtype == np.uint8 else ()
    return IndexedSource(data, what, count, x.shape, y is not None, notes)


def _gathered(data: Iterable[Any], what: str, expect_shape: tuple[int, ...] | None) -> ArraySource:
    """All items of an iterable, samples or batches, in memory."""
    xs: list[Array] = []
    ys: list[Array | None] = []
    with _user_code(what):
        for item in data:
            x, y = _pair(item, what)
            batch = _is_batch(x, y, expect_shape)
            xs.append(x if batch else x[None])
            ys.append(y if batch or y is None else y[None])
    if not xs:
        raise DataError(f"{what} is empty")
    shapes = sorted({x.shape[1:] for x in xs})
    if len(shapes) > 1:
        raise DataError(f"{what}: samples of shapes {shapes[0]} and {shapes[1]}")
    labels = [y for y in ys if y is not None]
    if labels and len(labels) != len(ys):
        raise DataError(f"{what}: some samples have a y, others have none")
    return array_source(np.concatenate(xs), np.concatenate(labels) if labels else None, what)


def _is_batch(x: Array, y: Array | None, expect_shape: tuple[int, ...] | None) -> bool:
    """Whether x is a batch: by the shape the model takes, else if y has one entry per row of x."""
    if expect_shape is not None and x.shape == tuple(expect_shape):
        return False
    if expect_shape is not None and x.shape[1:] == tuple(expect_shape):
        return True
    return y is not None and y.ndim > 0 and x.ndim > 1 and len(y) == len(x)


def _item(data: Any, row: int, what: str) -> tuple[Array, Array | None]:
    with _user_code(f"{what}[{row}]"):
        return _pair(data[row], what)


def _pair(item: Any, what: str) -> tuple[Array, Array | None]:
    if not isinstance(item, (tuple, list)):
        return _array(item, what), None
    if len(item) not in (1, 2):
        raise DataError(f"{what}: an item of {len(item)} parts", hint="(x, y) or x is taken")
    return _array(item[0], what), _array(item[1], what) if len(item) == 2 else None


def _array(value: Any, what: str) -> Array:
    if hasattr(value, "detach"):  # a torch tensor, without importing torch
        value = value.detach().cpu()
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise DataError(f"{what}: a {type(value).__name__} is not numbers")
    return array


def _stack_labels(labels: list[Array | None], what: str) -> Array | None:
    present = [y for y in labels if y is not None]
    if not present:
        return None
    if len(present) != len(labels) or len({y.shape for y in present}) > 1:
        raise DataError(f"{what}: samples whose y differ in shape, or are missing")
    return np.stack(present)
