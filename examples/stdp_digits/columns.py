"""Machine code for the weights of neurons that have learned: column sums, conductance levels."""

from __future__ import annotations

from constants import PIXELS
from emission import Code
from llvmlite import ir

from snnc.native.code import Value

ARRAYS = ("neurons", "learned", "kept", "levels", "weights")
INTEGERS = ("count", "normalised")


def emit(module: ir.Module, count: int, column_sum: float, dtype: str) -> None:
    """`settle(neurons, learned, kept, levels, weights, count, normalised)`, for some neurons.

    Their learned weights are scaled to `column_sum` and cut off at 1 if `normalised` is not 0; then
    `weights`, (784, neurons), are those kept, at the nearest level. `levels` holds the distance of
    levels and their number k: a kept weight is at one of 1..k times the distance; if k is 0, it is
    as learned. `learned` and `kept`, i8, are (neurons, 784).
    """
    code = Code(module, "settle", ARRAYS, INTEGERS, dtype)
    with code.loop(0, code.arguments["count"]) as s:
        k = code.convert(code.read("neurons", s, 1, "i32"), "i32", "i64")
        row = code.index((k, PIXELS))
        wanted = code.nonzero("i64", code.arguments["normalised"])
        with code.builder.if_then(wanted):
            _normalise(code, row, column_sum)
        _conduct(code, row, k, count)
    code.end()


def _normalise(code: Code, row: Value, column_sum: float) -> None:
    b, lanes = code.builder, code.lanes
    sums = code.local(code.dtype, lanes)
    code.set(sums, code.zero(code.dtype, lanes))
    with code.loop(0, PIXELS, lanes) as i:
        w = code.read("learned", code.index(row, i), lanes)
        code.set(sums, b.fadd(code.get(sums, code.dtype, lanes), w))
    total = code.total(code.get(sums, code.dtype, lanes))
    full = code.greater(code.dtype, total, code.zero(code.dtype))
    scale = b.select(full, b.fdiv(code.constant(column_sum, 1), total), code.zero(code.dtype))
    factor = code.splat(scale, code.dtype, lanes)
    with code.loop(0, PIXELS, lanes) as i:
        at = code.index(row, i)
        w = b.fmul(code.read("learned", at, lanes), factor)
        code.write(code.at_most(w, code.constant(1, lanes)), "learned", at)


def _conduct(code: Code, row: Value, k: Value, count: int) -> None:
    b, dtype, lanes = code.builder, code.dtype, code.lanes
    distance, number = (code.read("levels", code.int(place)) for place in (0, 1))
    snap = code.greater(dtype, number, code.zero(dtype))
    each, most = (code.splat(value, dtype, lanes) for value in (distance, number))
    with code.loop(0, PIXELS, lanes) as i:
        at = code.index(row, i)
        w = code.read("learned", at, lanes)
        nearest = b.fadd(b.fdiv(w, each), code.constant(0.5, lanes))
        level = code.convert(code.convert(nearest, dtype, "i32", lanes), "i32", dtype, lanes)
        level = code.at_most(code.largest(dtype, level, code.constant(1, lanes)), most)
        w = b.select(snap, b.fmul(level, each), w)
        kept = code.nonzero("i8", code.read("kept", at, lanes, "i8"), lanes)
        w = b.select(kept, w, code.zero(dtype, lanes))
        code.scatter(w, "weights", code.index((i, count), k), count)
