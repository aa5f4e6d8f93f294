"""Machine code of the surrogate gradients that need no exponential per step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from llvmlite import ir

from snnc.native.code import Emitter, Value
from snnc.training.surrogate import (
    AnySurrogate,
    Atan,
    FastSigmoid,
    PiecewiseLinear,
    Rectangular,
    Stdb,
    Triangle,
)


@dataclass(frozen=True)
class Slope:
    """The code of a surrogate.

    Attributes:
        surrogate: its type; subclasses are excluded, they may compute something else.
        values: its options as the constants of the code, float32.
        constants: how many there are.
        emit: ds/dz from the code, z, the slope by time (None unless `timed`), constants and lanes.
        timed: the slope depends on when a neuron fired last, not on z. Its first constant is the
            slope of a neuron that has not fired, the second that right after a spike, the third
            the factor by which it decays in a step.
    """

    surrogate: type
    values: Callable[[Any], Sequence[float]]
    constants: int
    emit: Callable[[Emitter, Value, Value, Sequence[Value], int], Value]
    timed: bool = False

    @staticmethod
    def later(code: Emitter, now: Value, fired: Value, constants: Sequence[Value]) -> Value:
        """The slope by time in the next step."""
        return code.builder.select(fired, constants[1], code.builder.fmul(now, constants[2]))


def slope_of(surrogate: AnySurrogate | None) -> str:
    """The name of a surrogate's code in `SLOPES`; empty if it has none."""
    return next((name for name, s in SLOPES.items() if type(surrogate) is s.surrogate), "")


def _magnitude(code: Emitter, z: Value, lanes: int) -> Value:
    b = code.builder
    bits = b.bitcast(z, code.type("i32", lanes))
    mask = code.splat(ir.Constant(code.type("i32"), 0x7FFFFFFF), "i32", lanes)
    return b.bitcast(b.and_(bits, mask), code.type("f32", lanes))


def _number(code: Emitter, value: float, lanes: int) -> Value:
    return code.splat(ir.Constant(code.type("f32"), value), "f32", lanes)


def _tent(code: Emitter, z: Value, _time: Value, c: Sequence[Value], lanes: int) -> Value:
    """c0 * max(0, 1 - |z|/c1)"""
    b = code.builder
    inside = b.fsub(_number(code, 1.0, lanes), b.fdiv(_magnitude(code, z, lanes), c[1]))
    zero = code.zero("f32", lanes)
    return b.fmul(c[0], b.select(code.greater("f32", zero, inside), zero, inside))


def _box(code: Emitter, z: Value, _time: Value, c: Sequence[Value], lanes: int) -> Value:
    """c0 where |z| < c1"""
    inside = code.greater("f32", c[1], _magnitude(code, z, lanes))
    return code.builder.select(inside, c[0], code.zero("f32", lanes))


def _atan(code: Emitter, z: Value, _time: Value, c: Sequence[Value], lanes: int) -> Value:
    """c0 / (1 + (c1 z)^2)"""
    b = code.builder
    scaled = b.fmul(c[1], z)
    return b.fdiv(c[0], b.fadd(_number(code, 1.0, lanes), b.fmul(scaled, scaled)))


def _fast_sigmoid(code: Emitter, z: Value, _time: Value, c: Sequence[Value], lanes: int) -> Value:
    """1 / (1 + c0 |z|)^2"""
    b = code.builder
    one = _number(code, 1.0, lanes)
    base = b.fadd(one, b.fmul(c[0], _magnitude(code, z, lanes)))
    return b.fdiv(one, b.fmul(base, base))


def _stdb(code: Emitter, z: Value, time: Value, c: Sequence[Value], lanes: int) -> Value:
    return time


def _stdb_values(s: Stdb) -> Sequence[float]:
    after = s.alpha * math.exp(-s.beta)
    return s.alpha * math.exp(-s.beta * s.silent), after, math.exp(-s.beta)


SLOPES: Mapping[str, Slope] = MappingProxyType(
    {
        "linear": Slope(PiecewiseLinear, lambda s: (s.gamma, s.width), 2, _tent),
        "triangle": Slope(Triangle, lambda s: (1 / s.width, s.width), 2, _tent),
        "rectangular": Slope(Rectangular, lambda s: (1 / s.width, s.width / 2), 2, _box),
        "atan": Slope(Atan, lambda s: (s.alpha / 2, math.pi / 2 * s.alpha), 2, _atan),
        "fast-sigmoid": Slope(FastSigmoid, lambda s: (s.slope,), 1, _fast_sigmoid),
        "stdb": Slope(Stdb, _stdb_values, 3, _stdb, timed=True),
    }
)
"""The surrogates with machine code, by their name in `snnc.training.SURROGATES`."""
