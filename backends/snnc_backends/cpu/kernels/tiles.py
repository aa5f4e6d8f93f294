"""Products of tiles, by the instructions of AMX or by sums of four products."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llvmlite import ir

from snnc.native.code import I8, I64, POINTER, Emitter, Value
from snnc_backends.cpu.kernels.dot import LANES, dot4

REGISTERS = 8
QUAD = 4
LINE = 64
"""Bytes of a line of the cache."""
WIDE = 64
"""Bytes of a row of sums, and of a row of weights: four for each of 16 channels."""
CONFIGURATION = 64
"""Bytes of what `ldtilecfg` reads: palette 1, then from byte 16 on the bytes of the rows of every
register, 16 bits each, and from byte 48 on its rows (Intel, Instruction Set Extensions, 3.3)."""


@dataclass(frozen=True)
class Operands:
    """The places of the tiles of a sum of products.

    Attributes:
        inputs: where the first tile of every output tile is.
        stride: bytes from row to row of these.
        offsets: an array of i64: where the following tiles are, from the first.
        weights: those of the first tile, then of the others, `vectors` side by side.
        count: tiles of the sum.
        ahead: weights of later sums, of which so many lines are fetched into the L2 cache with each
            product, `apart` bytes from each other; the next product fetches the lines behind them.
    """

    inputs: Sequence[Value]
    stride: int
    offsets: Value
    weights: Value
    count: int
    ahead: Value
    lines: int
    apart: int


class Tiles:
    """Code for sums of products of tiles.

    Args:
        rows, depth: rows of a tile of inputs, and bytes of each.
        group, vectors: tiles of rows, and of 16 channels, whose sums are computed at a time.
    """

    def __init__(self, code: Emitter, rows: int, depth: int, group: int, vectors: int) -> None:
        self.code, self.rows, self.depth = code, rows, depth
        self.group, self.vectors = group, vectors

    def open(self) -> None:
        """Set the shapes of the registers, which belong to the thread."""
        if not self.code.machine.tiles:
            return
        code = self.code
        content = bytearray(CONFIGURATION)
        content[0] = 1
        for register in range(REGISTERS):
            weights = self._is_weights(register)
            wide = WIDE if weights or self._is_sums(register) else self.depth
            content[16 + 2 * register] = wide
            content[48 + register] = self.depth // QUAD if weights else self.rows
        memory = code.array("i8", CONFIGURATION)
        kind = ir.VectorType(I8, CONFIGURATION)
        values = [byte - 256 if byte > 127 else byte for byte in content]
        code.store(ir.Constant(kind, values), memory, "i8", code.int(0))
        self._call("ldtilecfg", (POINTER, memory))

    def close(self) -> None:
        """Give up the registers, so that the system need not keep them."""
        if self.code.machine.tiles:
            self._call("tilerelease")

    def multiply(self, operands: Operands, target: Value) -> None:
        """Store the sums of products at `target`, (group, rows, vectors, 16) of i32."""
        if self.code.machine.tiles:
            self._multiply(operands, target)
        else:
            self._multiply_rows(operands, target)

    # -- with registers of tiles -----------------------------------------------------------

    def _sums(self, number: int, vector: int) -> int:
        return number * self.vectors + vector

    def _is_sums(self, register: int) -> bool:
        return register < self.group * self.vectors

    def _input(self, number: int) -> int:
        """Three registers in turn, where there are more tiles of inputs than two."""
        return 4 + number % 3

    def _weights(self, vector: int) -> int:
        if self.group > 2:
            return 7
        return 4 + self.group + vector % (4 - self.group)

    def _is_weights(self, register: int) -> bool:
        return register in {self._weights(vector) for vector in range(self.vectors)}

    def _multiply(self, operands: Operands, target: Value) -> None:
        code, size = self.code, self.depth * LANES
        held = [(n, v) for n in range(self.group) for v in range(self.vectors)]
        for number, vector in held:
            self._call("tilezero", (I8, self._sums(number, vector)))
        with code.loop(0, operands.count) as i:
            for line in range(operands.lines):
                start = code.index((i, LINE), operands.apart * line)
                code.prefetch_line(code.at(operands.ahead, "i8", start))
            place = code.load(operands.offsets, "i64", i)
            early = range(self.group) if self.group <= 2 else ()
            for number in early:
                self._read(self._input(number), operands, number, place)
            for vector in range(self.vectors):
                start = code.index((i, self.vectors * size), vector * size)
                weights = code.at(operands.weights, "i8", start)
                self._load(self._weights(vector), weights, WIDE)
                for number in range(self.group):
                    if number not in early:
                        self._read(self._input(number), operands, number, place)
                    registers = self._sums(number, vector), self._input(number)
                    self._call("tdpbusd", *((I8, r) for r in (*registers, self._weights(vector))))
        for number, vector in held:
            start = (number * self.rows * self.vectors + vector) * WIDE
            memory = (POINTER, code.at(target, "i8", start))
            stride = (I64, self.vectors * WIDE)
            self._call("tilestored64", (I8, self._sums(number, vector)), memory, stride)

    def _read(self, register: int, operands: Operands, number: int, place: Value) -> None:
        self._load(register, self.code.at(operands.inputs[number], "i8", place), operands.stride)

    def _load(self, register: int, memory: Value, stride: int) -> None:
        self._call("tileloadd64", (I8, register), (POINTER, memory), (I64, stride))

    def _call(self, name: str, *arguments: tuple[ir.Type, Value | int]) -> None:
        module = self.code.builder.module
        kinds = [kind for kind, _ in arguments]
        kind, name = ir.FunctionType(ir.VoidType(), kinds), f"llvm.x86.{name}"
        function = module.globals.get(name) or ir.Function(module, kind, name)
        values = [ir.Constant(k, v) if isinstance(v, int) else v for k, v in arguments]
        self.code.builder.call(function, values)

    # -- without ---------------------------------------------------------------------------

    def _multiply_rows(self, operands: Operands, target: Value) -> None:
        code, size = self.code, self.depth * LANES
        sums = [code.local("i32", LANES) for _ in range(self.vectors)]
        for number, first in enumerate(operands.inputs):
            with code.loop(0, self.rows) as row:
                for each in sums:
                    code.set(each, code.zero("i32", LANES))
                with code.loop(0, operands.count) as i:
                    place = code.index(code.load(operands.offsets, "i64", i))
                    place = code.index(place, (row, operands.stride))
                    with code.loop(0, self.depth, QUAD) as k:
                        x = code.at(first, "i8", code.index(place, k))
                        x = code.splat(code.load(x, "i32", 0), "i32", LANES)
                        start = code.index((i, self.vectors * size), (k, LANES))
                        for vector, each in enumerate(sums):
                            where = code.index(start, vector * size)
                            w = code.at(operands.weights, "i8", where)
                            w = code.load(w, "i32", 0, LANES)
                            code.set(each, dot4(code, code.get(each, "i32", LANES), x, w))
                start = code.index(
                    (row, self.vectors * LANES), number * self.rows * self.vectors * LANES
                )
                for vector, each in enumerate(sums):
                    value = code.get(each, "i32", LANES)
                    code.store(value, target, "i32", code.index(start, vector * LANES))
