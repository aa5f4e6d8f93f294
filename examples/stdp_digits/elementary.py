"""Machine code for powers and exponentials of vectors.

In f64 they are those of the C library. In f32 they are polynomials, wrong by less than 4e-6: fast,
and the same on every machine.
"""

from __future__ import annotations

import math

import numpy as np
from emission import Code
from llvmlite import ir
from numpy.polynomial import Chebyshev, Polynomial
from numpy.typing import NDArray

from snnc.native.code import I32, Value

DEGREES = {np.log2: 8, np.exp2: 5}
"""Degrees of the polynomials of log2 on 1..2 and of 2^x on 0..1."""


def power(code: Code, x: Value, exponent: float, lanes: int) -> Value:
    """x ^ exponent for x in 0..1 and an exponent above 0."""
    if code.dtype == "f64":
        return _library(code, "pow", [x, code.constant(exponent, lanes)], lanes)
    b = code.builder
    bits = b.bitcast(x, _integers(lanes))
    binary = b.sitofp(
        b.sub(b.lshr(bits, _same(23, lanes)), _same(127, lanes)), code.type("f32", lanes)
    )
    fraction = b.or_(b.and_(bits, _same(0x7FFFFF, lanes)), _same(127 << 23, lanes))
    mantissa = b.bitcast(fraction, code.type("f32", lanes))
    logarithm = b.fadd(binary, _polynomial(code, mantissa, np.log2, 1, lanes))
    result = _exp2(code, b.fmul(logarithm, code.constant(exponent, lanes)), lanes)
    zero = code.zero("f32", lanes)
    return b.select(code.greater("f32", x, zero), result, zero)


def exponential(code: Code, x: Value, lanes: int) -> Value:
    """e^x for x of at most 0."""
    if code.dtype == "f64":
        return _library(code, "exp", [x], lanes)
    return _exp2(code, code.builder.fmul(x, code.constant(math.log2(math.e), lanes)), lanes)


def _library(code: Code, name: str, arguments: list[Value], lanes: int) -> Value:
    kind = code.type("f64", lanes)
    name = f"llvm.{name}.{f'v{lanes}' if lanes > 1 else ''}f64"
    function = code.builder.module.globals.get(name)
    if function is None:
        types = ir.FunctionType(kind, [kind] * len(arguments))
        function = ir.Function(code.builder.module, types, name)
    return code.builder.call(function, arguments)


def _exp2(code: Code, y: Value, lanes: int) -> Value:
    b = code.builder
    y = code.largest("f32", y, code.constant(-126, lanes))
    whole = b.fptosi(b.fadd(y, code.constant(127, lanes)), _integers(lanes))
    part = b.fsub(y, b.sitofp(b.sub(whole, _same(127, lanes)), code.type("f32", lanes)))
    scale = b.bitcast(b.shl(whole, _same(23, lanes)), code.type("f32", lanes))
    return b.fmul(_polynomial(code, part, np.exp2, 0, lanes), scale)


def _polynomial(code: Code, x: Value, function: np.ufunc, low: float, lanes: int) -> Value:
    b, coefficients = code.builder, _fit(function, low)
    value = code.constant(float(coefficients[-1]), lanes)
    for coefficient in coefficients[-2::-1]:
        value = b.fadd(b.fmul(value, x), code.constant(float(coefficient), lanes))
    return value


def _fit(function: np.ufunc, low: float) -> NDArray[np.float64]:
    fitted = Chebyshev.interpolate(function, DEGREES[function], [low, low + 1])
    return fitted.convert(kind=Polynomial).coef


def _integers(lanes: int) -> ir.Type:
    return I32 if lanes == 1 else ir.VectorType(I32, lanes)


def _same(value: int, lanes: int) -> Value:
    return ir.Constant(_integers(lanes), value if lanes == 1 else [value] * lanes)
