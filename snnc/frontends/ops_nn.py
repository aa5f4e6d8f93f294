"""Converters of layers: convolution, linear, batch norm; and the table of torch modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from snnc.frontends import importing, ops_arithmetic, ops_pool, ops_shape
from snnc.frontends.importing import Pairs, RefusedError, Value, need_value
from snnc.frontends.ops_pool import both_sides, per_axis
from snnc.frontends.torch_site import Converter, Result, TorchSite

ModuleConverter = Callable[..., Result]
"""Called with the site, the module and the arguments of its forward."""


def convolution(rank: int) -> Converter:
    """Converter of `conv1d` or `conv2d`."""

    def convert(
        site: TorchSite,
        input: Any,
        weight: Any,
        bias: Any = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Value:
        x, kernel = need_value(input), site.constant(weight, "weight")
        spread = per_axis(dilation, rank, "dilation")
        return importing.conv(
            site,
            x,
            kernel,
            site.optional_constant(bias, "bias"),
            stride=per_axis(stride, rank, "stride"),
            padding=_padding(padding, kernel.shape[2:], spread),
            dilation=spread,
            groups=groups,
        )

    return convert


def _padding(padding: Any, kernel: tuple[int, ...], dilation: tuple[int, ...]) -> Pairs:
    if padding == "valid":
        return ((0, 0),) * len(kernel)
    if padding == "same":
        totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return tuple((total // 2, total - total // 2) for total in totals)
    return both_sides(padding, len(kernel))


def linear(site: TorchSite, input: Any, weight: Any, bias: Any = None) -> Value:
    """Converter of `F.linear` on one feature vector per sample."""
    x, matrix = need_value(input), site.constant(weight, "weight")
    return importing.linear(site, x, matrix, site.optional_constant(bias, "bias"))


def batch_norm(
    site: TorchSite,
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Value:
    """Converter of `F.batch_norm` with running statistics."""
    x = need_value(input)
    if training or running_mean is None or running_var is None:
        raise RefusedError(
            "it uses the statistics of the batch", "keep track_running_stats=True, and call eval()"
        )
    return importing.batch_norm(
        site,
        x,
        site.constant(running_mean, "running_mean"),
        site.constant(running_var, "running_var"),
        site.optional_constant(weight, "weight"),
        site.optional_constant(bias, "bias"),
        eps=eps,
    )


def _conv_module(rank: int) -> ModuleConverter:
    def convert(site: TorchSite, module: Any, input: Any) -> Result:
        if module.padding_mode != "zeros":
            raise RefusedError(
                f"it pads with padding_mode={module.padding_mode!r}", "use padding_mode='zeros'"
            )
        return convolution(rank)(
            site, input, module.weight, module.bias, module.stride, module.padding,
            module.dilation, module.groups,
        )  # fmt: skip

    return convert


def _linear_module(site: TorchSite, module: Any, input: Any) -> Result:
    return linear(site, input, module.weight, module.bias)


def _batch_norm_module(site: TorchSite, module: Any, input: Any) -> Result:
    return batch_norm(
        site, input, module.running_mean, module.running_var, module.weight, module.bias,
        module.training, eps=module.eps,
    )  # fmt: skip


def _average_module(rank: int) -> ModuleConverter:
    def convert(site: TorchSite, module: Any, input: Any) -> Result:
        override = getattr(module, "divisor_override", None)
        return ops_pool.average_pool(rank)(
            site, input, module.kernel_size, module.stride, module.padding, module.ceil_mode,
            module.count_include_pad, override,
        )  # fmt: skip

    return convert


def _max_module(rank: int) -> ModuleConverter:
    def convert(site: TorchSite, module: Any, input: Any) -> Result:
        return ops_pool.max_pool(rank)(
            site, input, module.kernel_size, module.stride, module.padding, module.dilation,
            module.ceil_mode, module.return_indices,
        )  # fmt: skip

    return convert


def _adaptive_average(rank: int) -> ModuleConverter:
    return lambda site, module, input: ops_pool.adaptive_average_pool(rank)(
        site, input, module.output_size
    )


def _adaptive_max(rank: int) -> ModuleConverter:
    return lambda site, module, input: ops_pool.adaptive_max_pool(rank)(
        site, input, module.output_size, module.return_indices
    )


def _without_module(convert: Converter) -> ModuleConverter:
    return lambda site, module, input: convert(site, input)


def _pad_module(site: TorchSite, module: Any, input: Any) -> Result:
    return ops_shape.pad(site, input, module.padding, value=module.value)


_SAME = _without_module(ops_shape.same)
_RESHAPE = _without_module(ops_shape.reshape)

MODULES: dict[type[nn.Module], ModuleConverter] = {
    nn.Conv1d: _conv_module(1),
    nn.Conv2d: _conv_module(2),
    nn.Linear: _linear_module,
    nn.BatchNorm1d: _batch_norm_module,
    nn.BatchNorm2d: _batch_norm_module,
    nn.ReLU: _without_module(ops_arithmetic.relu),
    nn.Hardtanh: lambda site, module, input: ops_arithmetic.hardtanh(
        site, input, module.min_val, module.max_val
    ),
    nn.LeakyReLU: lambda site, module, input: ops_arithmetic.leaky_relu(
        site, input, module.negative_slope
    ),
    nn.Threshold: lambda site, module, input: ops_arithmetic.threshold(
        site, input, module.threshold, module.value
    ),
    nn.AvgPool1d: _average_module(1),
    nn.AvgPool2d: _average_module(2),
    nn.AdaptiveAvgPool1d: _adaptive_average(1),
    nn.AdaptiveAvgPool2d: _adaptive_average(2),
    nn.MaxPool1d: _max_module(1),
    nn.MaxPool2d: _max_module(2),
    nn.AdaptiveMaxPool1d: _adaptive_max(1),
    nn.AdaptiveMaxPool2d: _adaptive_max(2),
    nn.Flatten: _RESHAPE,
    nn.Unflatten: _RESHAPE,
    nn.ZeroPad1d: _pad_module,
    nn.ZeroPad2d: _pad_module,
    nn.ConstantPad1d: _pad_module,
    nn.ConstantPad2d: _pad_module,
    nn.Identity: _SAME,
    nn.Dropout: _SAME,
    nn.Dropout1d: _SAME,
    nn.Dropout2d: _SAME,
    nn.Dropout3d: _SAME,
    nn.AlphaDropout: _SAME,
    nn.FeatureAlphaDropout: _SAME,
}


def _entry(module: nn.Module) -> ModuleConverter | None:
    """The converter by class; for a class generated by torch (a parametrized layer), by its base.

    User-written subclasses have none, as their forward may differ.
    """
    for cls in type(module).__mro__:
        if cls in MODULES:
            return MODULES[cls]
        if not cls.__module__.startswith("torch."):
            return None
    return None


def is_known(module: nn.Module) -> bool:
    """Whether the module is converted as one operation."""
    return _entry(module) is not None


def converter_of(module: nn.Module) -> Converter | None:
    """The converter of a module, taking the site and the arguments of `forward`."""
    entry = _entry(module)
    if entry is None:
        return None

    def convert(site: TorchSite, input: Any) -> Result:
        return entry(site, module, input)

    return convert
