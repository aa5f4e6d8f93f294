"""The code of the kernel `tile_reads`."""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir

from snnc.native.code import I32, I64, Value
from snnc_backends.cpu.kernels import Code
from snnc_backends.cpu.kernels.events import Events, scratch
from snnc_backends.crossbar.reading.column_noise import ColumnNoise
from snnc_backends.crossbar.reading.tile_layout import MOST_LANES, TileLayout

LARGEST_CODE = 1 << 22
MAGIC = 1.5 * 2.0**23
"""Adding and subtracting it rounds a float32 below `LARGEST_CODE` to a whole number, half to even.
"""


class StepReads:
    """The reads of one step, while their code is generated."""

    def __init__(
        self, spec: TileLayout, code: Code, events: Events, first: Value, t: Value
    ) -> None:
        self.spec, self.code, self.events, self.first, self.t = spec, code, events, first, t
        self.clipped = code.local("i64")
        code.set(self.clipped, code.int(0))
        own = scratch(events.segments, spec.image.size) // 4
        self.counts = code.at(code.scratch, "i32", own)
        self.lists = code.at(code.scratch, "i32", own + spec.blocks)
        self.totals = code.at(code.scratch, "i64", spec.totals_at // 8)
        self.shared = code.at(code.scratch, "i64", spec.totals_at // 8 + spec.outputs)
        self.sums = code.at(code.scratch, "i32", spec.sums_at // 4)
        self.noise = ColumnNoise(code, spec.variance_bits) if spec.noisy else None

    def tally(self) -> None:
        """Store what was counted."""
        code = self.code
        value = code.convert(code.get(self.clipped, "i64"), "i64", "f64")
        code.store(value, code.inputs[1], "f64", self.t)

    def position(self, y: Value, x: Value, g: Value) -> None:
        """The outputs of a group at one position."""
        spec, code = self.spec, self.code
        matrix = self._matrix(y, x, g)
        with code.loop(0, spec.outputs) as o:
            code.store(code.zero(spec.total), self.totals, spec.total, o)
        for number, sign in enumerate((1, -1) if spec.signed else (1,)):
            with code.loop(0, spec.bits) as bit:
                with code.loop(0, spec.blocks) as block:
                    code.store(code.zero("i32"), self.counts, "i32", block)
                self._list_rows(y, x, g, matrix, sign, bit)
                phase = code.index(bit, number * spec.bits)
                with code.loop(0, spec.blocks) as block:
                    self._block(_Read(y, x, g, matrix, block, phase), sign, bit)
        self._finish(y, x, g)

    def _matrix(self, y: Value, x: Value, g: Value) -> Value:
        """The number of the matrix of the copy that has a position, and of a group."""
        spec, code = self.spec, self.code
        if spec.copies == 1:
            return g
        position = code.index((y, spec.out_width), x)
        copy = code.builder.urem(position, code.int(spec.copies))
        return code.index((copy, spec.groups), g)

    def _list_rows(
        self, y: Value, x: Value, g: Value, matrix: Value, sign: int, bit: Value
    ) -> None:
        """List the driven rows of every block."""
        spec, code, b = self.spec, self.code, self.code.builder
        with code.loop(0, spec.kernel_h) as kh, code.loop(0, spec.kernel_w) as kw:
            row, column = spec.row(code, y, kh), spec.column(code, x, kw)
            inside = spec.inside(code, row, spec.height), spec.inside(code, column, spec.width)
            with b.if_then(b.and_(*inside)):
                pixel = code.index((row, spec.width), column)
                segment = code.index((pixel, spec.groups), g)
                tap = code.index((kh, spec.kernel_w), kw)
                begin, end = self.events.range(segment, code.index(segment, 1))
                start = code.index((segment, spec.per_group))
                with code.loop(begin, end) as k:
                    place = self.events.position(k)
                    line = code.index((b.sub(place, start), spec.taps), tap)
                    driven = self._driven(place, sign, bit)
                    self._append_placed(matrix, line, driven)

    def _append_placed(self, matrix: Value, line: Value, driven: Value) -> None:
        """Append a row of the matrix, if it is placed and driven."""
        spec, code, b = self.spec, self.code, self.code.builder
        if not spec.partly:
            self._append(line, driven)
            return
        place = code.load(code.arrays["place"], "i32", code.index((matrix, spec.matrix_rows), line))
        with b.if_then(b.icmp_signed(">=", place, code.zero("i32"))):
            self._append(code.convert(place, "i32", "i64"), driven)

    def _append(self, line: Value, driven: Value) -> None:
        """Append a row to the list of its block, if it is driven."""
        spec, code, b = self.spec, self.code, self.code.builder
        block = b.udiv(line, code.int(spec.rows)) if spec.blocks > 1 else code.int(0)
        count = code.load(self.counts, "i32", block)
        at = code.index((block, spec.rows), code.convert(count, "i32", "i64"))
        code.store(code.convert(line, "i64", "i32"), self.lists, "i32", at)
        code.store(b.add(count, driven), self.counts, "i32", block)

    def _driven(self, place: Value, sign: int, bit: Value) -> Value:
        """1 if an event drives its row in the phase of a sign and a bit, else 0; an i32."""
        spec, code, b = self.spec, self.code, self.code.builder
        if spec.phases == 1:
            return ir.Constant(I32, 1)
        x = code.load(code.inputs[0], spec.source, code.index(self.first, place))
        x = code.convert(x, spec.source, "i32")
        if sign < 0:
            x = b.neg(x)
        shifted = b.lshr(x, code.convert(bit, "i64", "i32"))
        positive = b.zext(code.greater("i32", x, code.zero("i32")), I32)
        return b.and_(positive, shifted)

    def _block(self, read: _Read, sign: int, bit: Value) -> None:
        """Read one row block, if a row of it is driven."""
        spec, code, b = self.spec, self.code, self.code.builder
        count = code.convert(code.load(self.counts, "i32", read.block), "i32", "i64")
        with b.if_then(code.greater("i64", count, code.int(0))):
            if self.noise is not None:
                self.noise.seek(read.number(spec, code, self.t))
            worth = b.shl(code.int(1), bit)
            worth = code.convert(b.neg(worth) if sign < 0 else worth, "i64", spec.total)
            columns = _Columns(self, read, count, worth)
            code.blocks(spec.references, code.machine.block // 4, columns.share)
            wide = code.machine.block // (2 if spec.columns <= 4 else 4)
            code.blocks(spec.outputs, wide, columns.convert)

    def _finish(self, y: Value, x: Value, g: Value) -> None:
        """Round the totals, add the bias, store the result."""
        spec, code, b = self.spec, self.code, self.code.builder
        first = code.index((y, spec.out_width * spec.out_channels), (x, spec.out_channels))
        first = code.index(first, (g, spec.all_outputs))

        def store(offset: Value, total: Value, lanes: int) -> None:
            y = code.convert(self._whole(total, lanes), spec.total, "i32", lanes)
            if spec.bias != "none":
                start = code.index((g, spec.all_outputs)) if spec.bias == "channel" else first
                bias = code.load(code.arrays["bias"], "i32", code.index(start, offset), lanes)
                y = code.add("i32", y, bias)
            out = code.index((self.t, spec.output().size), first, offset)
            code.store(y, code.output, "i32", out)

        if spec.outputs == spec.all_outputs:
            code.blocks(
                spec.outputs,
                code.machine.block // 4,
                lambda o, lanes: store(o, code.load(self.totals, spec.total, o, lanes), lanes),
            )
            return
        total = code.local(spec.total)
        with code.loop(0, spec.all_outputs) as o:
            code.set(total, code.zero(spec.total))
            column = code.load(code.arrays["column"], "i32", o)
            with b.if_then(b.icmp_signed(">=", column, code.zero("i32"))):
                place = code.convert(column, "i32", "i64")
                code.set(total, code.load(self.totals, spec.total, place))
            store(o, code.get(total, spec.total), 1)

    def _whole(self, total: Value, lanes: int) -> Value:
        """A total without its binary places, rounded half to even."""
        spec, code, b = self.spec, self.code, self.code.builder
        if not spec.total_bits:
            return total

        def constant(value: int) -> Value:
            kind = code.type(spec.total)
            return code.splat(ir.Constant(kind, value), spec.total, lanes)

        odd = b.and_(b.ashr(total, constant(spec.total_bits)), constant(1))
        raised = b.add(b.add(total, constant((1 << (spec.total_bits - 1)) - 1)), odd)
        return b.ashr(raised, constant(spec.total_bits))


@dataclass(frozen=True)
class _Read:
    """A read of one row block: output position, group, matrix, block, number of the phase."""

    y: Value
    x: Value
    g: Value
    matrix: Value
    block: Value
    phase: Value

    def number(self, spec: TileLayout, code: Code, t: Value) -> Value:
        """Its number among all reads of the layer for one sample."""
        position = code.index((code.index((t, spec.out_height), self.y), spec.out_width), self.x)
        group = code.index((position, spec.groups), self.g)
        phase = code.index((group, spec.phases), self.phase)
        return code.index((phase, spec.blocks), self.block)


@dataclass(frozen=True)
class _Columns:
    """The columns of a row block that is read.

    Attributes:
        count: rows driven.
        worth: of the phase.
    """

    of: StepReads
    read: _Read
    count: Value
    worth: Value

    def convert(self, offset: Value, lanes: int) -> None:
        """Sum up and convert the columns of `lanes` outputs from `offset` on; add to totals."""
        spec, code = self.of.spec, self.of.code
        part = code.local(spec.total, lanes)
        code.set(part, self._start(offset, lanes))
        self._add_values(part, offset, spec.columns, lanes)
        total = code.get(part, spec.total, lanes)
        if spec.phases > 1:
            total = code.mul(spec.total, total, code.splat(self.worth, spec.total, lanes))
        before = code.load(self.of.totals, spec.total, offset, lanes)
        code.store(code.add(spec.total, before, total), self.of.totals, spec.total, offset)

    def share(self, offset: Value, lanes: int) -> None:
        """Convert `lanes` reference columns from `offset` on, for all outputs of their tiles."""
        spec, code, b = self.of.spec, self.of.code, self.of.code.builder
        part = code.local(spec.total, lanes)
        code.set(part, code.zero(spec.total, lanes))
        self._add_values(part, code.index(spec.columns * spec.outputs, offset), 1, lanes)
        values = code.get(part, spec.total, lanes)
        for lane in range(lanes):
            place = ir.Constant(I32, lane)
            value = b.extract_element(values, place) if lanes > 1 else values
            start = code.index((offset, spec.per_tile), lane * spec.per_tile)
            stop = code.minimum(code.index(start, spec.per_tile), code.int(spec.outputs))
            with code.loop(start, stop) as o:
                code.store(value, self.of.shared, spec.total, o)

    def _start(self, offset: Value, lanes: int) -> Value:
        """What is shared by all columns of an output."""
        spec, code, b = self.of.spec, self.of.code, self.of.code.builder
        if spec.references:
            return code.load(self.of.shared, spec.total, offset, lanes)
        if not spec.subtracted:
            return code.zero(spec.total, lanes)
        taken = b.mul(self.count, code.int(-spec.subtracted << spec.total_bits))
        return code.splat(code.convert(taken, "i64", spec.total), spec.total, lanes)

    def _add_values(self, part: Value, first: Value, columns: int, lanes: int) -> None:
        """Add worth times code of `columns` columns of `lanes` outputs, from line `first` on."""
        spec, code = self.of.spec, self.of.code
        sums = self._sums(first, columns, lanes)
        block = code.index((self.read.matrix, spec.blocks), self.read.block)
        with code.loop(0, columns) as i:
            line = code.index(first, (i, spec.outputs))
            kept = code.index((i, lanes))
            value = code.load(sums["cells"], "i32", kept, lanes)
            value = code.convert(value, "i32", "f32", lanes)
            if self.of.noise is not None:
                spread = code.load(sums["variance"], "i32", kept, lanes)
                value = self.of.noise.added(value, spread, line, lanes)
            at = code.index((block, spec.lines), line)
            gain = code.load(code.arrays["gain"], "f32", at, lanes)
            whole = self._code(code.mul("f32", value, gain), lanes)
            worth = code.load(code.arrays["worth"], "i32", at, lanes)
            worth = code.convert(worth, "i32", spec.total, lanes)
            value = code.mul(spec.total, code.convert(whole, "f32", spec.total, lanes), worth)
            code.set(part, code.add(spec.total, code.get(part, spec.total, lanes), value))

    def _sums(self, first: Value, columns: int, lanes: int) -> dict[str, Value]:
        """Per column the sum of its driven cells, and of their variances: `lanes` i32 each."""
        spec, code = self.of.spec, self.of.code
        kinds = {"cells": spec.cell, **({"variance": spec.variance} if spec.noisy else {})}
        totals = {name: [code.local("i32", lanes) for _ in range(columns)] for name in kinds}
        for each in totals.values():
            for total in each:
                code.set(total, code.zero("i32", lanes))
        start = code.index((self.read.block, spec.rows))
        with code.loop(start, code.index(start, self.count)) as k:
            row = code.convert(code.load(self.of.lists, "i32", k), "i32", "i64")
            row = code.index((self.read.matrix, spec.placed), row)
            row = code.index((row, spec.lines), first)
            for name, kind in kinds.items():
                for i, total in enumerate(totals[name]):
                    at = code.index(row, i * spec.outputs)
                    cell = code.load(code.arrays[name], kind, at, lanes)
                    wide = code.convert(cell, kind, "i32", lanes)
                    code.set(total, code.add("i32", code.get(total, "i32", lanes), wide))
        sizes = {name: number * spec.columns * MOST_LANES for number, name in enumerate(kinds)}
        kept = {name: code.at(self.of.sums, "i32", size) for name, size in sizes.items()}
        for name, each in totals.items():
            for i, total in enumerate(each):
                value = code.get(total, "i32", lanes)
                code.store(value, kept[name], "i32", code.int(i * lanes))
        return kept

    def _code(self, value: Value, lanes: int) -> Value:
        """The code of a value, a whole float32; counts what is clipped."""
        spec, code, b = self.of.spec, self.of.code, self.of.code.builder

        def constant(number: float) -> Value:
            return code.splat(ir.Constant(code.type("f32"), number), "f32", lanes)

        if spec.top:
            low, high = code.zero("f32", lanes), constant(float(spec.top))
            below = b.fcmp_ordered("<", value, constant(-0.5))
            above = b.fcmp_ordered(">", value, constant(spec.top + 0.5))
            outside = b.or_(below, above)
            mask = b.bitcast(outside, ir.IntType(lanes)) if lanes > 1 else outside
            clipped = self.of.clipped
            wide = b.zext(mask, I64) if lanes < 64 else mask
            code.set(clipped, code.index(code.get(clipped, "i64"), b.ctpop(wide)))
            value = b.select(b.fcmp_ordered("<", value, low), low, value)
            value = b.select(b.fcmp_ordered(">", value, high), high, value)
        magic = constant(MAGIC)
        return code.sub("f32", code.add("f32", value, magic), magic)
