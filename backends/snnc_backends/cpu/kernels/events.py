"""The list of nonzero elements of one step of a tensor, over which event-driven kernels loop."""

from __future__ import annotations

from collections.abc import Iterator

from llvmlite import ir

from snnc.native.code import I16, I32, I64, Value
from snnc_backends.cpu.kernels.code import Code

LANES = 16
VALUES = 16
"""The largest value in a list with values."""
WIDEST = 64
"""Most elements that are looked at at a time."""


def scratch(segments: int, size: int) -> int:
    """Bytes of working memory for a list over `size` elements in `segments` segments."""
    return 4 * (segments + 1 + size + WIDEST)


class Events:
    """Positions (i32) of the nonzero elements, and where each segment starts.

    Positions are stored times `scale`. A segment is one or more rows of `length` consecutive
    elements; the list lives in `memory`, by default the function's scratch memory: segments + 1
    starts, then the positions, then space for more vectors.

    A `valued` list has every element once, and its value: `scale` is then a multiple of VALUES, and
    an entry has the value, less one, added to it.
    """

    def __init__(
        self,
        code: Code,
        segments: int,
        length: int,
        memory: Value | None = None,
        scale: int = 1,
        *,
        valued: bool = False,
    ) -> None:
        self.code, self.scale, self.valued = code, scale, valued
        self.segments, self.length = segments, length
        self.starts = code.scratch if memory is None else memory
        self.list = code.at(self.starts, "i32", segments + 1)

    def collect(
        self,
        source: Value,
        dtype: str,
        first: Value,
        copies: int = 0,
        span: tuple[Value | int, Value | int] | None = None,
    ) -> None:
        """Fill the list from the elements `first`, `first + 1`, … of a tensor, a row a segment.

        With a `span`, only the segments of that range are listed, and may be asked for.

        With `copies`, an element of value n is in the list n times, at most `copies` times, and one
        below zero never; a list with values has it once, with a value of at most `copies`.
        """
        code = self.code
        self.open()
        start, stop = span or (0, self.segments)
        with code.loop(start, stop) as segment:
            self.mark(segment)
            place = code.index((segment, self.length))
            self.append(source, dtype, code.index(first, place), place, copies)
        self.mark(code.index(stop))

    def open(self) -> None:
        """Begin an empty list."""
        self._count = self.code.local("i64")
        self.code.set(self._count, self.code.int(0))

    def mark(self, segment: Value) -> None:
        """Say that a segment starts here; that behind the last one ends the list."""
        code = self.code
        count = code.convert(code.get(self._count, "i64"), "i64", "i32")
        code.store(count, self.starts, "i32", segment)

    def append(
        self, source: Value, dtype: str, first: Value, position: Value, copies: int = 0
    ) -> None:
        """List the row of a tensor that starts at element `first`; its elements are at `position`,
        `position + 1`, …; `copies` as in `collect`."""
        code, self.copies = self.code, copies
        most = WIDEST if code.machine.compress_bytes and dtype == "i8" else LANES
        least = LANES if code.machine.compress else self.length + 1

        def look(i: Value, lanes: int) -> None:
            where, entry = code.index(first, i), code.index(position, i)
            if most > LANES:
                self._bytes(code.load(source, dtype, where, lanes), dtype, entry, lanes)
            else:
                self._vector(code.load(source, dtype, where, lanes), dtype, entry)

        done = self.length // least * least
        code.blocks(done, most, look)
        if done < self.length:
            with code.loop(done, self.length) as k:
                x = code.load(source, dtype, code.index(first, k))
                self._single(x, dtype, code.index(position, k))

    def range(self, start: Value, stop: Value) -> tuple[Value, Value]:
        """The range of list entries of the segments start..stop-1."""
        code = self.code
        bounds = (code.load(self.starts, "i32", segment) for segment in (start, stop))
        begin, end = (code.convert(bound, "i32", "i64") for bound in bounds)
        return begin, end

    def position(self, k: Value) -> Value:
        """The position of entry k, an i64; of a list without a scale."""
        return self.entry(k, 1)[0]

    def entry(self, k: Value, size: int) -> tuple[Value, Value]:
        """Where row `position` of entry k begins among rows of `size`, an i64; and its value, an
        i16, or None. The scale is 1 or `size`."""
        code, b = self.code, self.code.builder
        entry, value = code.load(self.list, "i32", k), None
        if self.valued:
            value = b.add(b.and_(entry, ir.Constant(I32, VALUES - 1)), ir.Constant(I32, 1))
            value = b.trunc(value, I16)
            entry = b.and_(entry, ir.Constant(I32, -VALUES))
        return code.index((code.convert(entry, "i32", "i64"), size // self.scale)), value

    def _single(self, x: Value, dtype: str, position: Value) -> None:
        code = self.code
        entry = self._entry(position)
        if self.valued:
            entry = code.builder.add(entry, self._above_one(x, dtype, 1))
        for fired in self._fired(dtype, x, 1):
            n = code.get(self._count, "i64")
            code.store(entry, self.list, "i32", n)
            code.set(self._count, code.index(n, code.builder.zext(fired, I64)))

    def _above_one(self, x: Value, dtype: str, lanes: int) -> Value:
        """Values of at most `copies`, less one, as i32; of those that fire."""
        code, b = self.code, self.code.builder
        most, one = (
            code.splat(ir.Constant(code.type(dtype), n), dtype, lanes) for n in (self.copies, 1)
        )
        least = b.select(code.greater(dtype, x, most), most, x)
        return code.convert(b.sub(least, one), dtype, "i32", lanes)

    def _entry(self, position: Value) -> Value:
        return self.code.convert(self.code.index((position, self.scale)), "i64", "i32")

    def _fired(self, dtype: str, x: Value, lanes: int) -> Iterator[Value]:
        """Which of the elements are in the list, once more each."""
        code = self.code
        if not self.copies:
            yield code.nonzero(dtype, x, lanes)
        for least in range(1 if self.valued else self.copies):
            level = code.splat(ir.Constant(code.type(dtype), least), dtype, lanes)
            yield code.greater(dtype, x, level)

    def _vector(self, x: Value, dtype: str, position: Value) -> None:
        """List a vector of LANES elements."""
        code, b = self.code, self.code.builder
        offsets = _numbers(code, "i32", LANES, self.scale)
        positions = b.add(code.splat(self._entry(position), "i32", LANES), offsets)
        if self.valued:
            positions = b.add(positions, self._above_one(x, dtype, LANES))
        for fired in self._fired(dtype, x, LANES):
            n = code.get(self._count, "i64")
            code.store(_packed(code, positions, fired, "i32", LANES), self.list, "i32", n)
            self._advance(n, fired, LANES)

    def _bytes(self, x: Value, dtype: str, position: Value, lanes: int) -> None:
        """List a vector of up to 64 elements: their numbers are packed as bytes."""
        code, b = self.code, self.code.builder
        numbers = _numbers(code, "i8", lanes, 1)
        start = code.splat(self._entry(position), "i32", LANES)
        for fired in self._fired(dtype, x, lanes):
            packed = _packed(code, numbers, fired, "i8", lanes)
            values = _packed(code, x, fired, "i8", lanes) if self.valued else None
            n = code.get(self._count, "i64")
            found = self._advance(n, fired, lanes)
            self._write(packed, values, start, n, range(0, min(lanes, 2 * LANES), LANES))
            if lanes > 2 * LANES:
                with b.if_then(b.icmp_signed(">", found, code.int(2 * LANES)), likely=False):
                    self._write(packed, values, start, n, range(2 * LANES, lanes, LANES))

    def _write(self, packed: Value, values: Value, start: Value, n: Value, places: range) -> None:
        """Write the entries of some of the packed numbers and values, 16 from each place on."""
        code, b = self.code, self.code.builder
        wide = ir.VectorType(I32, LANES)
        for place in places:
            lanes = ir.Constant(wide, list(range(place, place + LANES)))
            part = b.zext(b.shuffle_vector(packed, packed, lanes), wide)
            entry = b.add(start, b.mul(part, ir.Constant(wide, [self.scale] * LANES)))
            if values is not None:
                part = b.shuffle_vector(values, values, lanes)
                entry = b.add(entry, self._above_one(part, "i8", LANES))
            code.store(entry, self.list, "i32", code.index(n, place))

    def _advance(self, n: Value, fired: Value, lanes: int) -> Value:
        """Count those that fired from n on; returns how many they are."""
        code, b = self.code, self.code.builder
        mask = b.ctpop(b.bitcast(fired, ir.IntType(lanes)))
        found = b.zext(mask, I64) if lanes < 64 else mask
        code.set(self._count, code.index(n, found))
        return found


def _numbers(code: Code, dtype: str, lanes: int, scale: int) -> Value:
    """0, 1, 2, … times `scale`."""
    return ir.Constant(code.type(dtype, lanes), [lane * scale for lane in range(lanes)])


def _packed(code: Code, values: Value, fired: Value, dtype: str, lanes: int) -> Value:
    """The values that fired, at the front of the vector."""
    kind, module = code.type(dtype, lanes), code.builder.module
    name = f"llvm.experimental.vector.compress.v{lanes}{dtype}"
    mask = ir.VectorType(ir.IntType(1), lanes)
    function = module.globals.get(name) or ir.Function(
        module, ir.FunctionType(kind, [kind, mask, kind]), name
    )
    return code.builder.call(function, [values, fired, ir.Constant(kind, ir.Undefined)])
