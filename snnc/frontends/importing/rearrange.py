"""Operations that move elements: reshape, permute, slice, pad, concatenate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from snnc.frontends.importing.layers import Pairs
from snnc.frontends.importing.site import ImportSite, RefusedError, Value
from snnc.ir import Concat, Pad, Permute, Reshape, Slice


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


def permute(site: ImportSite, x: Value, order: Sequence[int]) -> Value:
    """The axes in another order; the batch counts as axis 0 and must stay first."""
    if order[0] != 0:
        raise RefusedError("it moves the batch axis", "keep the batch as the first axis")
    if list(order) == sorted(order):
        return x
    return site.emit(Permute(axes=tuple(axis - 1 for axis in order[1:])), [x])


def take(
    site: ImportSite, x: Value, bounds: Sequence[tuple[int, int, int]], suffix: str = ""
) -> Value:
    """A slice: per axis of the sample (start, stop, step), resolved as `slice.indices` does."""
    if any(step < 1 for _, _, step in bounds):
        raise RefusedError("it takes elements in reverse order", "use a positive step")
    if [range(*bound) for bound in bounds] == [range(n) for n in x.shape]:
        return x
    starts, stops, steps = zip(*bounds, strict=True)
    return site.emit(Slice(starts=starts, stops=stops, steps=steps), [x], suffix)


def pad(site: ImportSite, x: Value, padding: Pairs) -> Value:
    """Pad with zeros, (before, after) per axis of the sample; negative numbers crop."""
    cut = [
        (max(-before, 0), n - max(-after, 0), 1)
        for (before, after), n in zip(padding, x.shape, strict=True)
    ]
    x = take(site, x, cut, "slice")
    grown = tuple((max(before, 0), max(after, 0)) for before, after in padding)
    return site.emit(Pad(padding=grown), [x]) if any(map(any, grown)) else x


def concat(site: ImportSite, values: Sequence[Value], axis: int) -> Value:
    """Concatenate along `axis`; the batch counts as axis 0, which raises `RefusedError`."""
    axis %= len(values[0].shape) + 1
    if axis == 0:
        raise RefusedError("it concatenates along the batch axis", "use dim=1")
    return values[0] if len(values) == 1 else site.emit(Concat(axis=axis - 1), values)
