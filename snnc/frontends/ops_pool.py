"""Converters of pooling and of reductions over axes of the sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from snnc.frontends import importing
from snnc.frontends.importing import Pairs, RefusedError, Value, need_value
from snnc.frontends.torch_site import (
    Converters,
    ModuleConverter,
    ModuleConverters,
    Result,
    TorchSite,
    converters,
)


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
    """The stride of a pool, which defaults to its kernel."""
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
    """Output size per spatial axis; None in `output_size` keeps the size of the input."""
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
    """Converter of `mean` or `sum` over axes of the sample: an average pooling."""

    def convert(
        site: TorchSite, input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
    ) -> Value:
        dims = (dim,) if isinstance(dim, int) else tuple(dim or ())
        result = importing.reduce_over(site, need_value(input), dims, mean=mean)
        return importing.reshape(site, result, site.result, "reshape")

    return convert


def largest(site: TorchSite, input: Any, dim: Any = (), keepdim: bool = False) -> Value:
    """Converter of `amax` over axes of the sample: a max pooling."""
    dims = (dim,) if isinstance(dim, int) else tuple(dim)
    result = importing.largest_over(site, need_value(input), dims)
    return importing.reshape(site, result, site.result, "reshape")


def largest_and_index(site: TorchSite, input: Any, dim: int, keepdim: bool = False) -> Result:
    """Converter of `max` along one axis of the sample, whose indices cannot be computed."""
    result = importing.largest_over(site, need_value(input), [dim])
    if not site.shapes:
        raise RefusedError("its result does not keep the batch", "keep the batch as first axis")
    return importing.reshape(site, result, site.shapes[0], "reshape"), None


def _average_module(rank: int) -> ModuleConverter:
    def convert(site: TorchSite, module: Any, input: Any) -> Result:
        override = getattr(module, "divisor_override", None)
        return average_pool(rank)(
            site, input, module.kernel_size, module.stride, module.padding, module.ceil_mode,
            module.count_include_pad, override,
        )  # fmt: skip

    return convert


def _max_module(rank: int) -> ModuleConverter:
    def convert(site: TorchSite, module: Any, input: Any) -> Result:
        return max_pool(rank)(
            site, input, module.kernel_size, module.stride, module.padding, module.dilation,
            module.ceil_mode, module.return_indices,
        )  # fmt: skip

    return convert


def _adaptive_average(rank: int) -> ModuleConverter:
    return lambda site, module, input: adaptive_average_pool(rank)(site, input, module.output_size)


def _adaptive_max(rank: int) -> ModuleConverter:
    return lambda site, module, input: adaptive_max_pool(rank)(
        site, input, module.output_size, module.return_indices
    )


FUNCTIONS: Converters = converters(
    (average_pool(1), (F.avg_pool1d,)),
    (average_pool(2), (F.avg_pool2d,)),
    (adaptive_average_pool(1), (F.adaptive_avg_pool1d,)),
    (adaptive_average_pool(2), (F.adaptive_avg_pool2d,)),
    (max_pool(1), (F.max_pool1d, torch.max_pool1d)),
    (max_pool(2), (F.max_pool2d, torch.max_pool2d)),
    (adaptive_max_pool(1), (F.adaptive_max_pool1d,)),
    (adaptive_max_pool(2), (F.adaptive_max_pool2d,)),
    (reduction(mean=True), (torch.mean,)),
    (reduction(mean=False), (torch.sum,)),
    (largest, (torch.amax,)),
)
METHODS: Converters = converters(
    (reduction(mean=True), ("mean",)),
    (reduction(mean=False), ("sum",)),
    (largest, ("amax",)),
)
MODULES: ModuleConverters = {
    nn.AvgPool1d: _average_module(1),
    nn.AvgPool2d: _average_module(2),
    nn.AdaptiveAvgPool1d: _adaptive_average(1),
    nn.AdaptiveAvgPool2d: _adaptive_average(2),
    nn.MaxPool1d: _max_module(1),
    nn.MaxPool2d: _max_module(2),
    nn.AdaptiveMaxPool1d: _adaptive_max(1),
    nn.AdaptiveMaxPool2d: _adaptive_max(2),
}
