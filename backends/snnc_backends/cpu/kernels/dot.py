"""Sums of four products of bytes."""

from __future__ import annotations

from llvmlite import ir

from snnc.native.code import I16, I32, Emitter, Value

LANES = 16
WIDE = ir.VectorType(I32, LANES)
NARROW = ir.VectorType(I16, 2 * LANES)
HALF, HALF_WIDE = ir.VectorType(I16, LANES), ir.VectorType(I32, LANES // 2)


def dot4(code: Emitter, total: Value, x: Value, w: Value) -> Value:
    """total[i] + the sum over k of x[i][k] * w[i][k]: vectors of 16 i32.

    An element of x is four bytes without sign, one of w four with a sign.
    """
    if code.machine.dot == "vnni":
        kind = ir.FunctionType(WIDE, [WIDE, WIDE, WIDE])
        function = _intrinsic(code, "llvm.x86.avx512.vpdpbusd.512", kind)
        return code.builder.call(function, [total, x, w])
    b = code.builder
    x16, w16 = (b.bitcast(value, NARROW) for value in (x, w))
    eight, low = (ir.Constant(NARROW, [n] * (2 * LANES)) for n in (8, 255))
    for bytes_x, bytes_w in (
        (b.and_(x16, low), b.ashr(b.shl(w16, eight), eight)),
        (b.lshr(x16, eight), b.ashr(w16, eight)),
    ):
        total = b.add(total, _pairs(code, bytes_x, bytes_w))
    return total


def _pairs(code: Emitter, x: Value, w: Value) -> Value:
    """The sums of products of neighbouring elements: vectors of 32 i16, to one of 16 i32."""
    b = code.builder
    if code.machine.dot == "madd":
        kind = ir.FunctionType(HALF_WIDE, [HALF, HALF])
        function = _intrinsic(code, "llvm.x86.avx2.pmadd.wd", kind)
        first, second = (
            b.call(function, [_part(code, value, start, 1, LANES) for value in (x, w)])
            for start in (0, LANES)
        )
        mask = ir.Constant(ir.VectorType(I32, LANES), list(range(LANES)))
        return b.shuffle_vector(first, second, mask)
    products: list[Value] = []
    for start in (0, 1):
        wide_x, wide_w = (b.sext(_part(code, value, start, 2, LANES), WIDE) for value in (x, w))
        products.append(b.mul(wide_x, wide_w))
    return b.add(products[0], products[1])


def _part(code: Emitter, value: Value, start: int, stride: int, count: int) -> Value:
    """Some elements of a vector of i16."""
    places = [start + i * stride for i in range(count)]
    mask = ir.Constant(ir.VectorType(I32, count), places)
    return code.builder.shuffle_vector(value, ir.Constant(NARROW, ir.Undefined), mask)


def _intrinsic(code: Emitter, name: str, kind: ir.FunctionType) -> ir.Function:
    module = code.builder.module
    return module.globals.get(name) or ir.Function(module, kind, name)
