"""Ops in float32 and bfloat16 by torch's own layers, in any memory format."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from snnc.interp import for_sample
from snnc.interp.ops import (
    CONVOLUTIONS,
    Constant,
    Meaning,
    averages,
    axis_sums,
    largest,
    padded,
)
from snnc.ir import (
    Add,
    AvgPool,
    Concat,
    Conv,
    Linear,
    Maximum,
    Op,
    Pad,
    Permute,
    Ref,
    Reshape,
    Scale,
    Slice,
    SumPool,
    Windows,
)


def _conv(op: Conv, inputs: Sequence[Tensor], constant: Constant) -> Tensor:
    x, padding = padded(op, inputs[0])
    inside, outside = _divided(op.bias, constant)
    rest = (op.stride, padding, op.dilation, op.groups)
    convolve: Callable[..., Tensor] = CONVOLUTIONS[len(op.stride)]
    return _biased(convolve(x, constant(op.weight), inside, *rest), outside, constant)


def _linear(op: Linear, inputs: Sequence[Tensor], constant: Constant) -> Tensor:
    inside, outside = _divided(op.bias, constant)
    return _biased(F.linear(inputs[0], constant(op.weight), inside), outside, constant)


def _divided(bias: Ref | None, constant: Constant) -> tuple[Tensor | None, Ref | None]:
    """(bias for torch's own layer, bias to add afterwards): torch's takes one per channel."""
    if bias is None or constant(bias).ndim != 1:
        return None, bias
    return constant(bias), None


def _biased(y: Tensor, bias: Ref | None, constant: Constant) -> Tensor:
    return y if bias is None else y + for_sample(constant(bias), y.shape[1:]).to(y.dtype)


def _scale(op: Scale, inputs: Sequence[Tensor], constant: Constant) -> Tensor:
    (x,) = inputs
    factor = for_sample(constant(op.factor), x.shape[1:]).to(x.dtype)
    return _biased(x * factor, op.bias, constant)


def _sumpool(op: SumPool, inputs: Sequence[Tensor], constant: Constant) -> Tensor:
    weights = op.multiplicities()
    if all(factor == 1 for axis in weights for factor in axis):
        return _window_sums(inputs[0], op.windows)
    return axis_sums(inputs[0], op.windows, weights)


def _avgpool(op: AvgPool, inputs: Sequence[Tensor], constant: Constant) -> Tensor:
    return averages(op, _window_sums(inputs[0], op.windows))


def _window_sums(x: Tensor, windows: Any) -> Tensor:
    """Sums over the windows, by torch's pooling where they are regular."""
    regular = _regular(windows, x.shape[2:])
    if regular is None:
        return axis_sums(x, windows, [(1,) * len(axis) for axis in windows])
    extents, strides = regular
    tiled = extents == strides and all(
        n % k == 0 for n, k in zip(x.shape[2:], extents, strict=True)
    )
    return _TileSums.apply(x, extents) if tiled else _pooled(x, extents, strides)


def _maximum(op: Maximum, inputs: Sequence[Tensor], constant: Constant) -> Tensor:
    return maxima(op.windows, inputs[0])


def maxima(windows: Windows, x: Tensor) -> Tensor:
    """The largest of every window of x (B, C, *spatial), by torch's pooling where regular."""
    regular = _regular(windows, x.shape[2:])
    return largest(windows, x) if regular is None else F.max_pool2d(x, *regular)


def _pooled(x: Tensor, extents: list[int], strides: list[int]) -> Tensor:
    return F.avg_pool2d(x, extents, strides, divisor_override=1)


class _TileSums(torch.autograd.Function):
    """Sums over windows that tile the image; the gradient is nearest-neighbour upsampling.

    In channels_last, torch upsamples much faster than it differentiates pooling.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, extents: list[int]) -> Tensor:
        ctx.extents = [float(extent) for extent in extents]
        ctx.last = not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)
        return _pooled(x, extents, extents)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        grad = grads[0]
        if ctx.last:  # `contiguous` would leave an image of one pixel as it is
            laid = torch.empty_like(grad, memory_format=torch.channels_last)
            grad = grad if grad.stride() == laid.stride() else laid.copy_(grad)
        return F.interpolate(grad, scale_factor=ctx.extents, mode="nearest"), None


def _regular(windows: Any, sizes: Sequence[int]) -> tuple[list[int], list[int]] | None:
    """Extents and strides of windows over two axes if all are equal and none is clipped."""
    if len(windows) != 2:
        return None
    extents = [axis[0][1] - axis[0][0] for axis in windows]
    strides = [axis[1][0] - axis[0][0] if len(axis) > 1 else axis[0][1] for axis in windows]
    for axis, size, extent, stride in zip(windows, sizes, extents, strides, strict=True):
        starts = range(0, size - extent + 1, max(1, stride))
        if tuple(axis) != tuple((start, start + extent) for start in starts):
            return None
    return extents, strides


def _reshape(op: Reshape, inputs: Sequence[Tensor], constant: Constant) -> Tensor:
    return inputs[0].reshape(len(inputs[0]), *op.shape)


def _permute(op: Permute, inputs: Sequence[Tensor], constant: Constant) -> Tensor:
    return inputs[0].permute(0, *(axis + 1 for axis in op.axes))


def _slice(op: Slice, inputs: Sequence[Tensor], constant: Constant) -> Tensor:
    turned = [axis for axis, step in enumerate(op.steps, start=1) if step < 0]
    ranges = (range(*bounds) for bounds in zip(op.starts, op.stops, op.steps, strict=True))
    forward = (r if r.step > 0 else r[::-1] for r in ranges)  # torch has no negative steps
    y = inputs[0][(slice(None), *(slice(r.start, r.stop, r.step) for r in forward))]
    return y.flip(turned) if turned else y


def _pad(op: Pad, inputs: Sequence[Tensor], constant: Constant) -> Tensor:
    return F.pad(inputs[0], [n for pair in reversed(op.padding) for n in pair])


def _add(op: Add, inputs: Sequence[Tensor], rank: int) -> Tensor:
    total = inputs[0]
    for x in inputs[1:]:
        total = total + x
    return total


def _concat(op: Concat, inputs: Sequence[Tensor], rank: int) -> Tensor:
    lead = np.broadcast_shapes(*(x.shape[: x.ndim - rank] for x in inputs))
    return torch.cat([x.expand(*lead, *x.shape[x.ndim - rank :]) for x in inputs], op.axis - rank)


FAST: Mapping[type[Op], Meaning] = MappingProxyType(
    {
        Conv: _conv,
        Linear: _linear,
        Scale: _scale,
        SumPool: _sumpool,
        AvgPool: _avgpool,
        Maximum: _maximum,
        Reshape: _reshape,
        Permute: _permute,
        Slice: _slice,
        Pad: _pad,
    }
)
"""Faster implementations; ops that are not listed are computed as in `snnc.interp`."""
WITH_LEADING_AXES: Mapping[type[Op], Callable[[Any, Sequence[Tensor], int], Tensor]] = (
    MappingProxyType({Add: _add, Concat: _concat})
)
"""The same for ops of several inputs, each of which may be constant in time; the last argument is
the number of axes of a sample."""
