"""Machine code for Poisson spikes: a number of a counter, so that a seed gives the same bytes."""

from __future__ import annotations

from emission import Code
from llvmlite import ir

from snnc.native.code import I32, Value

ARRAYS = ("pixels", "thresholds", "spikes", "starts")
INTEGERS = ("count", "key0", "key1", "steps")
LANES = 16
ROUNDS = ((16, 0x21F0AAAD), (15, 0xD35A2D97))
"""Shifts and factors of a bijection of 32-bit integers that mixes well (C. Wellons, 2018)."""


def emit(module: ir.Module) -> None:
    """`poisson(pixels, thresholds, spikes, starts, count, key0, key1, steps)`.

    Input `pixels[j]` fires in step t if mix(mix(1024 t + pixels[j] ^ key0) ^ key1), an unsigned
    integer of 32 bits, is below `thresholds[j]`. `count` is a multiple of 16; the inputs that fire
    are appended to `spikes`, i32, and `starts[t]` is where step t begins.
    """
    code = Code(module, "poisson", ARRAYS, INTEGERS)
    b = code.builder
    keys = [b.trunc(code.arguments[name], I32) for name in ("key0", "key1")]
    total = code.local("i64")
    code.set(total, code.int(0))
    with code.loop(0, code.arguments["steps"]) as t:
        code.write(b.trunc(code.get(total, "i64"), I32), "starts", t, "i32")
        with code.loop(0, code.arguments["count"], LANES) as j:
            pixels = code.read("pixels", j, LANES, "i32")
            step = b.trunc(b.shl(t, code.int(10)), I32)
            number = b.add(pixels, code.splat(step, "i32", LANES))
            for key in keys:
                number = _mix(code, b.xor(number, code.splat(key, "i32", LANES)))
            fires = b.icmp_unsigned("<", number, code.read("thresholds", j, LANES, "i32"))

            def append(lane: Value, j: Value = j) -> None:
                at = code.get(total, "i64")
                code.write(code.read("pixels", code.index(j, lane), 1, "i32"), "spikes", at, "i32")
                code.set(total, code.index(at, 1))

            code.each_set_lane(fires, LANES, append)
    last = b.trunc(code.get(total, "i64"), I32)
    code.write(last, "starts", code.arguments["steps"], "i32")
    code.end()


def _mix(code: Code, number: Value) -> Value:
    b = code.builder
    kind = ir.VectorType(I32, LANES)

    def same(value: int) -> Value:
        return ir.Constant(kind, [value] * LANES)

    for shift, factor in ROUNDS:
        number = b.xor(number, b.lshr(number, same(shift)))
        number = b.mul(number, same(factor))
    return b.xor(number, b.lshr(number, same(15)))
