"""Data as Python programs hold them: arrays, tensors, datasets, loaders, batches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from snnc.data.arrays import Source, array_source
from snnc.data.dataset import Dataset, open_data
from snnc.data.indexed import open_indexed
from snnc.data.items import as_array, is_array, pair, user_code
from snnc.data.spec import DataSpec
from snnc.data.stream import BatchStream
from snnc.errors import DataError

IN_ORDER = "the DataLoader shuffles; its dataset is read in order"


def open_given(
    data: Any, what: str, shape: tuple[int, ...], batch_size: int
) -> Dataset | BatchStream:
    """Open data of any of these kinds, none of which needs torch to be imported.

    Args:
        data: a DATA text or a path; an array or a tensor (N, *shape); a tuple (x, y) or a dict of
            both; a map-style dataset of samples; a DataLoader; a list, or another iterable that
            can be gone through again, of batches or samples. Items are x, (x,), (x, y) or dicts
            with one obvious input.
        what: what the data is for; names it in errors.
        shape: of one sample.
        batch_size: samples per batch, where the data do not come in batches.

    Raises:
        DataError: it is none of these, can be gone through once only, or cannot be read. The
            shape of samples is not compared.
    """
    if isinstance(data, str | Path):
        return open_data(str(data), batch_size=batch_size, expect_shape=shape)
    if isinstance(data, Dataset | BatchStream):
        return data
    source = _source(data, what, shape)
    if source is not None:
        return Dataset(DataSpec("npy", what), source, np.arange(len(source)), batch_size)
    if not isinstance(data, Iterable) or iter(cast("Iterable[Any]", data)) is data:
        raise DataError(
            f"data of type {type(data).__name__} can be gone through once only, or not at all",
            hint="a DATA text, an array or a tensor, (x, y), a Dataset, a DataLoader, or a list of "
            "batches",
        )
    return BatchStream(cast("Iterable[Any]", data), what, shape)


def shape_of_samples(data: Any, what: str) -> tuple[int, ...] | None:
    """The shape of one sample, of data as `open_given` takes them.

    None where it does not show without the shape that the model takes: a list, and items that come
    one after another, may be batches or samples. Raises `DataError`.
    """
    if isinstance(data, str | Path):
        return open_data(str(data)).input_shape
    if isinstance(data, Dataset | BatchStream):
        return data.input_shape
    source = _source(data, what, ())
    return None if source is None else source.sample_shape


def _source(data: Any, what: str, shape: tuple[int, ...]) -> Source | None:
    """A source where samples can be read in any order, else None."""
    if is_array(data):
        return array_source(as_array(data, "the array"), None, "the array")
    if isinstance(data, Mapping) or _is_pair(data):
        x, y = pair(data, what)
        return array_source(x, y, "the array x")
    if _is_loader(data):
        return _loader_source(data, what)
    if not (hasattr(data, "__getitem__") and hasattr(data, "__len__") and len(data)):
        return None
    if isinstance(data, list | tuple):
        x, _ = pair(data[0], what)  # type: ignore[reportUnknownArgumentType]
        return open_indexed(data, what) if x.shape == tuple(shape) else None
    return open_indexed(data, f"a {type(data).__name__}")


def _is_pair(data: Any) -> bool:
    """Whether it is (x, y) of arrays, or (x, None); a list is one of samples or batches."""
    if not isinstance(data, tuple):
        return False
    parts = cast("tuple[Any, ...]", data)
    return len(parts) == 2 and is_array(parts[0]) and (parts[1] is None or is_array(parts[1]))


# -- DataLoaders ---------------------------------------------------------------------------


@dataclass(frozen=True)
class _LoaderSamples:
    """The samples that a DataLoader makes of its map-style dataset, each collated alone."""

    loader: Any
    rows: Sequence[int]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        item = self.loader.collate_fn([self.loader.dataset[self.rows[index]]])
        x, y = pair(item, "the DataLoader")
        if len(x) != 1 or (y is not None and len(y) != 1):
            raise DataError("the DataLoader makes another number of samples of one")
        return x[0], None if y is None else y[0]


def _is_loader(data: Any) -> bool:
    return all(hasattr(data, name) for name in ("dataset", "collate_fn", "batch_sampler"))


def _loader_source(loader: Any, what: str) -> Source | None:
    """Its samples in the order of the dataset; None where it chooses samples by rules of its own.

    A loader that shuffles gives another order in every pass, while labels and outputs are
    collected in separate passes.
    """
    rows = _loader_rows(loader)
    if rows is None:
        return None
    with user_code(what):
        shuffles = type(loader.sampler).__name__ != "SequentialSampler"
        return open_indexed(
            _LoaderSamples(loader, rows), "the DataLoader", (IN_ORDER,) if shuffles else ()
        )


def _loader_rows(loader: Any) -> Sequence[int] | None:
    dataset, sampler = loader.dataset, loader.sampler
    plain = type(loader.batch_sampler).__name__ == "BatchSampler"
    if not plain or not (hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")):
        return None
    match type(sampler).__name__:
        case "SequentialSampler":
            return range(len(dataset))
        case "RandomSampler" if not sampler.replacement and len(sampler) == len(dataset):
            return range(len(dataset))
        case "SubsetRandomSampler":
            return [int(row) for row in sampler.indices]
        case _:
            return None
