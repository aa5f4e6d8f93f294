"""The list of nonzero elements of one step of a tensor, over which event-driven kernels loop."""

from __future__ import annotations

from collections.abc import Iterator

from llvmlite import ir

from snnc.native.code import I32, I64, Value
from snnc_backends.cpu.kernels.code import Code

LANES = 16


def scratch(segments: int, size: int) -> int:
    """Bytes of working memory for a list over `size` elements in `segments` segments."""
    return 4 * (segments + 1 + size + LANES)


class Events:
    """Positions (i32, ascending) of the nonzero elements, and where each segment starts.

    Positions are stored times `scale`. A segment is `length` consecutive elements; the list lives in `memory`, by default the
    function's scratch memory: segments + 1 starts, then the positions, then space for one more
    vector.
    """

    def __init__(
        self,
        code: Code,
        segments: int,
        length: int,
        memory: Value | None = None,
        scale: int = 1,
    ) -> None:
        self.code, self.scale = code, scale
        self.segments, self.length = segments, length
        self.starts = code.scratch if memory is None else memory
        self.list = code.at(self.starts, "i32", segments + 1)

    def collect(self, source: Value, dtype: str, first: Value, copies: int = 0) -> None:
        """Fill the list from the elements `first`, `first + 1`, … of a tensor.

        With `copies`, an element of value n is in the list n times, at most `copies` times, and one
        below zero never.
        """
        self.copies = copies
        code = self.code
        count = code.local("i64")
        code.set(count, code.int(0))
        vectors = self.length // LANES if code.machine.compress else 0
        with code.loop(0, self.segments) as segment:
            self._mark(segment, code.get(count, "i64"))
            begin = code.index((segment, self.length))
            if vectors:
                with code.loop(0, vectors * LANES, LANES) as k:
                    self._append_vector(source, dtype, first, code.index(begin, k), count)
            if vectors * LANES < self.length:
                with code.loop(vectors * LANES, self.length) as k:
                    self._append(source, dtype, first, code.index(begin, k), count)
        self._mark(code.int(self.segments), code.get(count, "i64"))

    def range(self, start: Value, stop: Value) -> tuple[Value, Value]:
        """The range of list entries of the segments start..stop-1."""
        code = self.code
        bounds = (code.load(self.starts, "i32", segment) for segment in (start, stop))
        begin, end = (code.convert(bound, "i32", "i64") for bound in bounds)
        return begin, end

    def position(self, k: Value) -> Value:
        """The position of entry k, an i64; of a list without a scale."""
        return self.offset(k, 1)

    def offset(self, k: Value, size: int) -> Value:
        """The offset of row `position` of entry k in rows of `size`, an i64; 1 or `size` is the
        scale."""
        entry = self.code.convert(self.code.load(self.list, "i32", k), "i32", "i64")
        return self.code.index((entry, size // self.scale))

    def _mark(self, segment: Value, count: Value) -> None:
        code = self.code
        code.store(code.convert(count, "i64", "i32"), self.starts, "i32", segment)

    def _append(self, source: Value, dtype: str, first: Value, i: Value, count: Value) -> None:
        code = self.code
        x = code.load(source, dtype, code.index(first, i))
        for fired in self._fired(dtype, x, 1):
            n = code.get(count, "i64")
            code.store(self._entry(i), self.list, "i32", n)
            code.set(count, code.index(n, code.builder.zext(fired, I64)))

    def _entry(self, i: Value) -> Value:
        return self.code.convert(self.code.index((i, self.scale)), "i64", "i32")

    def _fired(self, dtype: str, x: Value, lanes: int) -> Iterator[Value]:
        """Which of the elements are in the list, once more each."""
        code = self.code
        if not self.copies:
            yield code.nonzero(dtype, x, lanes)
        for least in range(self.copies):
            level = code.splat(ir.Constant(code.type(dtype), least), dtype, lanes)
            yield code.greater(dtype, x, level)

    def _append_vector(
        self, source: Value, dtype: str, first: Value, i: Value, count: Value
    ) -> None:
        code, b = self.code, self.code.builder
        x = code.load(source, dtype, code.index(first, i), LANES)
        kind = ir.VectorType(I32, LANES)
        lanes = ir.Constant(kind, [lane * self.scale for lane in range(LANES)])
        positions = b.add(code.splat(self._entry(i), "i32", LANES), lanes)
        undefined = ir.Constant(kind, ir.Undefined)
        for fired in self._fired(dtype, x, LANES):
            n = code.get(count, "i64")
            packed = b.call(_compress(b.module, kind), [positions, fired, undefined])
            code.store(packed, self.list, "i32", n)
            mask = b.bitcast(fired, ir.IntType(LANES))
            code.set(count, code.index(n, b.zext(b.ctpop(mask), I64)))


def _compress(module: ir.Module, kind: ir.VectorType) -> ir.Function:
    """The intrinsic that packs the selected lanes at the front of the vector."""
    name = f"llvm.experimental.vector.compress.v{LANES}i32"
    if name in module.globals:
        return module.globals[name]
    mask = ir.VectorType(ir.IntType(1), LANES)
    return ir.Function(module, ir.FunctionType(kind, [kind, mask, kind]), name)
