"""Pooling, and reductions over axes, as windows per axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

from snnc.frontends.importing.layers import check_spatial
from snnc.frontends.importing.rearrange import permute, reshape
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


def reduce_mean(site: ImportSite, x: Value, axes: Sequence[int]) -> Value:
    """Mean over axes of a sample, which keep a length of 1; the batch counts as axis 0.

    Raises `RefusedError` where the batch would be reduced.
    """
    return _reduced(
        site, x, axes, lambda y, over: _average(site, y, over, [axis.sizes for axis in over])
    )


def reduce_sum(site: ImportSite, x: Value, axes: Sequence[int]) -> Value:
    """The sum over axes, as `reduce_mean` takes them."""
    return _reduced(
        site,
        x,
        axes,
        lambda y, over: _average(site, y, over, [(1,) * len(axis.windows) for axis in over]),
    )


def reduce_max(site: ImportSite, x: Value, axes: Sequence[int]) -> Value:
    """The largest over axes, as `reduce_mean` takes them: a max pooling."""
    return _reduced(site, x, axes, lambda y, over: _max(site, y, over))


def _reduced(
    site: ImportSite,
    x: Value,
    axes: Sequence[int],
    pool: Callable[[Value, list[PooledAxis]], Value],
) -> Value:
    """`pool` with one window over each of the `axes`; an axis that stays is moved to the front."""
    rank = len(x.shape)
    chosen = {axis % (rank + 1) for axis in axes}
    if not chosen or 0 in chosen:
        raise RefusedError("it reduces the batch", "reduce axes of a sample, as in dim=(2, 3)")
    stay = [axis for axis in range(1, rank + 1) if axis not in chosen]
    if not stay:
        flat = reshape(site, x, (1, prod(x.shape)), "reshape")
        return reshape(site, pool(flat, [whole_axis(flat.shape[1])]), (1,) * rank, "reshape")
    order = [0, stay[0], *(axis for axis in range(1, rank + 1) if axis != stay[0])]
    front = permute(site, x, order, "transpose")
    sizes = zip(order[2:], front.shape[1:], strict=True)
    over = [whole_axis(n) if axis in chosen else each_position(n) for axis, n in sizes]
    back = [order.index(axis) for axis in range(rank + 1)]
    return permute(site, pool(front, over), back, "transpose")


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
