"""The reference meaning of every op without state, in plain torch.

Each function takes the op, its inputs with one batch axis `(B, *shape)` and a reader of parameters.
In float64 it is exact for integers. `evaluate` folds all leading axes (time, batch) into one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from snnc.errors import GraphError
from snnc.ir import (
    Add,
    AvgPool,
    BatchNorm,
    Conv,
    Identity,
    Linear,
    Maximum,
    Op,
    Rearrange,
    Ref,
    Relu,
    Scale,
    Shape,
    SumPool,
    Windows,
)
from snnc.memory import COLUMN_BYTES, rows_that_fit

Constant = Callable[[Ref | float], Tensor]
Meaning = Callable[[Any, Sequence[Tensor], Constant], Tensor]
CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


def for_sample(parameter: Tensor, shape: Sequence[int]) -> Tensor:
    """Shape a scalar, (C,) or full-shape parameter so that it broadcasts against a sample."""
    if parameter.ndim == 0 or parameter.shape == tuple(shape):
        return parameter
    return parameter.reshape(-1, *(1,) * (len(shape) - 1))


def evaluate(
    op: Op,
    inputs: Sequence[Tensor],
    rank: int,
    constant: Constant,
    meaning: Meaning | None = None,
) -> Tensor:
    """Result of a stateless op.

    Args:
        op: any op that needs neither state nor a number of time steps.
        inputs: (*lead, *sample) with any number of leading axes, `rank` axes of the sample.
        rank: number of axes of one sample of the inputs.
        constant: returns a parameter as a tensor.
        meaning: the implementation; None for the one in `MEANINGS`.

    Raises:
        GraphError: the op is not in `MEANINGS`.
    """
    meaning = meaning or meaning_of(op)
    if meaning is None:
        raise GraphError(f"{op.mnemonic} is not a stateless operation")
    lead = np.broadcast_shapes(*(x.shape[: x.ndim - rank] for x in inputs))
    flat = [_folded(x, lead, rank) for x in inputs]
    y = meaning(op, flat, constant)
    return y.reshape(*lead, *y.shape[1:])


def meaning_of(op: Op, table: Mapping[type[Op], Meaning] | None = None) -> Meaning | None:
    """The entry of an op's class or of its nearest base class; None if there is none."""
    entries = MEANINGS if table is None else table
    return next((entries[base] for base in type(op).__mro__ if base in entries), None)


def _folded(x: Tensor, lead: Sequence[int], rank: int) -> Tensor:
    sample = x.shape[x.ndim - rank :]
    return x.expand(*lead, *sample).reshape(prod(lead), *sample)


def _add(op: Add, inputs: Sequence[Tensor], constant: Constant) -> Tensor:
    total = inputs[0]
    for x in inputs[1:]:
        total = total + x
    return total


def _conv(op: Conv, inputs: Sequence[Tensor], constant: Constant) -> Tensor:
    weight = constant(op.weight)
    x, padding = padded(op, inputs[0])
    positions = prod(n // s + 1 for n, s in zip(x.shape[2:], op.stride, strict=True))
    columns = x.shape[1] * prod(weight.shape[2:]) * positions * x.element_size()
    rest = (op.stride, padding, op.dilation, op.groups)
    convolve: Callable[..., Tensor] = CONVOLUTIONS[len(op.stride)]
    done = [convolve(p, weight, None, *rest) for p in x.split(rows_that_fit(COLUMN_BYTES, columns))]
    return _biased(done[0] if len(done) == 1 else torch.cat(done), op.bias, constant)


def padded(op: Conv, x: Tensor) -> tuple[Tensor, list[int]]:
    """The input, padded where it is asymmetric, and the padding left to torch's convolution."""
    if all(before == after for before, after in op.padding):
        return x, [before for before, _ in op.padding]
    return F.pad(x, [n for pair in reversed(op.padding) for n in pair]), [0] * len(op.padding)


def _biased(y: Tensor, bias: Ref | None, constant: Constant) -> Tensor:
    return y if bias is None else y + for_sample(constant(bias), y.shape[1:])


def _linear(op: Linear, inputs: Sequence[Tensor], constant: Constant) -> Tensor:
    return _biased(F.linear(inputs[0], constant(op.weight)), op.bias, constant)


def _batchnorm(op: BatchNorm, inputs: Sequence[Tensor], constant: Constant) -> Tensor:
    weight = None if op.weight is None else constant(op.weight)
    bias = None if op.bias is None else constant(op.bias)
    mean, variance = constant(op.mean), constant(op.variance)
    return F.batch_norm(inputs[0], mean, variance, weight, bias, False, 0.0, op.eps)


def _relu(op: Relu, inputs: Sequence[Tensor], constant: Constant) -> Tensor:
    if op.upper is None:
        return torch.relu(inputs[0])
    upper = for_sample(constant(op.upper), inputs[0].shape[1:])
    y = torch.minimum(torch.relu(inputs[0]), upper)
    return y if op.levels is None else _rounded(y, upper, op.levels)


def _identity(op: Identity, inputs: Sequence[Tensor], constant: Constant) -> Tensor:
    return inputs[0]


def _rounded(y: Tensor, upper: Tensor, levels: int) -> Tensor:
    """`y`, in 0..upper, rounded to multiples of upper / levels; the gradient is that of `y`."""
    value = torch.floor(y / upper * levels + 0.5) / levels * upper
    return y + (value - y).detach() if y.requires_grad else value


def _scale(op: Scale, inputs: Sequence[Tensor], constant: Constant) -> Tensor:
    (x,) = inputs
    return _biased(x * for_sample(constant(op.factor), x.shape[1:]), op.bias, constant)


def axis_sums(x: Tensor, windows: Any, weights: Any) -> Tensor:
    """Weighted sums over separable windows: each spatial axis times a 0/w matrix."""
    for axis, factors in zip(windows, weights, strict=True):
        matrix = x.new_zeros(len(axis), x.shape[2])
        for i, ((start, stop), factor) in enumerate(zip(axis, factors, strict=True)):
            matrix[i, start:stop] = factor
        x = x.movedim(2, -1) @ matrix.T  # each axis moves to the end, so the order is restored
    return x


def averages(op: AvgPool, sums: Tensor) -> Tensor:
    """Sums over the windows of an average pool, each divided by its divisor."""
    for i, divisors in enumerate(op.divisors):
        behind = (1,) * (len(op.divisors) - 1 - i)
        sums = sums / sums.new_tensor(divisors).reshape(-1, *behind)
    return sums


def _sumpool(op: SumPool, inputs: Sequence[Tensor], constant: Constant) -> Tensor:
    return axis_sums(inputs[0], op.windows, op.multiplicities())


def _avgpool(op: AvgPool, inputs: Sequence[Tensor], constant: Constant) -> Tensor:
    return averages(op, axis_sums(inputs[0], op.windows, [(1,) * len(a) for a in op.windows]))


def _maximum(op: Maximum, inputs: Sequence[Tensor], constant: Constant) -> Tensor:
    return largest(op.windows, inputs[0])


def largest(windows: Windows, x: Tensor) -> Tensor:
    """The largest of every window of x (B, C, *spatial)."""
    for i, axis in enumerate(windows, start=2):
        longest = max(stop - start for start, stop in axis)
        reach = [[min(start + j, stop - 1) for start, stop in axis] for j in range(longest)]
        index = torch.tensor(reach, device=x.device)
        y = x.index_select(i, index[0])
        for row in index[1:]:
            y = torch.maximum(y, x.index_select(i, row))
        x = y
    return x


@dataclass(frozen=True)
class Gather:
    """A `Rearrange` for inputs of certain shapes, as indices.

    Attributes:
        shape: of one sample of the result.
        positions: (elements of the result,) indices into the concatenated, flattened inputs; None
            for the identity.
        blank: (elements of the result,) true where the result is zero; None if nowhere.
    """

    shape: tuple[int, ...]
    positions: Tensor | None
    blank: Tensor | None

    @classmethod
    def of(cls, op: Rearrange, shapes: Sequence[Shape], device: torch.device) -> Gather:
        """The indices of `op` for inputs whose samples have these shapes."""
        positions = op.positions(shapes)
        flat = positions.reshape(-1)
        if np.array_equal(flat, np.arange(sum(map(prod, shapes)))):
            return cls(positions.shape, None, None)
        chosen = torch.from_numpy(np.maximum(flat, 0)).to(device)
        blank = torch.from_numpy(flat < 0).to(device) if np.any(flat < 0) else None
        return cls(positions.shape, chosen, blank)

    def __call__(self, op: Rearrange, inputs: Sequence[Tensor], constant: Constant) -> Tensor:
        """The result (B, *shape)."""
        ends = [x.reshape(len(x), -1) for x in inputs]
        y = ends[0] if len(ends) == 1 else torch.cat(ends, 1)
        if self.positions is not None:
            y = y.index_select(1, self.positions)
        if self.blank is not None:
            y = y.masked_fill(self.blank, 0)
        return y.reshape(len(y), *self.shape)


def _rearrange(op: Rearrange, inputs: Sequence[Tensor], constant: Constant) -> Tensor:
    shapes = [tuple(x.shape[1:]) for x in inputs]
    return Gather.of(op, shapes, inputs[0].device)(op, inputs, constant)


MEANINGS: Mapping[type[Op], Meaning] = MappingProxyType(
    {
        Add: _add,
        Conv: _conv,
        Linear: _linear,
        BatchNorm: _batchnorm,
        Relu: _relu,
        Identity: _identity,
        Scale: _scale,
        SumPool: _sumpool,
        AvgPool: _avgpool,
        Maximum: _maximum,
        Rearrange: _rearrange,
    }
)
"""The implementation of every stateless op, by its class or a base class."""
