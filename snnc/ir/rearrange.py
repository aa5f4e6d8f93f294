"""Operations that move elements and change none."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from snnc.ir.op import EVENTS, Op, Params, Types, require
from snnc.ir.types import Signal, TensorType


@dataclass(frozen=True, kw_only=True)
class Reshape(Op):
    """The same elements in another shape (row-major)."""

    mnemonic = "reshape"
    shape: tuple[int, ...]

    def infer(self, inputs: Types, params: Params) -> TensorType:
        (x,) = inputs
        require(all(n > 0 for n in self.shape), f"a shape of {self.shape}")
        require(prod(self.shape) == x.size, f"{x.shape} does not reshape to {self.shape}")
        return replace(x, shape=self.shape)


@dataclass(frozen=True, kw_only=True)
class Permute(Op):
    """y = x with its axes in the order `axes` (batch not counted)."""

    mnemonic = "permute"
    axes: tuple[int, ...]

    def infer(self, inputs: Types, params: Params) -> TensorType:
        (x,) = inputs
        require(sorted(self.axes) == list(range(len(x.shape))), f"{self.axes} of {x.shape}")
        return replace(x, shape=tuple(x.shape[a] for a in self.axes))


@dataclass(frozen=True, kw_only=True)
class Slice(Op):
    """y = x[start:stop:step] per axis (batch not counted); steps are positive, bounds resolved."""

    mnemonic = "slice"
    starts: tuple[int, ...]
    stops: tuple[int, ...]
    steps: tuple[int, ...]

    def infer(self, inputs: Types, params: Params) -> TensorType:
        (x,) = inputs
        counts = {len(self.starts), len(self.stops), len(self.steps)}
        require(counts == {len(x.shape)}, f"{len(self.starts)} axes of {x.shape}")
        require(all(step > 0 for step in self.steps), "a step that is not positive")
        ranges = [range(*b) for b in zip(self.starts, self.stops, self.steps, strict=True)]
        inside = all(r and 0 <= r[0] and r[-1] < n for r, n in zip(ranges, x.shape, strict=True))
        require(inside, f"slice {self.slices()} outside {x.shape}")
        return replace(x, shape=tuple(map(len, ranges)))

    def slices(self) -> tuple[slice, ...]:
        """As Python slices, one per axis of the sample."""
        return tuple(slice(*b) for b in zip(self.starts, self.stops, self.steps, strict=True))


@dataclass(frozen=True, kw_only=True)
class Pad(Op):
    """y = x with (before, after) zeros per axis (batch not counted): silence."""

    mnemonic = "pad"
    padding: tuple[tuple[int, int], ...]

    def infer(self, inputs: Types, params: Params) -> TensorType:
        (x,) = inputs
        require(len(self.padding) == len(x.shape), f"{len(self.padding)} axes of {x.shape}")
        require(all(min(p) >= 0 for p in self.padding), "negative padding; use a slice")
        shape = tuple(n + sum(p) for n, p in zip(x.shape, self.padding, strict=True))
        return replace(x, shape=shape)


@dataclass(frozen=True, kw_only=True)
class Concat(Op):
    """The inputs one after the other along `axis` (batch not counted)."""

    mnemonic = "concat"
    arity = None
    axis: int = 0

    def infer(self, inputs: Types, params: Params) -> TensorType:
        first = inputs[0]
        require(0 <= self.axis < len(first.shape), f"axis {self.axis} of {first.shape}")
        rest = {x.shape[: self.axis] + x.shape[self.axis + 1 :] for x in inputs}
        require(len(rest) == 1, f"shapes {[x.shape for x in inputs]} differ beside the axis")
        kinds = {x.signal for x in inputs}
        events = kinds <= EVENTS
        require(len(kinds) == 1 or events, "concatenates signals of different kinds")
        mixed = first.signal is Signal.CURRENT and len({x.dtype for x in inputs}) > 1
        require(not mixed, "concatenates integer and real currents")
        shape = list(first.shape)
        shape[self.axis] = sum(x.shape[self.axis] for x in inputs)
        return replace(
            first,
            shape=tuple(shape),
            signal=first.signal if len(kinds) == 1 else Signal.COUNT,
            levels=max(x.levels for x in inputs),
            constant_in_time=all(x.constant_in_time for x in inputs),
            signed=any(x.signed for x in inputs),
        )
