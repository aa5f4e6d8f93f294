"""Data from user code: a function that returns a map-style dataset or an iterable."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from snnc.data.arrays import Array, ArraySource, array_source
from snnc.data.indexed import IndexedSource, open_indexed
from snnc.data.items import pair, user_code
from snnc.data.spec import DataSpec
from snnc.errors import DataError


def open_factory(
    spec: DataSpec, expect_shape: tuple[int, ...] | None
) -> ArraySource | IndexedSource:
    """Call the factory and open what it returns. Raises `DataError`."""
    what = f"{spec.path}:{spec.factory}"
    factory = getattr(_module(spec, what), spec.factory, None)
    if not callable(factory):
        raise DataError(f"{what}: there is no function {spec.factory!r}")
    with user_code(what):
        data: Any = factory()
    if hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        return open_indexed(data, what)
    if not isinstance(data, Iterable):
        raise DataError(
            f"{what} returned a {type(data).__name__}", hint="a Dataset, or an iterable of (x, y)"
        )
    return _gathered(data, what, expect_shape)


def _module(spec: DataSpec, what: str) -> Any:
    if spec.kind == "module":
        with user_code(what), _importable(Path.cwd()):
            return importlib.import_module(spec.path)
    path = Path(spec.path)
    if not path.is_file():
        raise DataError(f"{what}: there is no file {path}")
    loader = importlib.util.spec_from_file_location(f"_snnc_data_{path.stem}", path)
    if loader is None or loader.loader is None:
        raise DataError(f"{what}: not a Python file")
    module = importlib.util.module_from_spec(loader)
    with user_code(what), _importable(path.resolve().parent):
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


def _gathered(data: Iterable[Any], what: str, expect_shape: tuple[int, ...] | None) -> ArraySource:
    """All items of an iterable, samples or batches, in memory."""
    xs: list[Array] = []
    ys: list[Array | None] = []
    with user_code(what):
        for item in data:
            x, y = pair(item, what)
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
