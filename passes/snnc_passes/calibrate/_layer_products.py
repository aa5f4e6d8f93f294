"""The products of a layer's inputs that a least-squares fit of its weights takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv2d_weight

from snnc.interp import for_sample
from snnc.interp.ops import padded
from snnc.ir import Conv, Linear

STRIP = 256
"""Columns of a Gram matrix computed together; what lies below the diagonal is not computed."""
MOST = 127
"""Largest count of a Gram matrix of bytes."""
MOST_ROWS = (2**31 - 1) // MOST**2
"""Largest number of their rows: sums of 32 bits hold the products."""
BYTE_ROWS = 1 << 12
"""Rows of bytes multiplied together, which is faster than all of them."""


@dataclass(frozen=True)
class LayerProducts:
    """The inputs of a layer as a matrix with one row per output position, never stored as such.

    Its K columns are in the order of the weights of one output channel.

    Attributes:
        op: the layer; a `Conv` of images without groups, or a `Linear`.
        kernel: shape of the weights of one output channel: (F,) or (C, kh, kw).
        unit: (F,) or (C,) what the inputs are whole multiples of, `MOST` times at most; their Gram
            matrix is then one of bytes, and exact. None for real inputs, more than `MOST_ROWS`
            rows, and where parts have weights.
    """

    op: Conv | Linear
    kernel: Sequence[int]
    unit: Tensor | None = None

    def thinned(self, every: int) -> LayerProducts:
        """The same layer at every `every`-th position along each axis, for the x of `window`."""
        if isinstance(self.op, Linear) or every == 1:
            return self
        stride = tuple(every * each for each in self.op.stride)
        none = tuple((0, 0) for _ in self.op.padding)
        return replace(self, op=replace(self.op, stride=stride, padding=none))

    def window(self, x: Tensor, first: tuple[int, int]) -> Tensor:
        """The input (n, C, H, W) padded, from the first position that `thinned` takes."""
        assert isinstance(self.op, Conv)
        x = F.pad(x, [n for pair in reversed(self.op.padding) for n in pair])
        down, right = (a * stride for a, stride in zip(first, self.op.stride, strict=True))
        return x[:, :, down:, right:].contiguous(memory_format=torch.channels_last)

    def applied(self, x: Tensor, weight: Tensor) -> Tensor:
        """(n, C', *rest) the matrix of the inputs x (n, *shape) times weights (C', K)."""
        if isinstance(self.op, Linear):
            return F.linear(x, weight)
        x, padding = padded(self.op, x)
        weight = weight.reshape(-1, *self.kernel)
        return F.conv2d(x, weight, None, self.op.stride, padding, self.op.dilation)

    def transposed(self, x: Tensor, error: Tensor) -> Tensor:
        """(C', K) the products of errors (n, C', *rest) and of the matrix of x (n, *shape)."""
        if isinstance(self.op, Linear):
            return error.T @ x
        x, padding = padded(self.op, x)
        shape = (error.shape[1], *self.kernel)
        rest: Any = (self.op.stride, padding, self.op.dilation)
        return conv2d_weight(x, shape, error, *rest).flatten(1)

    def gram(self, inputs: Iterable[tuple[Tensor, float]]) -> Tensor:
        """(K+1, K+1) Gram matrix, in float64 on the CPU, of the inputs and a column of 1.

        Args:
            inputs: x (n, *shape) of some samples, and the weight of their products.
        """
        size = prod(self.kernel) + 1
        gram = torch.zeros(size, size, dtype=torch.float64 if self.unit is None else torch.int32)
        for x, weight in inputs:
            if self.unit is None:
                _add_upper(gram, self._rows(x), weight)
            else:
                counts = (x / for_sample(self.unit, x.shape[1:])).round_().to(torch.int8)
                _add_upper_bytes(gram, self._rows(counts))
        gram = gram.double().triu_()
        gram += gram.triu(1).T
        gram = self._in_order(gram)
        if self.unit is not None:
            units = self.unit.double().repeat_interleave(prod(self.kernel[1:]))
            units = torch.cat([units, units.new_ones(1)])
            gram.mul_(units).mul_(units[:, None])
        return gram

    def _in_order(self, gram: Tensor) -> Tensor:
        """A Gram matrix of `_rows` and 1, in the order of weights."""
        if isinstance(self.op, Linear):
            return gram
        channels, *window = self.kernel
        count = len(gram) - 1
        order = torch.arange(count).reshape(*window, channels).movedim(-1, 0)
        order = torch.cat([order.flatten(), order.new_tensor([count])])
        return gram[order[:, None], order]

    def _rows(self, x: Tensor) -> Tensor:
        """(n * positions, K) for images (n, C, H, W), the channels of a pixel side by side."""
        op = self.op
        if isinstance(op, Linear):
            return x
        (top, bottom), (left, right) = op.padding
        channels, high, wide = self.kernel
        images = F.pad(x.permute(0, 2, 3, 1), (0, 0, left, right, top, bottom)).contiguous()
        n, height, width, _ = images.shape
        steps = images.stride()
        reach = [(side - 1) * d for side, d in zip((high, wide), op.dilation, strict=True)]
        across = [
            (size - r - 1) // stride + 1
            for size, r, stride in zip((height, width), reach, op.stride, strict=True)
        ]
        view = images.as_strided(
            (n, *across, high, wide, channels),
            (
                steps[0],
                steps[1] * op.stride[0],
                steps[2] * op.stride[1],
                steps[1] * op.dilation[0],
                steps[2] * op.dilation[1],
                1,
            ),
        )
        return view.reshape(-1, high * wide * channels)


def _add_upper(gram: Tensor, rows: Tensor, weight: float) -> None:
    """Add the products of rows (n, K) and a column of 1 to the upper triangle of `gram`."""
    count = rows.shape[1]
    for first in range(0, count, STRIP):
        strip = slice(first, min(first + STRIP, count))
        products = rows[:, strip].T @ rows[:, first:]
        gram[strip, first:count].add_(products.cpu(), alpha=weight)
    gram[:-1, -1] += rows.sum(0).mul(weight).cpu()
    gram[-1, -1] += float(len(rows)) * weight


def _add_upper_bytes(gram: Tensor, rows: Tensor) -> None:
    """The same of int8 in int32, which is exact.

    With the column of 1 a matrix has at least two columns: of a single one torch 2.13 gives wrong
    products.
    """
    for part in rows.split(BYTE_ROWS):
        some = F.pad(part, (0, 1), value=1)
        for first in range(0, len(gram), STRIP):
            strip = slice(first, first + STRIP)
            gram[strip, first:] += torch.ops.aten._int_mm(some[:, strip].T, some[:, first:])
