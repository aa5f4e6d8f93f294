"""What this processor can do at most, measured with one thread by loops of machine code.

The rates are those of additions and products of vectors in registers; the bandwidth is that of
reading memory of a given size again and again, so that its caches count as they do for a network of
that size. See Williams et al., "Roofline: an insightful visual performance model", 2009.
"""

from __future__ import annotations

import ctypes
import time
from dataclasses import dataclass

from llvmlite import ir

from snnc.aligned_memory import aligned
from snnc.native.code import I64, POINTER, Emitter, Machine
from snnc.native.jit import Host, Library
from snnc_backends.cpu.kernels.dot import LANES, dot4
from snnc_backends.cpu.kernels.tile_shape import DEPTH, ROWS
from snnc_backends.cpu.kernels.tiles import Operands, Tiles

ADDS_16, ADDS_32, PRODUCTS, READ = "adds_16_bits", "adds_32_bits", "products_8_bits", "read"
TILES = "products_of_tiles"
FUNCTIONS = (ADDS_16, ADDS_32, PRODUCTS, TILES, READ)
ARGUMENTS = (ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
SUMS = 12
"""Vectors that are added to at a time: enough for the latency of an addition, and no more than
there are registers."""
ROUND = 10000
"""Passes over the sums in one call."""
TRIES = 15
TILES_AT_ONCE, DEEP = 2, 8
"""Tiles of inputs and of weights that are multiplied with each other, and of a sum."""
TILE_PRODUCTS = ROWS * DEPTH * LANES
"""Products of bytes of two tiles."""
VECTOR = 64
"""Bytes."""
UNIT = SUMS * VECTOR
LARGEST = 256 << 20
"""Bytes; larger memory is read as fast as so much."""
READ_BYTES = 1 << 22
"""Bytes that one call reads at least."""


@dataclass(frozen=True)
class Limits:
    """Most operations and bytes per nanosecond, that is, 10^9 in a second.

    Attributes:
        adds_16_bits, adds_32_bits: additions of i16, of f32.
        products_8_bits: products of bytes that are summed up.
        products_of_tiles: those of tiles, with their reading from the nearest cache; as before
            where a processor has none.
        read: bytes read, of memory of the size `memory`, in bytes.
    """

    adds_16_bits: float
    adds_32_bits: float
    products_8_bits: float
    products_of_tiles: float
    read: float
    memory: int


def measured(target: Host, memory: int) -> Limits:
    """The limits of this processor for a network that takes `memory` bytes."""
    size = -(-min(memory, LARGEST) // UNIT) * UNIT
    library = Library(_module(target.machine), FUNCTIONS, target, None)
    buffer = aligned(size)
    buffer[:] = 0
    block = target.machine.block
    lanes = {ADDS_16: SUMS * block // 2, ADDS_32: SUMS * block // 4}
    lanes[PRODUCTS] = _sums_of_products(target.machine) * 4 * LANES
    lanes[TILES] = TILES_AT_ONCE**2 * TILE_PRODUCTS if target.machine.tiles else lanes[PRODUCTS]
    most = {
        name: ROUND * number / _least(library, name, buffer.ctypes.data, 0, ROUND)
        for name, number in lanes.items()
    }
    times = -(-READ_BYTES // size)
    spent = _least(library, READ, buffer.ctypes.data, size // VECTOR, times)
    return Limits(**most, read=size * times / spent, memory=size)


def _least(library: Library, name: str, start: int, vectors: int, times: int) -> int:
    """Least nanoseconds of some calls of a function."""
    call, found = library.function(name, *ARGUMENTS), list[int]()
    for _ in range(TRIES):
        begin = time.perf_counter_ns()
        call(start, vectors, times)
        found.append(time.perf_counter_ns() - begin)
    return max(1, min(found))


def _module(machine: Machine) -> str:
    """Functions `void (ptr memory, i64 vectors, i64 times)`; the first three read few vectors."""
    module = ir.Module("limits")
    block = machine.block
    _sums(_function(module, machine, ADDS_16), SUMS, "i16", block // 2)
    _sums(_function(module, machine, ADDS_32), SUMS, "f32", block // 4)
    count = _sums_of_products(machine)
    _sums(_function(module, machine, PRODUCTS), count, "i32", LANES, products=True)
    tiled = _function(module, machine, TILES)
    if machine.tiles:
        _tiles(tiled)
    else:
        _sums(tiled, count, "i32", LANES, products=True)
    _reading(_function(module, machine, READ))
    return str(module)


def _sums_of_products(machine: Machine) -> int:
    """A vector of 16 words takes several registers where there are no wide ones."""
    return SUMS if machine.dot == "vnni" else 4


def _function(module: ir.Module, machine: Machine, name: str) -> Emitter:
    kind = ir.FunctionType(ir.VoidType(), [POINTER, I64, I64])
    return Emitter(ir.Function(module, kind, name), machine)


def _sums(code: Emitter, count: int, dtype: str, lanes: int, *, products: bool = False) -> None:
    """Every sum becomes itself and the one after it, so that no addition can be left out."""
    memory, _, times = code.function.args
    held = [code.local(dtype, lanes) for _ in range(count)]
    for number, each in enumerate(held):
        code.set(each, code.load(memory, dtype, number * lanes, lanes))
    with code.loop(0, times):
        old = [code.get(each, dtype, lanes) for each in held]
        for number, each in enumerate(held):
            following = old[(number + 1) % count]
            total = (
                dot4(code, old[number], following, following)
                if products
                else code.add(dtype, old[number], following)
            )
            code.set(each, total)
    for number, each in enumerate(held):
        code.store(code.get(each, dtype, lanes), memory, dtype, number * lanes)
    code.builder.ret_void()


def _tiles(code: Emitter) -> None:
    """In a round, as many tiles of inputs times as many of weights, `DEEP` times."""
    *_, times = code.function.args
    tiles = Tiles(code, ROWS, DEPTH, TILES_AT_ONCE, TILES_AT_ONCE)
    size = ROWS * DEPTH
    inputs, weights = code.array("i8", DEEP * size), code.array("i8", DEEP * size * TILES_AT_ONCE)
    offsets, sums = code.array("i64", DEEP), code.array("i32", TILES_AT_ONCE**2 * ROWS * LANES)
    with code.loop(0, DEEP) as i:
        code.store(code.index((i, size)), offsets, "i64", i)
    operands = Operands([inputs] * TILES_AT_ONCE, DEPTH, offsets, weights, DEEP, weights, 0, 0)
    tiles.open()
    with code.loop(0, code.builder.udiv(times, code.int(DEEP))):
        tiles.multiply(operands, sums)
    tiles.close()
    code.builder.ret_void()


def _reading(code: Emitter) -> None:
    """All vectors are combined by "or"; the results are stored, so that every one is read."""
    memory, vectors, times = code.function.args
    lanes = VECTOR // 4
    held = [code.local("i32", lanes) for _ in range(SUMS)]
    for each in held:
        code.set(each, code.zero("i32", lanes))
    with code.loop(0, times), code.loop(0, vectors, SUMS) as i:
        for number, each in enumerate(held):
            value = code.load(memory, "i32", code.index((i, lanes), number * lanes), lanes)
            code.set(each, code.builder.or_(code.get(each, "i32", lanes), value))
    for number, each in enumerate(held):
        code.store(code.get(each, "i32", lanes), memory, "i32", number * lanes)
    code.builder.ret_void()
