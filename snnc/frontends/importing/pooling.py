"""Pooling, and reductions over spatial axes, as windows per axis."""

from __future__ import annotations

from collections.abc import Sequence

from snnc.frontends.importing.layers import check_spatial
from snnc.frontends.importing.site import ImportSite, RefusedError, Value
from snnc.frontends.importing.windows import (
    Pairs,
    PooledAxis,
    adaptive_axis,
    each_position,
    pooled_axis,
    whole_axis,
)
from snnc.ir import AvgPool, MaxPool, SumPool


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


def reduce_spatial(site: ImportSite, x: Value, axes: Sequence[int], *, mean: bool) -> Value:
    """Mean or sum over spatial axes, which keep a length of 1; the batch counts as axis 0.

    Raises `RefusedError` where the batch or the channels would be reduced.
    """
    pooled = _over(x, axes)
    divisors = [axis.sizes if mean else (1,) * len(axis.windows) for axis in pooled]
    return _average(site, x, pooled, divisors)


def largest_over(site: ImportSite, x: Value, axes: Sequence[int]) -> Value:
    """The largest over spatial axes, as `reduce_spatial` takes them: a max pooling."""
    return _max(site, x, _over(x, axes))


def _over(x: Value, axes: Sequence[int]) -> list[PooledAxis]:
    """One window over each of the `axes`, the batch counted; one per position of the others."""
    chosen = {axis % (len(x.shape) + 1) for axis in axes}
    if not chosen or min(chosen) < 2:
        raise RefusedError(
            "it reduces the batch or the channels", "reduce over spatial axes: dim=(2, 3)"
        )
    sizes = enumerate(x.shape[1:], start=2)
    return [whole_axis(n) if i in chosen else each_position(n) for i, n in sizes]


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
