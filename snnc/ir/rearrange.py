"""Operations that move elements without changing their values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.ir.kinds import Rearrange
from snnc.ir.op import Op, require
from snnc.ir.types import Shape


@dataclass(frozen=True, kw_only=True)
class Reshape(Rearrange):
    """The same elements in another shape (row-major)."""

    mnemonic = "reshape"
    shape: tuple[int, ...]

    def result_shape(self, shapes: Sequence[Shape]) -> Shape:
        (x,) = shapes
        require(all(n > 0 for n in self.shape), f"a shape of {self.shape}")
        require(prod(self.shape) == prod(x), f"{x} does not reshape to {self.shape}")
        return self.shape

    def move(self, arrays: Sequence[NDArray[Any]], fill: float) -> NDArray[Any]:
        return arrays[0].reshape(self.shape)


@dataclass(frozen=True, kw_only=True)
class Permute(Rearrange):
    """y = x with its axes in the order `axes` (batch not counted)."""

    mnemonic = "permute"
    axes: tuple[int, ...]

    def result_shape(self, shapes: Sequence[Shape]) -> Shape:
        (x,) = shapes
        require(sorted(self.axes) == list(range(len(x))), f"{self.axes} of {x}")
        return tuple(x[a] for a in self.axes)

    def move(self, arrays: Sequence[NDArray[Any]], fill: float) -> NDArray[Any]:
        return arrays[0].transpose(self.axes)


@dataclass(frozen=True, kw_only=True)
class Slice(Rearrange):
    """y = x[start:stop:step] per axis (batch not counted).

    Bounds are resolved: they are those of `range`, so an axis of n elements is turned around by
    n - 1, -1, -1.
    """

    mnemonic = "slice"
    starts: tuple[int, ...]
    stops: tuple[int, ...]
    steps: tuple[int, ...]

    def result_shape(self, shapes: Sequence[Shape]) -> Shape:
        (x,) = shapes
        counts = {len(self.starts), len(self.stops), len(self.steps)}
        require(counts == {len(x)}, f"{len(self.starts)} axes of {x}")
        require(0 not in self.steps, "a step of 0")
        ranges = [range(*b) for b in zip(self.starts, self.stops, self.steps, strict=True)]
        inside = all(r and {r[0], r[-1]} <= set(range(n)) for r, n in zip(ranges, x, strict=True))
        require(inside, f"slice {self.slices()} outside {x}")
        return tuple(map(len, ranges))

    def slices(self) -> tuple[slice, ...]:
        """As Python slices, one per axis of the sample."""
        bounds = zip(self.starts, self.stops, self.steps, strict=True)
        return tuple(slice(start, None if stop < 0 else stop, step) for start, stop, step in bounds)

    def move(self, arrays: Sequence[NDArray[Any]], fill: float) -> NDArray[Any]:
        return arrays[0][self.slices()]


@dataclass(frozen=True, kw_only=True)
class Pad(Rearrange):
    """y = x with (before, after) zeros per axis (batch not counted): silence."""

    mnemonic = "pad"
    padding: tuple[tuple[int, int], ...]

    def result_shape(self, shapes: Sequence[Shape]) -> Shape:
        (x,) = shapes
        require(len(self.padding) == len(x), f"{len(self.padding)} axes of {x}")
        require(all(min(p) >= 0 for p in self.padding), "negative padding; use a slice")
        return tuple(n + sum(p) for n, p in zip(x, self.padding, strict=True))

    def move(self, arrays: Sequence[NDArray[Any]], fill: float) -> NDArray[Any]:
        return np.pad(arrays[0], self.padding, constant_values=fill)


@dataclass(frozen=True, kw_only=True)
class Concat(Rearrange):
    """The inputs concatenated along `axis` (batch not counted)."""

    mnemonic = "concat"
    arity = None
    before_encode = False
    axis: int = 0

    def result_shape(self, shapes: Sequence[Shape]) -> Shape:
        first, axis = shapes[0], self.axis
        require(0 <= axis < len(first), f"axis {axis} of {first}")
        rest = {x[:axis] + x[axis + 1 :] for x in shapes}
        require(len(rest) == 1, f"shapes {list(shapes)} differ beside the axis")
        return (*first[:axis], sum(x[axis] for x in shapes), *first[axis + 1 :])

    def move(self, arrays: Sequence[NDArray[Any]], fill: float) -> NDArray[Any]:
        return np.concatenate(arrays, axis=self.axis)


@dataclass(frozen=True, kw_only=True)
class Upsample(Rearrange):
    """y[c,i,j] = x[c, i // factors[0], j // factors[1]]: nearest neighbour.

    factors: how often an element is repeated, per spatial axis.
    """

    mnemonic = "upsample"
    factors: tuple[int, ...]

    def result_shape(self, shapes: Sequence[Shape]) -> Shape:
        (x,) = shapes
        require(len(self.factors) == len(x) - 1, f"{len(self.factors)} spatial axes of {x}")
        require(all(factor > 0 for factor in self.factors), "a factor that is not positive")
        return (x[0], *(n * factor for n, factor in zip(x[1:], self.factors, strict=True)))

    def move(self, arrays: Sequence[NDArray[Any]], fill: float) -> NDArray[Any]:
        (y,) = arrays
        for axis, factor in enumerate(self.factors, start=1):
            y = y.repeat(factor, axis)
        return y


OPS: tuple[type[Op], ...] = (Reshape, Permute, Slice, Pad, Concat, Upsample)
