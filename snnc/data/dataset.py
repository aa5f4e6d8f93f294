"""Re-iterable datasets: batches, shape, length, digest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from snnc.data.arrays import Source, finite_float32
from snnc.data.labels import ClassNumbers
from snnc.data.reading import load_array
from snnc.data.spec import DataSpec, parse
from snnc.errors import DataError

if TYPE_CHECKING:
    from snnc.transform import Batch, Batches

Indices = NDArray[np.int64]
SPLIT = 0x5B117
"""Separates the random stream of a split from others of the same seed."""
ENOUGH = 256
"""From so many samples on, a quarter of them is enough to be held out."""


@dataclass(frozen=True)
class Dataset:
    """Samples of a source, in order; each iteration starts again.

    Attributes:
        spec: the DATA text it was opened by.
        source: where the samples come from.
        indices: which of them, (N,) int64.
        batch_size: number of samples of a batch; the last may be smaller.
        class_numbers: turns labels into class numbers; None keeps them as stored.
    """

    spec: DataSpec
    source: Source = field(repr=False)
    indices: Indices = field(repr=False)
    batch_size: int = 100
    class_numbers: ClassNumbers | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[tuple[NDArray[np.float32], NDArray[np.generic] | None]]:
        """Batches of (x float32 (N, *input_shape), y (N, …) or None).

        Raises `DataError` for a sample with NaN or infinity, or that cannot be read.
        """
        for start in range(0, len(self), self.batch_size):
            yield self.take(np.arange(start, min(start + self.batch_size, len(self))))

    def take(self, rows: Indices) -> tuple[NDArray[np.float32], NDArray[np.generic] | None]:
        """The samples at these places of `indices`, as one batch; errors as when iterating."""
        rows = self.indices[rows]
        x, y = self.source.take(rows)
        if y is not None and self.class_numbers is not None:
            y = self.class_numbers(y)
        return finite_float32(x, str(self.spec), rows), y

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return self.source.sample_shape

    @property
    def labelled(self) -> bool:
        """Whether batches have labels."""
        return self.source.labelled

    @property
    def notes(self) -> tuple[str, ...]:
        """Conversions of the values, e.g. "uint8 divided by 255"."""
        _, y = self.source.take(self.indices[:1]) if self.class_numbers else (None, None)
        note = self.class_numbers.note(y) if self.class_numbers and y is not None else None
        return (*self.source.notes, *([note] if note else []))

    def judged_by(self, class_numbers: ClassNumbers) -> Dataset:
        """The same with labels as class numbers. Raises `DataError` for another number of them."""
        if not self.labelled:
            return self
        class_numbers.require_classes(self.source.classes)
        return replace(self, class_numbers=class_numbers)

    def limit(self, n: int | None) -> Dataset:
        """The first `n` samples; all if there are fewer or `n` is None. Raises `DataError`."""
        if n is not None and n < 1:
            raise DataError(f"a limit of {n} samples", hint="one or more")
        return self if n is None else replace(self, indices=self.indices[:n])

    def split(self, fraction: float, seed: int) -> tuple[Dataset, Dataset]:
        """Split at random into (rest, part), each in the original order.

        Args:
            fraction: size of the part relative to all samples, in (0, 1); rounded.
            seed: of the random choice.

        Raises `DataError` if either would be empty.
        """
        count = round(fraction * len(self))
        if not 0 < count < len(self):
            raise DataError(
                f"{self.spec}: {fraction:g} of {len(self)} samples is {count}",
                hint="another fraction, or more samples",
            )
        order = np.random.default_rng([SPLIT, seed]).permutation(len(self))
        part, rest = np.sort(order[:count]), np.sort(order[count:])
        return replace(self, indices=self.indices[rest]), replace(self, indices=self.indices[part])

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all samples as float32 and of their labels; independent of the batch size."""
        xs, ys = sha256(str(self.input_shape).encode()), sha256()
        for x, y in self:
            xs.update(x.tobytes())
            if y is not None:
                ys.update(y.tobytes())
        return sha256(xs.digest() + ys.digest()).hexdigest()


def open_data(
    text: str, *, batch_size: int = 100, expect_shape: tuple[int, ...] | None = None
) -> Dataset:
    """Open the data a DATA text names.

    Args:
        text: e.g. `digits#train`, `x.npz[:100]`.
        batch_size: samples per batch.
        expect_shape: shape of one sample that the model takes, or None.

    Raises:
        DataError: wrong text, missing or damaged files, another shape, or an empty selection.
    """
    if batch_size < 1:
        raise DataError(f"a batch size of {batch_size}", hint="one or more")
    spec = parse(text)
    source = _open_source(spec, expect_shape)
    if expect_shape is not None and source.sample_shape != tuple(expect_shape):
        raise _wrong_shape(spec, source, tuple(expect_shape))
    return Dataset(spec, source, _select(spec, source), batch_size)


def _open_source(spec: DataSpec, expect_shape: tuple[int, ...] | None) -> Source:
    from snnc.data import arrays, factory, image_folder, images

    match spec.kind:
        case "npy" | "npz":
            return arrays.open_file(Path(spec.path))
        case "file" | "module":
            return factory.open_factory(spec, expect_shape)
        case "images":
            return image_folder.open_folder(Path(spec.path))
        case _:
            return images.open_known(spec.kind, Path(spec.path), spec.split or "train")


def _wrong_shape(spec: DataSpec, source: Source, expected: tuple[int, ...]) -> DataError:
    shape = source.sample_shape
    shown = ",".join(map(str, shape))
    hint = f"use data of that shape, or compile the model for this one (--input-shape {shown})"
    if (len(source), *shape) == expected:
        hint = "this looks like one sample: add a batch axis, x[None]"
    elif len(shape) == 3 and (shape[2], *shape[:2]) == expected:
        hint = "put channels first: x.transpose(0, 3, 1, 2)"
    return DataError(f"{spec}: samples have shape {shape}, the model takes {expected}", hint=hint)


def _select(spec: DataSpec, source: Source) -> Indices:
    count = len(source)
    if spec.mask is not None:
        return _masked(spec, source)
    wanted = max(spec.start + 1, spec.stop or 0)
    if wanted > count:
        raise DataError(f"{spec}: the selection needs {wanted} samples, there are {count}")
    return np.arange(spec.start, count if spec.stop is None else spec.stop)


def _masked(spec: DataSpec, source: Source) -> Indices:
    name, count = str(spec.mask), len(source)
    mask = source.masks.get(name)
    if mask is None:
        beside = Path(spec.path) / name
        mask = load_array(beside if not Path(name).exists() and beside.exists() else Path(name))
    if mask.ndim == 1 and mask.dtype == bool:
        if len(mask) != count:
            raise DataError(f"{spec}: a mask of {len(mask)} entries for {count} samples")
        rows = np.flatnonzero(mask)
    elif mask.ndim == 1 and np.issubdtype(mask.dtype, np.integer):
        rows = mask.astype(np.int64)
        if len(rows) and not 0 <= rows.min() <= rows.max() < count:
            raise DataError(f"{spec}: an index of {name} lies outside 0..{count - 1}")
    else:
        raise DataError(f"{spec}: {name} is {mask.dtype}{mask.shape}", hint="1-d, boolean or index")
    if not len(rows):
        raise DataError(f"{spec}: {name} selects nothing")
    return rows


def held_out(batches: Batches, size: int) -> tuple[Batches, Batches]:
    """All samples but the last `size`, and those; at most a quarter of all is held out.

    Of a `Dataset` of fewer than four times as many and fewer than `ENOUGH` samples, and of other
    batches, it is all samples, and the first `size`.
    """
    if not isinstance(batches, Dataset) or len(batches) < min(4 * size, ENOUGH):
        return batches, first_samples(batches, size)
    rest = len(batches) - min(size, len(batches) // 4)
    return batches.limit(rest), replace(batches, indices=batches.indices[rest:])


def first_samples(batches: Batches, limit: int) -> Batches:
    """The first `limit` samples, in batches; of a `Dataset` nothing is read yet."""
    if isinstance(batches, Dataset):
        return batches.limit(limit)
    first: list[Batch] = []
    left = limit
    for x, y in batches:
        if left <= 0:
            break
        first.append((x[:left], None if y is None else y[:left]))
        left -= len(x)
    return first
