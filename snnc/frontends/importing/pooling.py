"""Pooling and reductions, as windows per axis; sums and maxima of several values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

from snnc.frontends.importing.layers import check_spatial
from snnc.frontends.importing.rearrange import broadcast, concat, permute, reshape
from snnc.frontends.importing.site import ImportSite, RefusedError, Value
from snnc.frontends.importing.windows import (
    Pairs,
    PooledAxis,
    adaptive_axis,
    each_position,
    pooled_axis,
    whole_axis,
)
from snnc.ir import Add, AvgPool, MaxPool, Scale, SumPool


def average_pool(
    site: ImportSite,
    x: Value,
    *,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: Pairs,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor: int | None = None,
) -> Value:
    """Average pooling; kernel, stride and padding (before, after) per spatial axis.

    `divisor` replaces the number of positions, which counts padding if `count_include_pad`.
    """
    axes = _axes(x, kernel, stride, padding, ceil_mode)
    divisors = [axis.padded if count_include_pad else axis.sizes for axis in axes]
    if divisor is not None:
        divisors = [(1,) * len(axis.windows) for axis in axes]
        divisors[0] = (divisor,) * len(axes[0].windows)
    return _average(site, x, axes, divisors)


def sum_pool(
    site: ImportSite,
    x: Value,
    *,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: Pairs,
) -> Value:
    """The sum of every window, clipped to the input, as `average_pool` takes them."""
    axes = _axes(x, kernel, stride, padding, False)
    return site.emit(SumPool(windows=tuple(axis.windows for axis in axes)), [x])


def max_pool(
    site: ImportSite,
    x: Value,
    *,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: Pairs,
    dilation: tuple[int, ...] = (),
    ceil_mode: bool = False,
) -> Value:
    """Max pooling; see `average_pool`. Raises `RefusedError` for dilated windows."""
    if any(d > 1 and k > 1 for k, d in zip(kernel, dilation or (1,) * len(kernel), strict=True)):
        raise RefusedError("its windows are dilated", "use dilation=1")
    return _max(site, x, _axes(x, kernel, stride, padding, ceil_mode))


def adaptive_average_pool(site: ImportSite, x: Value, bins: tuple[int, ...]) -> Value:
    """Average pooling to `bins` positions per spatial axis."""
    axes = _bins(x, bins)
    return _average(site, x, axes, [axis.sizes for axis in axes])


def adaptive_max_pool(site: ImportSite, x: Value, bins: tuple[int, ...]) -> Value:
    """Max pooling to `bins` positions per spatial axis."""
    return _max(site, x, _bins(x, bins))


def reduce_over(site: ImportSite, x: Value, axes: Sequence[int], *, mean: bool) -> Value:
    """Mean or sum over axes, which keep a length of 1; the batch counts as axis 0.

    Raises `RefusedError` where the batch would be reduced.
    """

    def pool(x: Value, axes: Sequence[PooledAxis]) -> Value:
        return _average(site, x, axes, [a.sizes if mean else (1,) * len(a.windows) for a in axes])

    return _reduced(site, x, axes, pool)


def largest_over(site: ImportSite, x: Value, axes: Sequence[int]) -> Value:
    """The largest over axes, as `reduce_over` takes them: a max pooling."""
    return _reduced(site, x, axes, lambda x, axes: _max(site, x, axes))


Pooling = Callable[[Value, Sequence[PooledAxis]], Value]


def _reduced(site: ImportSite, x: Value, axes: Sequence[int], pool: Pooling) -> Value:
    """One window over each of the `axes`; where the channels are among them, these change place."""
    rank = len(x.shape) + 1
    chosen = sorted({axis % rank for axis in axes})
    if not chosen or chosen[0] == 0:
        raise RefusedError("it reduces the batch", "reduce over axes of the sample: dim=(2, 3)")
    if chosen[0] > 1:
        sizes = enumerate(x.shape[1:], start=2)
        return pool(x, [whole_axis(n) if i in chosen else each_position(n) for i, n in sizes])
    kept = [axis for axis in range(1, rank) if axis not in chosen]
    order = [*kept[:1], *chosen, *kept[1:]]
    groups = (kept[:1], chosen, kept[1:])
    channels, among, others = (prod(x.shape[axis - 1] for axis in group) for group in groups)
    moved = permute(site, x, [0, *order], "permute")
    apart = reshape(site, moved, (channels, among, others), "split")
    pooled = pool(apart, [whole_axis(among), each_position(others)])
    shape = tuple(1 if axis in chosen else n for axis, n in enumerate(x.shape, start=1))
    return reshape(site, pooled, shape, "kept")


def add(site: ImportSite, x: Value, y: Value, factor: float = 1) -> Value:
    """x + factor * y; axes of length 1 are repeated. Raises `RefusedError` for other shapes."""
    if factor != 1:
        y = site.emit(Scale(factor=float(factor)), [y], "scale")
    return site.emit(Add(), broadcast(site, [x, y]))


def largest_of(site: ImportSite, values: Sequence[Value]) -> Value:
    """The largest of several values, element by element; shapes as of `add`."""
    values = broadcast(site, values)
    shape = values[0].shape
    wide = (shape[0], 1, prod(shape[1:]))
    parts = [reshape(site, x, wide, f"{i}.split") for i, x in enumerate(values)]
    joined = concat(site, parts, 2, "stack")
    axes = [whole_axis(len(parts)), each_position(wide[2])]
    return reshape(site, _max(site, joined, axes), shape, "reshape")


def _axes(
    x: Value, kernel: tuple[int, ...], stride: tuple[int, ...], padding: Pairs, ceil_mode: bool
) -> list[PooledAxis]:
    check_spatial(x, len(kernel), "pooling")
    axes = zip(x.shape[1:], kernel, stride, padding, strict=True)
    return [pooled_axis(*axis, ceil_mode) for axis in axes]


def _bins(x: Value, bins: tuple[int, ...]) -> list[PooledAxis]:
    check_spatial(x, len(bins), "pooling")
    return [adaptive_axis(n, count) for n, count in zip(x.shape[1:], bins, strict=True)]


def _average(
    site: ImportSite, x: Value, axes: Sequence[PooledAxis], divisors: Sequence[tuple[int, ...]]
) -> Value:
    windows = tuple(axis.windows for axis in axes)
    return site.emit(AvgPool(windows=windows, divisors=tuple(divisors)), [x])


def _max(site: ImportSite, x: Value, axes: Sequence[PooledAxis]) -> Value:
    return site.emit(MaxPool(windows=tuple(axis.windows for axis in axes)), [x])
