"""Pooling and reductions, as windows per axis; sums and maxima of several values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np

from snnc.frontends.importing.layers import check_spatial, conv
from snnc.frontends.importing.permutes import channel_axis
from snnc.frontends.importing.rearrange import broadcast, concat, permute, reshape
from snnc.frontends.importing.site import Constant, ImportSite, RefusedError, Value
from snnc.frontends.importing.windows import (
    Pairs,
    PooledAxis,
    adaptive_axis,
    each_position,
    pooled_axis,
    whole_axis,
)
from snnc.ir import Add, AvgPool, Graph, MaxPool, Scale, SumPool


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

    Over channels it is a layer of equal weights, for spikes of channels stand for unequal amounts;
    where a permutation has put them on another axis, that one. Raises `RefusedError` where the
    batch would be reduced.
    """
    chosen = _chosen(x, axes)
    front = channel_axis(site.graph, x.name) if 1 in chosen else 1
    if front > 1:
        order = [0, front, *(i for i in range(1, len(x.shape) + 1) if i != front)]
        moved, back = permute(site, x, order, "permute"), [order.index(i) for i in sorted(order)]
        result = reduce_over(site, moved, [order.index(i) for i in chosen], mean=mean)
        return permute(site, result, back, "permute")
    if chosen != [1]:
        pooled = _each(x, [axis for axis in chosen if axis > 1])
        divisors = [axis.sizes if mean else (1,) * len(axis.windows) for axis in pooled]
        x = _average(site, x, pooled, divisors)
    return _over_channels(site, x, mean) if 1 in chosen else x


def _over_channels(site: ImportSite, x: Value, mean: bool) -> Value:
    """(C, ...) to (1, ...): a convolution of one position, of a sample of at most three axes."""
    count, *rest = x.shape
    places = tuple(rest) if len(rest) in (1, 2) else (prod(rest),)
    flat = reshape(site, x, (count, *places), "flat")
    weight = np.full((1, count, *(1 for _ in places)), 1 / count if mean else 1, np.float32)
    ones = (1,) * len(places)
    nothing = ((0, 0),) * len(places)
    total = conv(site, flat, Constant(weight), stride=ones, padding=nothing, dilation=ones)
    return reshape(site, total, (1, *rest), "kept")


def _chosen(x: Value, axes: Sequence[int]) -> list[int]:
    """The axes in order, the batch being axis 0, which raises `RefusedError`."""
    chosen = sorted({axis % (len(x.shape) + 1) for axis in axes})
    if not chosen or chosen[0] == 0:
        raise RefusedError("it reduces the batch", "reduce over axes of the sample: dim=(2, 3)")
    return chosen


def _each(x: Value, chosen: Sequence[int]) -> list[PooledAxis]:
    """One window over each of the `chosen` axes behind the channels; one per position of others."""
    sizes = enumerate(x.shape[1:], start=2)
    return [whole_axis(n) if i in chosen else each_position(n) for i, n in sizes]


def largest_over(site: ImportSite, x: Value, axes: Sequence[int]) -> Value:
    """The largest over axes, as `reduce_over` takes them: a max pooling.

    Where the channels are among them, they change place with axes that are not.
    """
    chosen = _chosen(x, axes)
    if chosen[0] > 1:
        return _max(site, x, _each(x, chosen))
    kept = [axis for axis in range(2, len(x.shape) + 1) if axis not in chosen]
    groups = (kept[:1], chosen, kept[1:])
    channels, among, others = (prod(x.shape[axis - 1] for axis in group) for group in groups)
    moved = permute(site, x, [0, *kept[:1], *chosen, *kept[1:]], "permute")
    apart = reshape(site, moved, (channels, among, others), "split")
    pooled = _max(site, apart, [whole_axis(among), each_position(others)])
    shape = tuple(1 if axis in chosen else n for axis, n in enumerate(x.shape, start=1))
    return reshape(site, pooled, shape, "kept")


def add(site: ImportSite, x: Value, y: Value, factor: float = 1) -> Value:
    """x + factor * y; axes of length 1 are repeated. Raises `RefusedError` for other shapes.

    y + (round(y) - y), as a straight-through estimator is written, is round(y).
    """
    estimated = _straight_through(site, x, y, factor)
    if estimated is not None:
        return estimated
    if factor != 1:
        y = site.emit(Scale(factor=float(factor)), [y], "scale")
    return site.emit(Add(), broadcast(site, [x, y]))


def _straight_through(site: ImportSite, x: Value, y: Value, factor: float) -> Value | None:
    """x + factor * y where that is a value plus or minus one that was, or will be, cancelled."""
    if y.rounding is not None and factor == 1:
        x, y = y, x
    if x.rounding is not None:
        rounds = x.rounding.source == y.name and x.rounding.factor == 1
        wanted = 1 if x.rounding.less_source else -1
        if not rounds or factor != wanted:
            return None
        return replace(x, rounding=replace(x.rounding, less_source=wanted == -1))
    if factor != 1:
        return None
    return _less(site.graph, x, y) or _less(site.graph, y, x)


def _less(graph: Graph, difference: Value, y: Value) -> Value | None:
    """x, where a value is x - y; None if it is no such difference."""
    node = graph.node(difference.name)
    if not isinstance(node.op, Add) or len(node.inputs) != 2:
        return None
    for kept, part in (node.inputs, node.inputs[::-1]):
        negated = graph.node(part)
        if negated.op == Scale(factor=-1.0) and negated.inputs == (y.name,):
            return Value(kept, graph.type_of(kept))
    return None


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
