"""Noise of column sums, fresh in every read: counted random numbers, normally distributed.

The noise of a read is a function of the chip's seed, the layer, the sample, the number of the read
and the column, so it does not depend on how samples are split into batches. A normal number is made
of integers: the ones in 64 random bits, a binomial number of variance 16, plus two uniform ones of
width 1 that fill the gaps. Its distribution function is within 0.001 of the normal one.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from snnc.native.code import I32, I64, Value
from snnc_backends.cpu.kernels import Code

GOLDEN = 0x9E3779B97F4A7C15
MIX64 = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1))
"""Shifts and factors of the finaliser of SplitMix64 (Steele et al., 2014)."""
MIX32 = ((16, 0x7FEB352D), (15, 0x846CA68B), (16, 1))
"""Shifts and factors of a 32-bit hash of low bias (Wellons, "Hash Prospector", 2018)."""
SHORT = 0x9E3779B9
MASK32, MASK64 = (1 << 32) - 1, (1 << 64) - 1


def unit(variance_bits: int) -> np.float32:
    """From sqrt(variance in 2^-variance_bits squared levels) * random integer to 2^-10 levels."""
    return np.float32(2.0 ** (10 - variance_bits // 2) / (2.0**16 * sqrt(16 + 1 / 6)))


def stream(seed: int, number: int) -> int:
    """The key of a sample's noise on a chip, or of a layer's: 64 bits."""
    return _mix(seed * GOLDEN + _mix(number & MASK64))


def _mix(value: int) -> int:
    value &= MASK64
    for shift, factor in MIX64:
        value = ((value ^ (value >> shift)) * factor) & MASK64
    return value


def noisy(
    sums: NDArray[np.float32],
    variances: NDArray[Any],
    variance_bits: int,
    keys: NDArray[np.uint64],
    columns: NDArray[np.integer],
) -> NDArray[np.float32]:
    """Column sums with their noise, as the kernel gives them.

    Args:
        sums, variances: of a column, whole numbers of 2^-10 levels and 2^-variance_bits squared
            levels.
        keys: of the reads: sample key ^ layer key, plus GOLDEN * (number of the read + 1).
        columns: number of the column in its row block.
    """
    z = keys.astype(np.uint64)
    for shift, factor in MIX64:
        z = (z ^ (z >> np.uint64(shift))) * np.uint64(factor)
    low, high = (z & np.uint64(MASK32)).astype(np.uint32), (z >> np.uint64(32)).astype(np.uint32)
    first = _hashed(columns.astype(np.uint32) * np.uint32(SHORT) + low) ^ high
    words = [_hashed(first)]
    for _ in range(2):
        words.append(_hashed(words[-1] + np.uint32(SHORT)))
    ones = (np.bitwise_count(words[0]) + np.bitwise_count(words[1])).astype(np.int32) - 32
    fill = (words[2] & np.uint32(0xFFFF)) + (words[2] >> np.uint32(16))
    normal = (ones * 65536 + fill.astype(np.int32) - 65535).astype(np.float32)
    scaled = np.sqrt(variances.astype(np.float32)) * normal
    return (sums + scaled * unit(variance_bits)).astype(np.float32)


def _hashed(words: NDArray[np.uint32]) -> NDArray[np.uint32]:
    for shift, factor in MIX32:
        words = (words ^ (words >> np.uint32(shift))) * np.uint32(factor)
    return words


class ColumnNoise:
    """The same in a kernel; inputs[2] has the key of the sample, the array `layer` its own."""

    def __init__(self, code: Code, variance_bits: int) -> None:
        self.code = code
        self.unit = float(unit(variance_bits))
        self.low, self.high = code.local("i32"), code.local("i32")
        sample = code.load(code.inputs[2], "i64", code.int(0))
        layer = code.load(code.arrays["layer"], "i64", code.int(0))
        self.key = code.builder.xor(sample, layer)

    def seek(self, number: Value) -> None:
        """Go to a read."""
        code, b = self.code, self.code.builder
        z = b.add(self.key, b.mul(code.index(number, 1), ir.Constant(I64, GOLDEN)))
        for shift, factor in MIX64:
            z = b.mul(b.xor(z, b.lshr(z, code.int(shift))), ir.Constant(I64, factor))
        code.set(self.low, code.convert(z, "i64", "i32"))
        code.set(self.high, code.convert(b.lshr(z, code.int(32)), "i64", "i32"))

    def added(self, value: Value, variance: Value, column: Value, lanes: int) -> Value:
        """Sums plus noise, float32, of the columns from `column` on; `variance` is an i32."""
        code, b = self.code, self.code.builder
        root = self._apply("sqrt", "f32", code.convert(variance, "i32", "f32", lanes), lanes)
        scaled = code.mul("f32", root, self._normal(column, lanes))
        factor = code.splat(ir.Constant(code.type("f32"), self.unit), "f32", lanes)
        return b.fadd(value, code.mul("f32", scaled, factor))

    def _normal(self, column: Value, lanes: int) -> Value:
        code, b = self.code, self.code.builder
        numbers = code.splat(code.convert(column, "i64", "i32"), "i32", lanes)
        if lanes > 1:
            each = ir.Constant(ir.VectorType(I32, lanes), list(range(lanes)))
            numbers = b.add(numbers, each)
        low, high = (code.splat(code.get(half, "i32"), "i32", lanes) for half in self._halves)
        numbers = b.add(b.mul(numbers, self._constant(SHORT, lanes)), low)
        words = [self._hash(b.xor(self._hash(numbers, lanes), high), lanes)]
        for _ in range(2):
            words.append(self._hash(b.add(words[-1], self._constant(SHORT, lanes)), lanes))
        counts = [self._apply("ctpop", "i32", word, lanes) for word in words[:2]]
        ones = b.sub(b.add(*counts), self._constant(32, lanes))
        fill = b.and_(words[2], self._constant(0xFFFF, lanes))
        fill = b.add(fill, b.lshr(words[2], self._constant(16, lanes)))
        whole = b.add(b.mul(ones, self._constant(65536, lanes)), fill)
        return code.convert(b.sub(whole, self._constant(65535, lanes)), "i32", "f32", lanes)

    @property
    def _halves(self) -> tuple[Value, Value]:
        return self.low, self.high

    def _hash(self, words: Value, lanes: int) -> Value:
        b = self.code.builder
        for shift, factor in MIX32:
            words = b.xor(words, b.lshr(words, self._constant(shift, lanes)))
            words = b.mul(words, self._constant(factor, lanes))
        return words

    def _constant(self, value: int, lanes: int) -> Value:
        return self.code.splat(ir.Constant(I32, value), "i32", lanes)

    def _apply(self, intrinsic: str, dtype: str, value: Value, lanes: int) -> Value:
        """An intrinsic of one argument and a result of the same type."""
        module, kind = self.code.builder.module, self.code.type(dtype, lanes)
        name = f"llvm.{intrinsic}.{dtype if lanes == 1 else f'v{lanes}{dtype}'}"
        if name in module.globals:
            function = module.globals[name]
        else:
            function = ir.Function(module, ir.FunctionType(kind, [kind]), name)
        return self.code.builder.call(function, [value])
