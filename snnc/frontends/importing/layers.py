"""Layers with weights: convolution, linear, batch normalisation."""

from __future__ import annotations

from snnc.frontends.importing.site import Constant, ImportSite, RefusedError, Value
from snnc.ir import BatchNorm, Conv, Linear

Pairs = tuple[tuple[int, int], ...]


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


def linear(site: ImportSite, x: Value, weight: Constant, bias: Constant | None = None) -> Value:
    """y = weight x + bias, of one feature vector per sample; weight: (F_out, F_in)."""
    if len(x.shape) != 1:
        raise RefusedError(
            f"it is applied along the last axis of a sample of shape {x.shape}",
            "flatten the sample before it, or use a 1x1 convolution",
        )
    ref = site.param(weight, "weight")
    return site.emit(Linear(weight=ref, bias=site.optional_param(bias, "bias")), [x])


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
