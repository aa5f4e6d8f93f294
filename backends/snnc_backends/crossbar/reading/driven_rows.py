"""The kernel that counts what the events of a layer drive: row blocks read, and rows driven."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from snnc.native.code import I16, I32, I64, Value
from snnc_backends.cpu.kernels import Code, Port, Table
from snnc_backends.crossbar.reading.event_windows import EventWindows

LANES = 16
"""Events that are looked at in one vector."""


@dataclass(frozen=True, kw_only=True)
class DrivenRows(EventWindows):
    """In each step [reads of row blocks, rows driven], over groups, phases and output positions.

    Row c*K + k of a group's matrix is channel c at tap k of the K taps of the kernel. Block b holds
    `rows` rows, which at tap k are the channels bound(b, k) .. bound(b + 1, k) - 1 with
    bound(b, k) = ceil((b*rows - k) / K). So for every pixel the events before each of these bounds
    are counted once, and a block at a position drives the sum of 2*K such counts. A Linear is the
    case of one pixel and one tap.

    Attributes:
        rows: word lines of a tile.
    """

    name: ClassVar[str] = "driven-rows"
    rows: int

    @property
    def blocks(self) -> int:
        """Row blocks of a group."""
        return -(-self.per_group * self.taps // self.rows)

    @cached_property
    def tables(self) -> Mapping[str, NDArray[Any]]:
        """Bounds in channels; per block and tap the planes of its two bounds; where a tap lies."""
        starts = np.arange(self.blocks + 1)[:, None] * self.rows
        cut = np.clip(-((np.arange(self.taps) - starts) // self.taps), 0, self.per_group)
        bounds, planes = np.unique(cut, return_inverse=True)
        planes = planes.reshape(cut.shape) * self.plane
        return {
            "bounds": bounds,
            "first": (planes[:-1] + self.offsets).ravel(),
            "last": (planes[1:] + self.offsets).ravel(),
        }

    def output(self) -> Port:
        return Port("f64", 2, self.constant)

    def arrays(self) -> dict[str, Table]:
        return {name: Table("i32", len(table)) for name, table in self.tables.items()}

    def scratch(self) -> int:
        counts = len(self.tables["bounds"]) * self.plane
        return 4 * (2 * self._words + counts + self.positions + LANES)

    @property
    def _words(self) -> int:
        """Groups of LANES channels, the last one not full (and perhaps empty)."""
        return self.per_group // LANES + 1

    def emit(self, code: Code) -> None:
        size = self.image.size
        place = _Emitted(self, code)
        place.clear()
        with code.loop(0, code.steps(self.constant)) as t:
            code.set(place.reads, code.int(0))
            code.set(place.driven, code.int(0))
            first = code.index((t, size))
            for sign in (1, -1) if self.signed else (1,):
                with code.loop(0, self.bits) as bit, code.loop(0, self.groups) as group:
                    start = code.index(first, (group, self.per_group))
                    place.count(start, sign, bit)
                    place.read_blocks()
            for k, total in enumerate((place.reads, place.driven)):
                value = code.convert(code.get(total, "i64"), "i64", "f64")
                code.store(value, code.output, "f64", code.index((t, 2), k))


class _Emitted:
    """The parts of the function, while it is generated."""

    def __init__(self, spec: DrivenRows, code: Code) -> None:
        self.spec, self.code = spec, code
        self.reads, self.driven = code.local("i64"), code.local("i64")
        words = spec._words
        self.words = code.scratch
        self.before = code.at(code.scratch, "i32", words)
        self.counts = code.at(code.scratch, "i32", 2 * words)
        planes = len(spec.tables["bounds"]) * spec.plane
        self.sums = code.at(code.scratch, "i32", 2 * words + planes)
        self.planes = planes

    def clear(self) -> None:
        """No events around the image."""
        with self.code.loop(0, self.planes) as i:
            self.code.store(self.code.zero("i32"), self.counts, "i32", i)

    def count(self, start: Value, sign: int, bit: Value) -> None:
        """For every pixel, the driven channels before each bound."""
        spec, code = self.spec, self.code
        bounds = len(spec.tables["bounds"])
        with code.loop(0, spec.height) as y, code.loop(0, spec.width) as x:
            pixel = code.index((y, spec.width), x)
            self._mark(code.index(start, (pixel, spec.channels)), sign, bit)
            target = spec.pixel(code, y, x)
            with code.loop(0, bounds) as j:
                bound = code.load(code.arrays["bounds"], "i32", j)
                before = self._before(bound)
                code.store(before, self.counts, "i32", code.index((j, spec.plane), target))

    def _mark(self, first: Value, sign: int, bit: Value) -> None:
        """The driven channels of a pixel as bits of words, and how many come before each word."""
        spec, code, b = self.spec, self.code, self.code.builder
        total = code.local("i32")
        code.set(total, code.zero("i32"))
        with code.loop(0, spec.per_group // LANES) as w:
            mask = spec.driven(code, code.index(first, (w, LANES)), sign, bit, LANES)
            self._append(w, b.zext(b.bitcast(mask, I16), I32), total)
        rest = code.local("i32")
        code.set(rest, code.zero("i32"))
        done = spec.per_group // LANES * LANES
        with code.loop(0, spec.per_group - done) as k:
            mask = b.zext(spec.driven(code, code.index(first, done, k), sign, bit, 1), I32)
            place = b.shl(mask, code.convert(k, "i64", "i32"))
            code.set(rest, b.or_(code.get(rest, "i32"), place))
        self._append(code.int(done // LANES), code.get(rest, "i32"), total)

    def _append(self, w: Value, word: Value, total: Value) -> None:
        code = self.code
        code.store(word, self.words, "i32", w)
        before = code.get(total, "i32")
        code.store(before, self.before, "i32", w)
        code.set(total, code.builder.add(before, code.builder.ctpop(word)))

    def _before(self, bound: Value) -> Value:
        """How many channels below `bound` are driven."""
        code, b = self.code, self.code.builder
        w = b.zext(b.lshr(bound, bound.type(LANES.bit_length() - 1)), I64)
        place: Value = b.and_(bound, bound.type(LANES - 1))
        below = b.sub(b.shl(place.type(1), place), place.type(1))
        part = b.and_(code.load(self.words, "i32", w), below)
        return b.add(code.load(self.before, "i32", w), b.ctpop(part))

    def read_blocks(self) -> None:
        """Add up the rows driven of every block at all positions."""
        spec, code = self.spec, self.code
        lanes = spec.lanes
        total = code.local("i32", lanes)
        with code.loop(0, spec.blocks) as block:
            with code.loop(0, spec.positions, lanes) as p:
                code.set(total, code.zero("i32", lanes))
                with code.loop(0, spec.taps) as k:
                    self._add(total, code.index((block, spec.taps), k), p, lanes)
                code.store(code.get(total, "i32", lanes), self.sums, "i32", p)
            self._tally()

    def _add(self, total: Value, entry: Value, p: Value, lanes: int) -> None:
        code, b = self.code, self.code.builder
        ends: list[Value] = []
        for name in ("first", "last"):
            start = code.convert(code.load(code.arrays[name], "i32", entry), "i32", "i64")
            ends.append(code.load(self.counts, "i32", code.index(start, p), lanes))
        rows = b.sub(ends[1], ends[0])
        code.set(total, b.add(code.get(total, "i32", lanes), rows))

    def _tally(self) -> None:
        """Count the block at the output positions."""
        spec, code, b = self.spec, self.code, self.code.builder
        with code.loop(0, spec.out_height) as y, code.loop(0, spec.out_width) as x:
            rows = code.load(self.sums, "i32", spec.position(code, y, x))
            read = b.zext(code.nonzero("i32", rows), I64)
            code.set(self.reads, b.add(code.get(self.reads, "i64"), read))
            driven = b.add(code.get(self.driven, "i64"), b.zext(rows, I64))
            code.set(self.driven, driven)
