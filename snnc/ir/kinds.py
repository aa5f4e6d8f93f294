"""Kinds of operations: base classes with the properties that passes and backends use.

Passes and backends test `isinstance(op, Rearrange)`, not a list of classes, so that a new op of a
known kind needs no change there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from snnc.ir.op import EVENTS, Op, Params, Types, require
from snnc.ir.types import Ref, Shape, Signal, TensorType, Windows

Positions = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, repr=False)
class Weighted(Op):
    """A layer with a weight matrix: linear in its input, plus a bias.

    weight: its first axis is the output channel. bias: one value per output channel, or the full
    output shape. pruned: zeros of the weight are synapses that are not there: passes that change
    weights leave them zero.
    """

    weight: Ref
    bias: Ref | None = None
    pruned: bool = False

    def stated(self) -> dict[str, object]:
        """All fields, `pruned` only if it is set: a dense layer is written as in older files."""
        return {k: v for k, v in super().stated().items() if k != "pruned" or self.pruned}

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.stated().items())
        return f"{type(self).__qualname__}({shown})"

    @property
    def matrices(self) -> int:
        """Number of weight matrices: groups of input and output channels."""
        return 1


@dataclass(frozen=True, kw_only=True)
class Pool(Op):
    """One output for each window of the spatial axes, channel by channel.

    windows: per spatial axis, the (start, stop) of each output position, clipped to the input, so
    that ordinary, padded, ceil-mode, adaptive and global pooling are one op.
    """

    windows: Windows

    def pooled_shape(self, x: TensorType) -> Shape:
        """Shape of the result. Raises `OpError` for windows that do not fit."""
        spatial = x.shape[1:]
        fits = len(self.windows) == len(spatial)
        require(fits, f"{len(self.windows)} window axes on a sample of {x.shape}")
        for size, axis in zip(spatial, self.windows, strict=True):
            require(bool(axis), "an axis without windows")
            bad = [w for w in axis if not 0 <= w[0] < w[1] <= size]
            require(not bad, f"window {bad[:1]} outside an axis of {size}")
        return (x.shape[0], *(len(axis) for axis in self.windows))


@dataclass(frozen=True, kw_only=True)
class Maximum(Pool):
    """The largest of every window; a factor passes through it if it is not negative."""

    makes_events = True


@dataclass(frozen=True, kw_only=True)
class Stateful(Op):
    """Its result at a step depends on earlier steps, through a state.

    Class attribute `integrates`: it is a population, whose input is a current; else it takes
    events and gives events of the same value.
    """

    integrates: ClassVar[bool] = True


@dataclass(frozen=True, kw_only=True)
class Rearrange(Op):
    """Moves elements without changing them (S5): y[i] = x[positions[i]], or 0 for a position of -1.

    x is the concatenation of the inputs, each in row-major order. A subclass defines `move` and
    `result_shape`; its type, its execution, its kernel and the folding of factors and biases
    through it follow from them.
    """

    keeps_sign = True
    before_encode = True

    def result_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Shape of the result for inputs of these shapes. Raises `OpError` if they do not fit."""
        raise NotImplementedError(type(self).__name__)

    def move(self, arrays: Sequence[NDArray[Any]], fill: float) -> NDArray[Any]:
        """The op applied to one sample of each input; `fill` is the value of inserted elements."""
        raise NotImplementedError(type(self).__name__)

    def positions(self, shapes: Sequence[Shape]) -> Positions:
        """Per element of the result, in its shape: the index into the concatenated inputs.

        -1 for an inserted zero. An index may occur several times or not at all.
        """
        starts = np.cumsum([0, *map(prod, shapes)])
        indices = [
            np.arange(start, start + prod(shape), dtype=np.int64).reshape(shape)
            for start, shape in zip(starts[:-1], shapes, strict=True)
        ]
        return self.move(indices, -1)

    def infer(self, inputs: Types, params: Params) -> TensorType:
        shape = self.result_shape([x.shape for x in inputs])
        return replace(join(inputs), shape=shape)


def join(inputs: Types) -> TensorType:
    """The common type of the inputs (S5), with the shape of the first.

    Raises `OpError` for signals that cannot be concatenated.
    """
    first = inputs[0]
    signals = {x.signal for x in inputs}
    require(len(signals) == 1 or signals <= EVENTS, "concatenates signals of different kinds")
    mixed = first.signal is Signal.CURRENT and len({x.dtype for x in inputs}) > 1
    require(not mixed, "concatenates integer and real currents")
    return replace(
        first,
        signal=first.signal if len(signals) == 1 else Signal.COUNT,
        levels=max(x.levels for x in inputs),
        constant_in_time=all(x.constant_in_time for x in inputs),
        signed=any(x.signed for x in inputs),
    )
