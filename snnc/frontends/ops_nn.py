"""Converters of layers: convolution, linear, batch norm."""

from __future__ import annotations

import operator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snnc.frontends import importing
from snnc.frontends.importing import Pairs, RefusedError, Value, need_value
from snnc.frontends.ops_pool import both_sides, per_axis
from snnc.frontends.torch_site import (
    Converter,
    Converters,
    ModuleConverter,
    ModuleConverters,
    Result,
    TorchSite,
    converters,
)


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


def transposed_convolution(rank: int) -> Converter:
    """Converter of `conv_transpose1d` or `conv_transpose2d`."""

    def convert(
        site: TorchSite,
        input: Any,
        weight: Any,
        bias: Any = None,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        dilation: Any = 1,
    ) -> Value:
        return importing.transposed_conv(
            site,
            need_value(input),
            site.constant(weight, "weight"),
            site.optional_constant(bias, "bias"),
            stride=per_axis(stride, rank, "stride"),
            padding=both_sides(padding, rank),
            output_padding=per_axis(output_padding, rank, "output padding"),
            dilation=per_axis(dilation, rank, "dilation"),
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


def product(site: TorchSite, input: Any, other: Any) -> Value:
    """Converter of `x @ weight` with a constant matrix (F_in, F_out): a linear layer."""
    if isinstance(input, Value) and isinstance(other, Value):
        raise RefusedError(
            "it multiplies activations with each other, and a neuron only sums them",
            "multiply by a parameter, or use nn.Linear",
        )
    if not isinstance(input, Value):
        raise RefusedError("its constant is the left factor", "x @ weight.t(), or nn.Linear")
    if other.dim() != 2:
        raise RefusedError(
            f"it multiplies by an array of {other.dim()} axes", "use a matrix (F_in, F_out)"
        )
    return linear(site, input, other.t())


def affine(
    site: TorchSite, input: Any, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1
) -> Value:
    """Converter of `addmm`: a constant bias plus `mat1 @ mat2`, of a constant matrix."""
    if not isinstance(input, Tensor) or not isinstance(mat2, Tensor) or (beta, alpha) != (1, 1):
        raise RefusedError("its weight depends on the input, or is scaled", "use nn.Linear")
    return linear(site, mat1, mat2.t(), input)


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
        padding = module.padding
        if module.padding_mode != "zeros":
            x, mode = need_value(input), module.padding_mode
            importing.check_spatial(x, rank, "convolution")
            around = ((0, 0), *_padding(padding, module.kernel_size, module.dilation))
            input = importing.pad_with_elements(site, x, around, mode, "padded")
            padding = 0
        return convolution(rank)(
            site, input, module.weight, module.bias, module.stride, padding, module.dilation,
            module.groups,
        )  # fmt: skip

    return convert


def _transposed_module(rank: int) -> ModuleConverter:
    return lambda site, module, input: transposed_convolution(rank)(
        site, input, module.weight, module.bias, module.stride, module.padding,
        module.output_padding, module.groups, module.dilation,
    )  # fmt: skip


def _linear_module(site: TorchSite, module: Any, input: Any) -> Result:
    return linear(site, input, module.weight, module.bias)


def _batch_norm_module(site: TorchSite, module: Any, input: Any) -> Result:
    return batch_norm(
        site, input, module.running_mean, module.running_var, module.weight, module.bias,
        module.training, eps=module.eps,
    )  # fmt: skip


FUNCTIONS: Converters = converters(
    (convolution(1), (F.conv1d,)),
    (convolution(2), (F.conv2d,)),
    (transposed_convolution(1), (F.conv_transpose1d,)),
    (transposed_convolution(2), (F.conv_transpose2d,)),
    (linear, (F.linear,)),
    (product, (operator.matmul, torch.matmul, torch.mm)),
    (affine, (torch.addmm,)),
    (batch_norm, (F.batch_norm,)),
)
METHODS: Converters = converters((product, ("matmul", "mm", "__matmul__")))
MODULES: ModuleConverters = {
    nn.Conv1d: _conv_module(1),
    nn.Conv2d: _conv_module(2),
    nn.ConvTranspose1d: _transposed_module(1),
    nn.ConvTranspose2d: _transposed_module(2),
    nn.Linear: _linear_module,
    nn.BatchNorm1d: _batch_norm_module,
    nn.BatchNorm2d: _batch_norm_module,
}
