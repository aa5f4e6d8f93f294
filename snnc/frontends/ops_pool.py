"""Converters of pooling and of reductions over spatial axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from snnc.frontends import importing
from snnc.frontends.importing import Pairs, RefusedError, Value, need_value
from snnc.frontends.torch_site import TorchSite


def per_axis(value: Any, rank: int, what: str) -> tuple[int, ...]:
    """One number per spatial axis. Raises `RefusedError` for anything but numbers."""
    values = tuple(value) if isinstance(value, Sequence) else (value,) * rank
    values = values * rank if len(values) == 1 else values
    if len(values) != rank or not all(type(v) is int for v in values):
        raise RefusedError(f"{what} {value} is not a fixed number per axis", "use plain numbers")
    return values


def both_sides(value: Any, rank: int) -> Pairs:
    """A padding of torch, the same on both sides of an axis."""
    return tuple((p, p) for p in per_axis(value, rank, "padding"))


def _steps(stride: Any, kernel: tuple[int, ...]) -> tuple[int, ...]:
    """A pool without a stride moves by its kernel."""
    absent = stride is None or stride == []
    return kernel if absent else per_axis(stride, len(kernel), "stride")


def average_pool(rank: int) -> Any:
    """Converter of `avg_pool1d` or `avg_pool2d`."""

    def convert(
        site: TorchSite,
        input: Any,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> Value:
        x, kernel = need_value(input), per_axis(kernel_size, rank, "kernel")
        return importing.average_pool(
            site,
            x,
            kernel=kernel,
            stride=_steps(stride, kernel),
            padding=both_sides(padding, rank),
            ceil_mode=ceil_mode,
            count_include_pad=count_include_pad,
            divisor=divisor_override,
        )

    return convert


def max_pool(rank: int) -> Any:
    """Converter of `max_pool1d` or `max_pool2d`."""

    def convert(
        site: TorchSite,
        input: Any,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Value:
        x, kernel = need_value(input), per_axis(kernel_size, rank, "kernel")
        _check_indices(return_indices)
        return importing.max_pool(
            site,
            x,
            kernel=kernel,
            stride=_steps(stride, kernel),
            padding=both_sides(padding, rank),
            dilation=per_axis(dilation, rank, "dilation"),
            ceil_mode=ceil_mode,
        )

    return convert


def _check_indices(return_indices: bool) -> None:
    if return_indices:
        raise RefusedError("it returns indices", "leave return_indices=False")


def _bins(x: Value, rank: int, output_size: Any) -> tuple[int, ...]:
    """None keeps the size of an axis."""
    importing.check_spatial(x, rank, "pooling")
    wanted = tuple(output_size) if isinstance(output_size, Sequence) else (output_size,) * rank
    filled = tuple(n if w is None else w for n, w in zip(x.shape[1:], wanted, strict=True))
    return per_axis(filled, rank, "output size")


def adaptive_average_pool(rank: int) -> Any:
    """Converter of `adaptive_avg_pool1d` or `adaptive_avg_pool2d`."""

    def convert(site: TorchSite, input: Any, output_size: Any) -> Value:
        x = need_value(input)
        return importing.adaptive_average_pool(site, x, _bins(x, rank, output_size))

    return convert


def adaptive_max_pool(rank: int) -> Any:
    """Converter of `adaptive_max_pool1d` or `adaptive_max_pool2d`."""

    def convert(
        site: TorchSite, input: Any, output_size: Any, return_indices: bool = False
    ) -> Value:
        x = need_value(input)
        _check_indices(return_indices)
        return importing.adaptive_max_pool(site, x, _bins(x, rank, output_size))

    return convert


def reduction(mean: bool) -> Any:
    """Converter of `mean` or `sum` over spatial axes: a global average pooling."""

    def convert(
        site: TorchSite, input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
    ) -> Value:
        dims = (dim,) if isinstance(dim, int) else tuple(dim or ())
        result = importing.reduce_spatial(site, need_value(input), dims, mean=mean)
        return importing.reshape(site, result, site.result, "reshape")

    return convert
