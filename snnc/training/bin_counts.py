"""Counts of values in bins, in machine code on the CPU: for histograms of activations."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache

from llvmlite import ir
from torch import Tensor

from snnc.native.cache import open_cache
from snnc.native.code import I32, I64, POINTER, Emitter, Machine, Value
from snnc.native.jit import Library
from snnc.training.threads import spread, this_host

COUNT = "count_bins"
SLOTS = ("next", "samples", "groups", "size", "bins", "values", "scales", "counts")
"""Fields of the argument, eight bytes each.

next: the first group that no thread has taken (incremented by the threads).
values: float32 (samples, groups, size). scales: float32 (groups). counts: int32 (groups, 1 + bins).
"""
LANES = 16


def count_bins(values: Tensor, scales: Tensor, counts: Tensor) -> None:
    """Count values in bins: `counts[g, n]` grows by the values x of group g that are in bin n.

    That is n = ceil(x * scale), at least 0 and at most the last bin; 0 for NaN.

    Args:
        values: (N, G, M) on the CPU.
        scales: (G,).
        counts: (G, bins + 1) int32, contiguous.
    """
    values, scales = values.float().contiguous(), scales.float().contiguous()
    (samples, groups, size), bins = values.shape, counts.shape[1] - 1
    arrays = (values.data_ptr(), scales.data_ptr(), counts.data_ptr())
    arguments = (ctypes.c_int64 * len(SLOTS))(0, samples, groups, size, bins, *arrays)
    spread(_function(), arguments, groups)


@cache
def _library() -> Library:
    """The code, compiled or from the user's cache."""
    target = this_host()
    return Library(text(target.machine), (COUNT,), target, open_cache())


@cache
def _function() -> Callable[..., None]:
    return _library().function(COUNT, ctypes.c_void_p)


def text(machine: Machine) -> str:
    """LLVM IR of one function `void (ptr slots)`, `COUNT`; a part is a group."""
    module = ir.Module("bin_counts")
    kind = ir.FunctionType(ir.VoidType(), [POINTER])
    code = Emitter(ir.Function(module, kind, COUNT), machine)
    b, argument = code.builder, code.function.args[0]
    slots = {name: code.load(argument, "i64", i) for i, name in enumerate(SLOTS)}
    values, scales, counts = (b.inttoptr(slots[name], POINTER) for name in SLOTS[-3:])
    groups, size, last = slots["groups"], slots["size"], b.sitofp(slots["bins"], code.type("f32"))
    whole = b.sub(size, b.srem(size, code.int(LANES)))
    with code.taken(argument, groups) as group, code.loop(0, slots["samples"]) as sample:
        scale = code.load(scales, "f32", group)
        row = code.at(counts, "i32", b.mul(group, code.index(slots["bins"], 1)))
        first = b.mul(b.add(b.mul(sample, groups), group), size)
        for start, stop, lanes in ((0, whole, LANES), (whole, size, 1)):
            with code.loop(start, stop, lanes) as place:
                x = code.load(values, "f32", b.add(first, place), lanes)
                _count(code, row, _bins(code, x, scale, last, lanes), lanes)
    b.ret_void()
    return str(module)


def _bins(code: Emitter, x: Value, scale: Value, last: Value, lanes: int) -> Value:
    """The bins of some values, i32."""
    b, most, zero = code.builder, code.splat(last, "f32", lanes), code.zero("f32", lanes)
    x = code.mul("f32", x, code.splat(scale, "f32", lanes))
    x = b.select(code.greater("f32", x, zero), x, zero)
    x = b.select(code.greater("f32", x, most), most, x)
    below = code.convert(x, "f32", "i32", lanes)
    above = code.greater("f32", x, code.convert(below, "i32", "f32", lanes))
    return b.add(below, b.zext(above, code.type("i32", lanes)))


def _count(code: Emitter, row: Value, bins: Value, lanes: int) -> None:
    """Count one value in each of some bins, one after the other: they may be the same."""
    b = code.builder
    for lane in range(lanes):
        one = bins if lanes == 1 else b.extract_element(bins, ir.Constant(I32, lane))
        place = b.zext(one, I64)
        code.store(b.add(code.load(row, "i32", place), ir.Constant(I32, 1)), row, "i32", place)
