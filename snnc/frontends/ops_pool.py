"""Converters of pooling and of reductions over spatial axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from snnc.frontends.sites import RefusedError, Site, Value, need_value
from snnc.frontends.windows import (
    PooledAxis,
    adaptive_axis,
    each_position,
    pooled_axis,
    whole_axis,
)
from snnc.ir import AvgPool, MaxPool, Reshape


def per_axis(value: Any, rank: int, what: str) -> tuple[int, ...]:
    """One number per spatial axis. Raises `RefusedError` for anything but numbers."""
    values = tuple(value) if isinstance(value, Sequence) else (value,) * rank
    values = values * rank if len(values) == 1 else values
    if len(values) != rank or not all(type(v) is int for v in values):
        raise RefusedError(f"{what} {value} is not a fixed number per axis", "use plain numbers")
    return values


def _spatial(x: Value, rank: int | None) -> tuple[int, ...]:
    if rank is not None and len(x.shape) != rank + 1:
        raise RefusedError(
            f"a {rank}-d pooling of a sample of shape {x.shape}", "keep the channel axis"
        )
    return x.shape[1:]


def _average(site: Site, x: Value, axes: Sequence[PooledAxis], divisors: Any) -> Value:
    op = AvgPool(windows=tuple(a.windows for a in axes), divisors=tuple(divisors))
    return site.emit(op, [x], (x.shape[0], *(len(a.windows) for a in axes)))


def average_pool(rank: int) -> Any:
    """Converter of `avg_pool1d` or `avg_pool2d`."""

    def convert(
        site: Site,
        input: Any,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> Value:
        x = need_value(input)
        axes = _axes(x, rank, kernel_size, stride, padding, ceil_mode)
        divisors = [a.padded if count_include_pad else a.sizes for a in axes]
        if divisor_override is not None:
            divisors = [(1,) * len(a.windows) for a in axes]
            divisors[0] = (divisor_override,) * len(axes[0].windows)
        return _average(site, x, axes, divisors)

    return convert


def _axes(
    x: Value, rank: int, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool
) -> list[PooledAxis]:
    kernel = per_axis(kernel_size, rank, "kernel")
    steps = kernel if stride is None or stride == [] else per_axis(stride, rank, "stride")
    pads = per_axis(padding, rank, "padding")
    sizes = _spatial(x, rank)
    return [pooled_axis(*a, ceil_mode) for a in zip(sizes, kernel, steps, pads, strict=True)]


def max_pool(rank: int) -> Any:
    """Converter of `max_pool1d` or `max_pool2d`."""

    def convert(
        site: Site,
        input: Any,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Value:
        x = need_value(input)
        if return_indices:
            raise RefusedError("it returns indices", "leave return_indices=False")
        if set(per_axis(dilation, rank, "dilation")) != {1}:
            raise RefusedError("its windows are dilated", "use dilation=1")
        axes = _axes(x, rank, kernel_size, stride, padding, ceil_mode)
        op = MaxPool(windows=tuple(a.windows for a in axes))
        return site.emit(op, [x], (x.shape[0], *(len(a.windows) for a in axes)))

    return convert


def _bins(x: Value, rank: int, output_size: Any) -> list[PooledAxis]:
    sizes = _spatial(x, rank)
    wanted = tuple(output_size) if isinstance(output_size, Sequence) else (output_size,) * rank
    filled = tuple(n if w is None else w for n, w in zip(sizes, wanted, strict=True))
    bins = per_axis(filled, rank, "output size")
    return [adaptive_axis(n, count) for n, count in zip(sizes, bins, strict=True)]


def adaptive_average_pool(rank: int) -> Any:
    """Converter of `adaptive_avg_pool1d` or `adaptive_avg_pool2d`."""

    def convert(site: Site, input: Any, output_size: Any) -> Value:
        x = need_value(input)
        axes = _bins(x, rank, output_size)
        return _average(site, x, axes, [a.sizes for a in axes])

    return convert


def adaptive_max_pool(rank: int) -> Any:
    """Converter of `adaptive_max_pool1d` or `adaptive_max_pool2d`."""

    def convert(site: Site, input: Any, output_size: Any, return_indices: bool = False) -> Value:
        x = need_value(input)
        if return_indices:
            raise RefusedError("it returns indices", "leave return_indices=False")
        axes = _bins(x, rank, output_size)
        op = MaxPool(windows=tuple(a.windows for a in axes))
        return site.emit(op, [x], (x.shape[0], *(len(a.windows) for a in axes)))

    return convert


def reduction(mean: bool) -> Any:
    """Converter of `mean` or `sum` over spatial axes: a global average pooling."""

    def convert(
        site: Site, input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
    ) -> Value:
        x = need_value(input)
        dims = (dim,) if isinstance(dim, int) else tuple(dim or ())
        axes = {d % (len(x.shape) + 1) for d in dims}
        if not axes or min(axes) < 2:
            raise RefusedError(
                "it reduces the batch or the channels", "reduce over spatial axes: dim=(2, 3)"
            )
        pooled = [
            whole_axis(n) if i + 2 in axes else each_position(n) for i, n in enumerate(x.shape[1:])
        ]
        divisors = [a.sizes if mean else (1,) * len(a.windows) for a in pooled]
        result = _average(site, x, pooled, divisors)
        if result.shape == site.result:
            return result
        return site.emit(Reshape(shape=site.result), [result], suffix="reshape")

    return convert
