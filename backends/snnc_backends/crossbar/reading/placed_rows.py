"""The kernel that counts what events drive where rows are left out, or groups share tiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from snnc.native.code import I64, Value
from snnc_backends.cpu.kernels import Code, Port, Table
from snnc_backends.crossbar.reading.event_windows import EventWindows


@dataclass(frozen=True, kw_only=True)
class PlacedRows(EventWindows):
    """In each step [tiles read, columns converted, rows driven in tiles], over all positions.

    Every driven event of a phase is a byte in the plane of its channel; the rows of a set of word
    lines are summed at all positions. So any rows may be in a set, of any groups; `DrivenRows` is
    faster where they are consecutive rows of one group.

    Attributes:
        sets: sets of word lines that are driven at once.
        placed: rows in all of them.
    """

    name: ClassVar[str] = "placed-rows"
    sets: int
    placed: int

    def tables(
        self, rows: Sequence[NDArray[np.integer]], tiles: Sequence[int], columns: Sequence[int]
    ) -> Mapping[str, NDArray[Any]]:
        """The arrays.

        Args:
            rows: per set its rows: channel (of all groups) * taps + tap.
            tiles: per set, tiles side by side.
            columns: per set, physical columns of these tiles.
        """
        joined = np.concatenate(rows) if rows else np.zeros(0, np.int64)
        return {
            "starts": np.cumsum([0, *map(len, rows)]),
            "lines": joined // self.taps * self.plane + self.offsets[joined % self.taps],
            "tiles": np.asarray(tiles),
            "columns": np.asarray(columns),
        }

    def output(self) -> Port:
        return Port("f64", 3, self.constant)

    def arrays(self) -> dict[str, Table]:
        sizes = {"starts": self.sets + 1, "lines": self.placed}
        sizes |= {"tiles": self.sets, "columns": self.sets}
        return {name: Table("i32", size) for name, size in sizes.items()}

    def scratch(self) -> int:
        return 4 * self.positions + self.channels * self.plane

    def emit(self, code: Code) -> None:
        size = self.image.size
        totals = [code.local("i64") for _ in range(3)]
        planes = code.at(code.scratch, "i32", self.positions)
        with code.loop(0, self.channels * self.plane) as i:
            code.store(code.zero("i8"), planes, "i8", i)
        with code.loop(0, code.steps(self.constant)) as t:
            for total in totals:
                code.set(total, code.int(0))
            first = code.index((t, size))
            for sign in (1, -1) if self.signed else (1,):
                with code.loop(0, self.bits) as bit:
                    self._mark(code, planes, first, sign, bit)
                    with code.loop(0, self.sets) as number:
                        self._sum(code, planes, number)
                        self._tally(code, number, totals)
            for k, total in enumerate(totals):
                value = code.convert(code.get(total, "i64"), "i64", "f64")
                code.store(value, code.output, "f64", code.index((t, 3), k))

    def _mark(self, code: Code, planes: Value, first: Value, sign: int, bit: Value) -> None:
        """1 for every event that drives its row in this phase."""
        with code.loop(0, self.height) as y, code.loop(0, self.width) as x:
            target = self.pixel(code, y, x)
            pixel = code.index(first, (code.index((y, self.width), x), self.channels))
            with code.loop(0, self.channels) as c:
                mark = self.driven(code, code.index(pixel, c), sign, bit, 1)
                byte = code.builder.zext(mark, code.type("i8"))
                code.store(byte, planes, "i8", code.index((c, self.plane), target))

    def _sum(self, code: Code, planes: Value, number: Value) -> None:
        """Driven rows of a set at all positions."""
        b, lanes = code.builder, self.lanes
        starts = code.arrays["starts"]
        ends = [
            code.convert(code.load(starts, "i32", code.index(number, k)), "i32", "i64")
            for k in (0, 1)
        ]
        total = code.local("i32", lanes)
        with code.loop(0, self.positions, lanes) as p:
            code.set(total, code.zero("i32", lanes))
            with code.loop(ends[0], ends[1]) as row:
                line = code.convert(code.load(code.arrays["lines"], "i32", row), "i32", "i64")
                marks = code.load(planes, "i8", code.index(line, p), lanes)
                wide = b.zext(marks, code.type("i32", lanes))
                code.set(total, b.add(code.get(total, "i32", lanes), wide))
            code.store(code.get(total, "i32", lanes), code.scratch, "i32", p)

    def _tally(self, code: Code, number: Value, totals: Sequence[Value]) -> None:
        """Count the set at the output positions, tile by tile and column by column."""
        b = code.builder
        worth = [
            b.zext(code.load(code.arrays[name], "i32", number), I64)
            for name in ("tiles", "columns")
        ]
        with code.loop(0, self.out_height) as y, code.loop(0, self.out_width) as x:
            rows = code.load(code.scratch, "i32", self.position(code, y, x))
            read = b.zext(code.nonzero("i32", rows), I64)
            driven = b.mul(b.zext(rows, I64), worth[0])
            for total, value in zip(
                totals, (b.mul(read, worth[0]), b.mul(read, worth[1]), driven), strict=True
            ):
                code.set(total, b.add(code.get(total, "i64"), value))
