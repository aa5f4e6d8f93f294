"""Layers with weights: convolution, linear, batch normalisation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from snnc.frontends.importing.rearrange import pad, permute, spread
from snnc.frontends.importing.site import Constant, ImportSite, RefusedError, Value
from snnc.frontends.importing.windows import Pairs
from snnc.ir import BatchNorm, Conv, Linear


def conv(
    site: ImportSite,
    x: Value,
    weight: Constant,
    bias: Constant | None = None,
    *,
    stride: tuple[int, ...],
    padding: Pairs,
    dilation: tuple[int, ...],
    groups: int = 1,
) -> Value:
    """A convolution of any rank; equation and shapes as of `snnc.ir.Conv`.

    Args:
        stride, dilation: one number per spatial axis.
        padding: zeros (before, after) per spatial axis.
    """
    check_spatial(x, len(stride), "convolution")
    op = Conv(
        weight=site.param(weight, "weight"),
        bias=site.optional_param(bias, "bias"),
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
    )
    return site.emit(op, [x])


def transposed_conv(
    site: ImportSite,
    x: Value,
    weight: Constant,
    bias: Constant | None = None,
    *,
    stride: tuple[int, ...],
    padding: Pairs,
    output_padding: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int = 1,
) -> Value:
    """A transposed convolution: a convolution of the input with zeros between its positions.

    Args:
        weight: (C_in, C_out / groups, *kernel); stored as that of the convolution.
        stride, dilation: one number per spatial axis.
        padding: what is cut off (before, after) per spatial axis.
        output_padding: how much longer the result is, per spatial axis.
    """
    check_spatial(x, len(stride), "convolution")
    spread_out = spread(site, x, stride)
    added = [
        (d * (k - 1) - before, d * (k - 1) - after + more - (step - 1))
        for k, d, (before, after), more, step in zip(
            weight.shape[2:], dilation, padding, output_padding, stride, strict=True
        )
    ]
    cut = pad(site, spread_out, ((0, 0), *((min(a, 0), min(b, 0)) for a, b in added)))
    return conv(
        site,
        cut,
        Constant(_of_convolution(weight.array, groups)),
        bias,
        stride=(1,) * len(stride),
        padding=tuple((max(a, 0), max(b, 0)) for a, b in added),
        dilation=dilation,
        groups=groups,
    )


def _of_convolution(weight: NDArray[np.float32], groups: int) -> NDArray[np.float32]:
    """(C_in, C_out / groups, *kernel) as (C_out, C_in / groups, *kernel), kernels turned around."""
    inputs, outputs, *kernel = weight.shape
    grouped = weight.reshape(groups, inputs // groups, outputs, *kernel).swapaxes(1, 2)
    swapped = grouped.reshape(groups * outputs, inputs // groups, *kernel)
    return np.ascontiguousarray(np.flip(swapped, tuple(range(2, swapped.ndim))))


def linear(site: ImportSite, x: Value, weight: Constant, bias: Constant | None = None) -> Value:
    """y = weight x + bias along the last axis of a sample; weight: (F_out, F_in).

    At several positions it is a convolution of kernel 1, whose channels are the features. Raises
    `RefusedError` for more than two axes of positions.
    """
    axes = range(1, len(x.shape))
    front = permute(site, x, (0, len(x.shape), *axes), "channels_first")
    y = pointwise(site, front, weight, bias)
    return permute(site, y, (0, *(axis + 1 for axis in axes), 1), "channels_last")


def pointwise(site: ImportSite, x: Value, weight: Constant, bias: Constant | None = None) -> Value:
    """`linear` along the first axis of a sample, the channels."""
    rank = len(x.shape) - 1
    if rank > 2:
        raise RefusedError(
            f"it is applied at the positions of {rank} axes, of a sample of {rank + 1}",
            "reshape the sample to at most two axes of positions before it",
        )
    if not rank:
        ref = site.param(weight, "weight")
        return site.emit(Linear(weight=ref, bias=site.optional_param(bias, "bias")), [x])
    kernel = Constant(weight.array.reshape(*weight.shape, *(1,) * rank), weight.name)
    return conv(
        site, x, kernel, bias,
        stride=(1,) * rank, padding=((0, 0),) * rank, dilation=(1,) * rank,
    )  # fmt: skip


def batch_norm(
    site: ImportSite,
    x: Value,
    mean: Constant,
    variance: Constant,
    weight: Constant | None = None,
    bias: Constant | None = None,
    *,
    eps: float = 1e-5,
) -> Value:
    """Batch normalisation with running statistics; every array (C,)."""
    op = BatchNorm(
        mean=site.param(mean, "running_mean"),
        variance=site.param(variance, "running_var"),
        weight=site.optional_param(weight, "weight"),
        bias=site.optional_param(bias, "bias"),
        eps=eps,
    )
    return site.emit(op, [x])


def check_spatial(x: Value, rank: int, what: str) -> None:
    """Raise `RefusedError` unless a sample is channels and `rank` spatial axes."""
    if len(x.shape) != rank + 1:
        raise RefusedError(
            f"a {rank}-d {what} of a sample of shape {x.shape}", "keep the channel axis"
        )
