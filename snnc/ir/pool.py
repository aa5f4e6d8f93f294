"""Pooling over windows of the spatial axes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from snnc.ir.kinds import Maximum, Pool, Stateful
from snnc.ir.op import EVENTS, Op, Params, Types, require
from snnc.ir.types import Signal, Stage, TensorType


def _check_per_position(
    what: str, values: tuple[tuple[int, ...], ...], shape: tuple[int, ...]
) -> None:
    require(tuple(map(len, values)) == shape, f"{what} do not match the windows")
    require(all(v > 0 for axis in values for v in axis), f"{what} that are not positive")


@dataclass(frozen=True, kw_only=True)
class AvgPool(Pool):
    """y[c,i,j] = sum of x[c] over window (i,j) / (divisors[0][i] * divisors[1][j]).

    A window clipped at the border may have fewer elements than its divisor.
    """

    mnemonic = "avgpool"
    stages = frozenset({Stage.ANN})
    divisors: tuple[tuple[int, ...], ...]

    def infer(self, inputs: Types, params: Params) -> TensorType:
        (x,) = inputs
        shape = self.pooled_shape(x)
        _check_per_position("divisors", self.divisors, shape[1:])
        return replace(x, shape=shape)


@dataclass(frozen=True, kw_only=True)
class SumPool(Pool):
    """y[c,i,j] = multiplicity[0][i] * multiplicity[1][j] * sum of x[c] over window (i,j).

    A SPIKE or COUNT becomes a COUNT; a CURRENT stays one (S3).
    multiplicity: None means 1 everywhere.
    """

    mnemonic = "sumpool"
    makes_events = True
    multiplicity: tuple[tuple[int, ...], ...] | None = None

    def infer(self, inputs: Types, params: Params) -> TensorType:
        (x,) = inputs
        shape = self.pooled_shape(x)
        if self.multiplicity is not None:
            _check_per_position("multiplicity", self.multiplicity, shape[1:])
        if x.signal not in EVENTS:
            return replace(x, shape=shape)
        return replace(x, shape=shape, signal=Signal.COUNT, levels=x.levels * self.largest_weight())

    def largest_weight(self) -> int:
        """Largest number of times one output counts a single unit of input activity."""
        return prod(
            max((stop - start) * m for (start, stop), m in zip(axis, mult, strict=True))
            for axis, mult in zip(self.windows, self.multiplicities(), strict=True)
        )

    def multiplicities(self) -> tuple[tuple[int, ...], ...]:
        """`multiplicity` with the default expanded."""
        return self.multiplicity or tuple((1,) * len(axis) for axis in self.windows)


@dataclass(frozen=True, kw_only=True)
class MaxPool(Maximum):
    """y[c,i,j] = max of x[c] over window (i,j). On spikes: fires when any input of it fires.

    That is the maximum of each step, not of the rates; no recipe makes it of spikes (S4).
    """

    mnemonic = "maxpool"
    before_encode = True

    def infer(self, inputs: Types, params: Params) -> TensorType:
        (x,) = inputs
        require(x.signal is not Signal.CURRENT, "the maximum of a current; pool spikes instead")
        return replace(x, shape=self.pooled_shape(x))


@dataclass(frozen=True, kw_only=True)
class CountMaxPool(Maximum, Stateful):
    """y[t] = max of C[t] over the window - max of C[t-1] over it, C[t] = x[0] + ... + x[t] (S25).

    C[-1] = 0, channel by channel. So the events of y up to any step are as many as the most that
    one input of the window has had. All inputs of one window must stand for the same amount per
    event. Of inputs that are constant in time, y is the maximum, and there is no state.
    """

    mnemonic = "count-maxpool"
    stages = frozenset({Stage.SNN})
    integrates = False

    def infer(self, inputs: Types, params: Params) -> TensorType:
        (x,) = inputs
        countable = x.signal in EVENTS or x.constant_in_time
        require(countable, f"counts events, not {x}; move a Scale before it behind it (S25)")
        return replace(x, shape=self.pooled_shape(x))


OPS: tuple[type[Op], ...] = (AvgPool, SumPool, MaxPool, CountMaxPool)
