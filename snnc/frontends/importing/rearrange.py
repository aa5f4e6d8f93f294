"""Operations that move elements: reshape, permute, slice, pad, concatenate, repeat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from snnc.frontends.importing.arithmetic import scale
from snnc.frontends.importing.site import Constant, ImportSite, RefusedError, Value
from snnc.frontends.importing.windows import Pairs
from snnc.ir import Concat, Pad, Permute, Reshape, Slice, Upsample

RUNS = 512
"""How many evenly spaced runs of elements an operation may choose."""
Bounds = list[tuple[int, int, int]]
"""(start, stop, step) of ranges."""


def reshape(site: ImportSite, x: Value, shape: tuple[int, ...], suffix: str = "") -> Value:
    """The same elements in `shape`; adds no node if that is its shape.

    A softmax stays one if its classes stay the first axis. Raises `RefusedError` otherwise.
    A sigmoid or tanh stays one.
    """
    if shape == x.shape:
        return x
    if x.function is not None:
        moved = site.emit(Reshape(shape=shape), [replace(x, function=None)], suffix)
        return replace(moved, function=x.function)
    if x.softmax is None or shape[:1] != x.shape[:1]:
        return site.emit(Reshape(shape=shape), [x], suffix)
    moved = site.emit(Reshape(shape=shape), [replace(x, softmax=None)], suffix)
    return replace(moved, softmax=x.softmax)


def permute(site: ImportSite, x: Value, order: Sequence[int], suffix: str = "") -> Value:
    """The axes in another order; the batch counts as axis 0 and must stay first."""
    if order[0] != 0:
        raise RefusedError("it moves the batch axis", "keep the batch as the first axis")
    if list(order) == sorted(order):
        return x
    return site.emit(Permute(axes=tuple(axis - 1 for axis in order[1:])), [x], suffix)


def take(
    site: ImportSite, x: Value, bounds: Sequence[tuple[int, int, int]], suffix: str = ""
) -> Value:
    """A slice: per axis of the sample the (start, stop, step) of a range."""
    if [range(*bound) for bound in bounds] == [range(n) for n in x.shape]:
        return x
    starts, stops, steps = zip(*bounds, strict=True)
    return site.emit(Slice(starts=starts, stops=stops, steps=steps), [x], suffix)


def pad(site: ImportSite, x: Value, padding: Pairs, value: float = 0.0) -> Value:
    """Pad with a number, (before, after) per axis of the sample; negative amounts crop.

    What is put in is silence (S5), and a number that is not 0 a shift there, which folds into the
    next layer (S18). Minus infinity, as around the input of a max pool, becomes the elements of the
    edge: a window that reaches beyond the edge has the edge in it. (Before another operation the
    model gives infinity, and is refused.)
    """
    cut = [
        (max(-before, 0), n - max(-after, 0), 1)
        for (before, after), n in zip(padding, x.shape, strict=True)
    ]
    x = take(site, x, cut, "slice")
    grown = tuple((max(before, 0), max(after, 0)) for before, after in padding)
    if not any(map(any, grown)):
        return x
    if value == -np.inf:
        return pad_with_elements(site, x, grown, "replicate")
    around = np.pad(np.zeros(x.shape, np.float32), grown, constant_values=value)
    x = site.emit(Pad(padding=grown), [x], "zeros" if value else "")
    return scale(site, x, 1, Constant(around))


Mode = Literal["reflect", "replicate", "circular"]
"""Padding with elements of the sample: mirrored at the edge, the edge itself, the other end."""


def pad_with_elements(
    site: ImportSite, x: Value, padding: Pairs, mode: Mode, suffix: str = ""
) -> Value:
    """Pad with elements of the sample, (before, after) per axis of it.

    Raises `RefusedError` for negative numbers.
    """
    if any(number < 0 for pair in padding for number in pair):
        raise RefusedError("it crops while it pads", "crop with slices, and pad after it")
    for axis, (before, after) in enumerate(padding):
        n = x.shape[axis]
        x = choose(site, x, axis, _within(np.arange(-before, n + after), n, mode), suffix)
    return x


def _within(positions: NDArray[np.int64], size: int, mode: Mode) -> NDArray[np.int64]:
    """Positions along an axis of `size`, and beyond its ends, as positions within it."""
    if mode == "replicate":
        return positions.clip(0, size - 1)
    if mode == "circular":
        return positions % size
    last = size - 1
    return last - np.abs(positions % max(2 * last, 1) - last)


def concat(site: ImportSite, values: Sequence[Value], axis: int, suffix: str = "") -> Value:
    """Concatenate along `axis`; the batch counts as axis 0, which raises `RefusedError`."""
    axis %= len(values[0].shape) + 1
    if axis == 0:
        raise RefusedError("it concatenates along the batch axis", "use dim=1")
    return values[0] if len(values) == 1 else site.emit(Concat(axis=axis - 1), values, suffix)


def repeat(site: ImportSite, x: Value, counts: Sequence[int], suffix: str = "") -> Value:
    """`x` as often as `counts` says along every axis of the sample, as `numpy.tile` does."""
    for count in counts:
        if count < 1:
            raise RefusedError(f"it repeats the sample {count} times", "repeat it at least once")
    stretched = tuple(
        count if n == 1 else 1 for n, count in zip(x.shape[1:], counts[1:], strict=True)
    )
    if any(count > 1 for count in stretched):
        x = site.emit(Upsample(factors=stretched), [x], suffix)
        counts = [counts[0], *(n // m for n, m in zip(counts[1:], stretched, strict=True))]
    for axis, count in enumerate(counts, start=1):
        x = concat(site, [x] * count, axis, suffix)
    return x


def broadcast(site: ImportSite, values: Sequence[Value]) -> list[Value]:
    """Values in one shape: axes of length 1 of the sample are repeated, as numpy does.

    Raises `RefusedError` where they do not fit, or have another number of axes.
    """
    shapes = [x.shape for x in values]
    whole = tuple(map(max, zip(*shapes, strict=False)))
    fits = all(n in (1, m) for shape in shapes for n, m in zip(shape, whole, strict=False))
    if len({*map(len, shapes)}) > 1 or not fits:
        raise RefusedError(
            f"it takes samples of different shapes {' and '.join(map(str, shapes))}",
            "give both the same shape",
        )
    return [
        repeat(site, x, [m // n for n, m in zip(x.shape, whole, strict=True)], "repeat")
        for x in values
    ]


def choose(
    site: ImportSite, x: Value, axis: int, positions: NDArray[np.int64], suffix: str = ""
) -> Value:
    """The `positions` along `axis` of the sample, in their order; at least one, from 0 on.

    Raises `RefusedError` for positions that are not a few evenly spaced runs.
    """
    whole = [(0, n, 1) for n in x.shape]
    runs = _runs(positions)
    parts = [
        take(site, x, [*whole[:axis], run, *whole[axis + 1 :]], f"run{i}" if i else suffix)
        for i, run in enumerate(runs)
    ]
    return concat(site, parts, axis + 1, suffix)


def _runs(positions: NDArray[np.int64]) -> Bounds:
    """The (start, stop, step) of evenly spaced runs, which together are `positions`.

    Where two could have an element, the longer one has it: most often it is the whole axis.
    """
    steps = np.diff(positions)
    runs: Bounds = []
    first = 0
    while first < len(positions):
        if len(runs) == RUNS:
            raise RefusedError(f"it takes elements in more than {RUNS} runs", "use slices")
        end = _end_of_run(steps, first)
        if end < len(positions) and _end_of_run(steps, end - 1) - (end - 1) > end - first:
            end = max(end - 1, first + 1)
        step = int(steps[first]) if end > first + 1 else 1
        last, beyond = int(positions[end - 1]), -1 if step < 0 else 1
        runs.append((int(positions[first]), last + beyond, step))
        first = end
    return runs


def _end_of_run(steps: NDArray[np.int64], first: int) -> int:
    """Behind the last of the evenly spaced positions from `first` on, with `steps` between them."""
    if first == len(steps) or steps[first] == 0:
        return first + 1
    uneven = np.flatnonzero(steps[first:] != steps[first])
    return first + (int(uneven[0]) if len(uneven) else len(steps) - first) + 1


def roll(site: ImportSite, x: Value, axis: int, shift: int) -> Value:
    """Element i moves to i + shift along `axis` of the sample, the last ones to the front."""
    n = x.shape[axis]
    first = -shift % n
    if first == 0:
        return x
    whole = [(0, size, 1) for size in x.shape]
    back, front = (
        [*whole[:axis], cut, *whole[axis + 1 :]] for cut in ((first, n, 1), (0, first, 1))
    )
    return concat(site, [take(site, x, back, "back"), take(site, x, front, "front")], axis + 1)


def regroup(
    site: ImportSite, x: Value, split: tuple[int, ...], axes: Sequence[int], shape: tuple[int, ...]
) -> Value:
    """x in the shape `split`, its axes in the order `axes`, in `shape`; no axis is the batch.

    Pixel and channel shuffles are such. Raises `GraphError` for numbers that do not fit.
    """
    apart = reshape(site, x, split, "split")
    moved = permute(site, apart, [0, *(axis + 1 for axis in axes)], "permute")
    return reshape(site, moved, shape)


def spread(site: ImportSite, x: Value, steps: Sequence[int]) -> Value:
    """Insert step - 1 zeros behind every position of each spatial axis."""
    if set(steps) == {1}:
        return x
    channels, *spatial = x.shape
    apart = reshape(site, x, (channels, *(m for n in spatial for m in (n, 1))), "split")
    zeros = ((0, 0), *(pair for step in steps for pair in ((0, 0), (0, step - 1))))
    padded = site.emit(Pad(padding=zeros), [apart], "zeros")
    grown = (n * step for n, step in zip(spatial, steps, strict=True))
    return reshape(site, padded, (channels, *grown), "spread")
