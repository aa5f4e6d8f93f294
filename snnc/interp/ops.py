"""The meaning of every op without state, in torch.

Each function takes the op, its inputs with one batch axis `(B, *shape)` and a reader of parameters,
and is exact for integers in float64 and differentiable in float32. `evaluate` folds all leading
axes (time, batch) into one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from snnc.errors import GraphError
from snnc.ir import (
    Add,
    AvgPool,
    BatchNorm,
    Concat,
    Conv,
    Linear,
    MaxPool,
    Op,
    Pad,
    Permute,
    Ref,
    Relu,
    Reshape,
    Scale,
    Slice,
    SumPool,
)

Constant = Callable[[Ref | float], Tensor]
CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
COLUMN_BYTES = 1 << 26
"""Unfolded columns of a float64 convolution held at a time (torch keeps those of a whole batch)."""


def for_sample(parameter: Tensor, shape: Sequence[int]) -> Tensor:
    """Shape a scalar, (C,) or full-shape parameter so that it broadcasts against a sample."""
    if parameter.ndim == 0 or parameter.shape == tuple(shape):
        return parameter
    return parameter.reshape(-1, *(1,) * (len(shape) - 1))


def evaluate(op: Op, inputs: Sequence[Tensor], rank: int, constant: Constant) -> Tensor:
    """Result of a stateless op.

    Args:
        op: any op but Input, Encode, Neuron and Readout.
        inputs: (*lead, *sample) with any number of leading axes, `rank` axes of the sample.
        rank: number of axes of one sample of the inputs.
        constant: gives the tensor behind a parameter.

    Raises:
        GraphError: the op has no meaning here.
    """
    if isinstance(op, Add):
        return _add(inputs)
    if isinstance(op, Concat):
        return _concat(op, inputs, rank)
    kernel = KERNELS.get(type(op))
    if kernel is None:
        raise GraphError(f"{op.mnemonic} is not a stateless operation")
    (x,) = inputs
    lead = x.shape[: x.ndim - rank]
    y = kernel(op, x.reshape(prod(lead), *x.shape[x.ndim - rank :]), constant)
    return y.reshape(*lead, *y.shape[1:])


def _add(inputs: Sequence[Tensor]) -> Tensor:
    total = inputs[0]
    for x in inputs[1:]:
        total = total + x
    return total


def _concat(op: Concat, inputs: Sequence[Tensor], rank: int) -> Tensor:
    lead = torch.broadcast_shapes(*(x.shape[: x.ndim - rank] for x in inputs))
    return torch.cat([x.expand(*lead, *x.shape[x.ndim - rank :]) for x in inputs], op.axis - rank)


def _conv(op: Conv, x: Tensor, constant: Constant) -> Tensor:
    weight = constant(op.weight)
    convolve: Callable[..., Tensor] = CONVOLUTIONS[len(op.stride)]
    if all(before == after for before, after in op.padding):
        padding: Sequence[int] = [before for before, _ in op.padding]
    else:
        x = F.pad(x, _torch_padding(op.padding))
        padding = [0] * len(op.padding)
    rest = (op.stride, padding, op.dilation, op.groups)
    if x.dtype != torch.float64:
        inside, outside = _divided(op.bias, constant)
        return _biased(convolve(x, weight, inside, *rest), outside, constant)
    done = [convolve(p, weight, None, *rest) for p in x.split(_rows_at_once(op, x, weight))]
    return _biased(done[0] if len(done) == 1 else torch.cat(done), op.bias, constant)


def _rows_at_once(op: Conv, x: Tensor, weight: Tensor) -> int:
    positions = prod(n // s + 1 for n, s in zip(x.shape[2:], op.stride, strict=True))
    columns = x.shape[1] * prod(weight.shape[2:]) * positions * x.element_size()
    return max(1, COLUMN_BYTES // columns)


def _torch_padding(padding: Sequence[tuple[int, int]]) -> list[int]:
    return [amount for pair in reversed(padding) for amount in pair]


def _biased(y: Tensor, bias: Ref | None, constant: Constant) -> Tensor:
    return y if bias is None else y + for_sample(constant(bias), y.shape[1:]).to(y.dtype)


def _divided(bias: Ref | None, constant: Constant) -> tuple[Tensor | None, Ref | None]:
    """A bias that torch's layer can add by itself (one number per channel), or one to add behind.

    In float64 it is always added behind: there a sum is made in the same order everywhere.
    """
    if bias is None or constant(bias).ndim != 1:
        return None, bias
    return constant(bias), None


def _linear(op: Linear, x: Tensor, constant: Constant) -> Tensor:
    if x.dtype != torch.float64:
        inside, outside = _divided(op.bias, constant)
        return _biased(F.linear(x, constant(op.weight), inside), outside, constant)
    return _biased(F.linear(x, constant(op.weight)), op.bias, constant)


def _batchnorm(op: BatchNorm, x: Tensor, constant: Constant) -> Tensor:
    weight = None if op.weight is None else constant(op.weight)
    bias = None if op.bias is None else constant(op.bias)
    mean, variance = constant(op.mean), constant(op.variance)
    return F.batch_norm(x, mean, variance, weight, bias, False, 0.0, op.eps)


def _relu(op: Relu, x: Tensor, constant: Constant) -> Tensor:
    return torch.relu(x)


def _scale(op: Scale, x: Tensor, constant: Constant) -> Tensor:
    factor = for_sample(constant(op.factor), x.shape[1:]).to(x.dtype)
    return _biased(x * factor, op.bias, constant)


def _axis_sums(x: Tensor, windows: Any, weights: Any) -> Tensor:
    """Weighted sums over separable windows: each spatial axis times a 0/w matrix.

    Where torch has an operation for them, it is taken, but in float64: there a sum is always made
    in the same order.
    """
    plain = all(factor == 1 for axis in weights for factor in axis)
    if plain and x.dtype != torch.float64 and (regular := _regular(windows, x.shape[2:])):
        extents, strides = regular
        tiled = extents == strides and all(
            n % k == 0 for n, k in zip(x.shape[2:], extents, strict=True)
        )
        return _TileSums.apply(x, extents) if tiled else _window_sums(x, extents, strides)
    for axis, factors in zip(windows, weights, strict=True):
        matrix = x.new_zeros(len(axis), x.shape[2])
        for i, ((start, stop), factor) in enumerate(zip(axis, factors, strict=True)):
            matrix[i, start:stop] = factor
        x = x.movedim(2, -1) @ matrix.T  # the new axis is last: after all, the order is the old one
    return x


def _window_sums(x: Tensor, extents: list[int], strides: list[int]) -> Tensor:
    return F.avg_pool2d(x, extents, strides, divisor_override=1)


class _TileSums(torch.autograd.Function):
    """Sums over windows that tile the image. The gradient is the nearest neighbour's.

    In channels_last torch enlarges an image much faster than it takes pooling back.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, extents: list[int]) -> Tensor:
        ctx.extents = [float(extent) for extent in extents]
        ctx.last = not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)
        return _window_sums(x, extents, extents)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        grad = grads[0]
        if ctx.last:  # `contiguous` would leave an image of one pixel as it is
            laid = torch.empty_like(grad, memory_format=torch.channels_last)
            grad = grad if grad.stride() == laid.stride() else laid.copy_(grad)
        return F.interpolate(grad, scale_factor=ctx.extents, mode="nearest"), None


def _regular(windows: Any, sizes: Sequence[int]) -> tuple[list[int], list[int]] | None:
    """Extent and stride of windows over two axes if they are all alike and none is clipped."""
    if len(windows) != 2:
        return None
    extents = [axis[0][1] - axis[0][0] for axis in windows]
    strides = [axis[1][0] - axis[0][0] if len(axis) > 1 else axis[0][1] for axis in windows]
    for axis, size, extent, stride in zip(windows, sizes, extents, strides, strict=True):
        starts = range(0, size - extent + 1, max(1, stride))
        if tuple(axis) != tuple((start, start + extent) for start in starts):
            return None
    return extents, strides


def _sumpool(op: SumPool, x: Tensor, constant: Constant) -> Tensor:
    return _axis_sums(x, op.windows, op.multiplicities())


def _avgpool(op: AvgPool, x: Tensor, constant: Constant) -> Tensor:
    sums = _axis_sums(x, op.windows, [(1,) * len(axis) for axis in op.windows])
    for i, divisors in enumerate(op.divisors):
        behind = (1,) * (len(op.divisors) - 1 - i)
        sums = sums / sums.new_tensor(divisors).reshape(-1, *behind)
    return sums


def _maxpool(op: MaxPool, x: Tensor, constant: Constant) -> Tensor:
    for i, axis in enumerate(op.windows, start=2):
        longest = max(stop - start for start, stop in axis)
        reach = [[min(start + j, stop - 1) for start, stop in axis] for j in range(longest)]
        index = torch.tensor(reach, device=x.device)
        y = x.index_select(i, index[0])
        for row in index[1:]:
            y = torch.maximum(y, x.index_select(i, row))
        x = y
    return x


def _reshape(op: Reshape, x: Tensor, constant: Constant) -> Tensor:
    return x.reshape(len(x), *op.shape)


def _permute(op: Permute, x: Tensor, constant: Constant) -> Tensor:
    return x.permute(0, *(axis + 1 for axis in op.axes))


def _slice(op: Slice, x: Tensor, constant: Constant) -> Tensor:
    return x[(slice(None), *op.slices())]


def _pad(op: Pad, x: Tensor, constant: Constant) -> Tensor:
    return F.pad(x, _torch_padding(op.padding))


KERNELS: Mapping[type[Op], Callable[[Any, Tensor, Constant], Tensor]] = {
    Conv: _conv,
    Linear: _linear,
    BatchNorm: _batchnorm,
    Relu: _relu,
    Scale: _scale,
    SumPool: _sumpool,
    AvgPool: _avgpool,
    MaxPool: _maxpool,
    Reshape: _reshape,
    Permute: _permute,
    Slice: _slice,
    Pad: _pad,
}
