"""Sums of rows of 8-bit weights, in vectors of 16 bits."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from llvmlite import ir

from snnc.native.code import I16, Value
from snnc_backends.cpu.kernels.code import Code
from snnc_backends.cpu.kernels.epilogue import LANES, Epilogue
from snnc_backends.cpu.kernels.events import Events

LINE = 64
"""Bytes of a cache line."""


@dataclass(frozen=True)
class Rows:
    """The rows of weights that are added up; see `EventLayer`.

    Attributes:
        unit: channels of a unit.
        digits: of a weight.
        nbytes: of a row.
        next_slab: bytes from a row to that of the next slab, where it is fetched; else 0.
        limit: the most events whose sums fit 16 bits; None where those of all windows do.
        valued: whether events have values.
    """

    unit: int
    digits: int
    nbytes: int
    next_slab: int
    limit: int | None
    valued: bool


class EventSums:
    """Code for the sums of up to `most` units of channels, which are held in registers, and move to
    the currents of an epilogue.

    Per unit they are the sum of the words and that of their upper halves; see `EventLayer`. Where
    events have values these are multiplied with both, and added up.
    """

    def __init__(self, rows: Rows, code: Code, epilogue: Epilogue, most: int) -> None:
        self.rows, self.code, self.epilogue = rows, code, epilogue
        self.lanes = rows.unit // 2
        most *= rows.digits
        self.words = [code.local("i16", self.lanes) for _ in range(most)]
        self.highs = [code.local("i16", self.lanes) for _ in range(most)]
        self.values = code.local("i16", self.lanes)
        self.used, self.begin = code.local("i64"), code.local("i64")
        self.nothing = code.array("i16", most * self.lanes)
        for number in range(most):
            code.store(code.zero("i16", self.lanes), self.nothing, "i16", number * self.lanes)

    def clear(self, size: int) -> None:
        """Set the sums of `size` units to zero."""
        code = self.code
        count = size * self.rows.digits
        for each in (*self.words[:count], *self.highs[:count], self.values):
            code.set(each, code.zero("i16", self.lanes))
        code.set(self.used, code.int(0))

    def add(self, events: Events, span: tuple[Value, Value], shift: Value, units: range) -> None:
        """Add, of a span of events, the weights of `units` in the rows `position + shift`.

        Whenever `limit` events are in the sums, these move to the currents.
        """
        code, b = self.code, self.code.builder
        begin, end = span
        if self.rows.limit is None:
            self._run(events, begin, end, shift, units)
            code.set(self.used, code.index(code.get(self.used, "i64"), b.sub(end, begin)))
            return
        code.set(self.begin, begin)
        limit = code.int(self.rows.limit)
        with code.repeat(lambda: b.icmp_signed("<", code.get(self.begin, "i64"), end)):
            now, used = code.get(self.begin, "i64"), code.get(self.used, "i64")
            stop = code.minimum(end, code.index(now, b.sub(limit, used)))
            self._run(events, now, stop, shift, units)
            after = code.index(used, b.sub(stop, now))
            code.set(self.begin, stop)
            code.set(self.used, after)
            with b.if_then(b.icmp_signed("==", after, limit), likely=False):
                self.widen(units)
                self.clear(len(units))

    def _run(self, events: Events, begin: Value, end: Value, shift: Value, units: range) -> None:
        """Two events at a time; of an odd number the first one comes with nothing."""
        rows, code, b = self.rows, self.code, self.code.builder
        start = code.index((shift, rows.nbytes), units.start * rows.unit * rows.digits)
        table = code.at(code.arrays["weight"], "i8", start)
        odd = b.and_(b.sub(end, begin), code.int(1))
        is_odd = b.icmp_signed("!=", odd, code.int(0))
        offset, value = events.entry(begin, rows.nbytes)
        first = b.select(is_odd, code.at(table, "i8", offset), self.nothing)
        self._add_row(first, value and b.select(is_odd, value, code.zero("i16")), len(units))
        with code.loop(code.index(begin, odd), end, 2) as k:
            for number in range(2):
                offset, value = events.entry(code.index(k, number), rows.nbytes)
                self._add_row(code.at(table, "i8", offset), value, len(units))

    def _add_row(self, row: Value, value: Value, size: int) -> None:
        """Add the weights of `size` units at an address, times the value of the event if it has
        one; ask for those of the next slab."""
        rows, code, b = self.rows, self.code, self.code.builder
        if rows.next_slab:  # behind the last slab come those of the next layer, much the same
            for line in range(0, size * rows.digits * rows.unit, LINE):
                code.prefetch_line(code.at(row, "i8", rows.next_slab + line))
        eight = ir.Constant(ir.VectorType(I16, self.lanes), [8] * self.lanes)
        factor = None if value is None else code.splat(value, "i16", self.lanes)
        if factor is not None:
            self._more(self.values, factor)
        count = size * rows.digits
        for number, (words, highs) in enumerate(zip(self.words[:count], self.highs, strict=False)):
            w = code.load(row, "i16", number * self.lanes, self.lanes)
            high = b.ashr(w, eight)
            for total, each in ((words, w), (highs, high)):
                self._more(total, each if factor is None else b.mul(each, factor))

    def _more(self, total: Value, more: Value) -> None:
        code = self.code
        code.set(total, code.builder.add(code.get(total, "i16", self.lanes), more))

    def widen(self, units: range) -> None:
        """Add the sums of `units` to the currents, of 32 bits."""
        rows, code, b, lanes = self.rows, self.code, self.code.builder, self.lanes
        eight = ir.Constant(ir.VectorType(I16, lanes), [8] * lanes)
        seven = ir.Constant(ir.VectorType(I16, lanes), [7] * lanes)
        values = code.get(self.values, "i16", lanes)
        if not rows.valued:
            values = code.splat(b.trunc(code.get(self.used, "i64"), I16), "i16", lanes)
        bias = b.shl(values, seven)
        currents, padded = self.epilogue.current, self.epilogue.padded
        for number, (unit, digit) in enumerate(product(units, range(rows.digits))):
            high = code.get(self.highs[number], "i16", lanes)
            low = b.sub(code.get(self.words[number], "i16", lanes), b.shl(high, eight))
            halves = (b.sub(low, bias), high)
            for place in range(0, 2 * lanes, LANES):
                part = code.convert(_lanes(code, halves, place), "i16", "i32", LANES)
                where = code.int(digit * padded + unit * 2 * lanes + place)
                old = code.load(currents, "i32", where, LANES)
                code.store(b.add(old, part), currents, "i32", where)


def _lanes(code: Code, halves: tuple[Value, Value], place: int) -> Value:
    """The lanes from `place` on of two vectors, one behind the other."""
    from_there = ir.Constant(
        ir.VectorType(code.type("i32"), LANES), list(range(place, place + LANES))
    )
    return code.builder.shuffle_vector(*halves, from_there)
