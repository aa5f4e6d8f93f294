"""Maximum of counts over windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from snnc.native.code import Value
from snnc_backends.cpu.kernels.base import LARGEST, SHORTEST, Match, one_of, require
from snnc_backends.cpu.kernels.code import Code
from snnc_backends.cpu.kernels.pool import Windowed

if TYPE_CHECKING:
    from snnc_backends.cpu.site import Site

INT8, INT16 = 2**7 - 1, 2**15 - 1
SIZES = {"i8": 1, "i16": 2, "i32": 4}
"""Types of a count, and their sizes in bytes."""


@dataclass(frozen=True, kw_only=True)
class CountMaxPool(Windowed):
    """y[t] = largest count of a window after step t - that before it (docs/semantics.md, S25).

    All steps of a row of windows come before the next row. The largest counts of the rows of the
    image below them are taken first, all columns at once; then those of the columns of a window.

    Attributes:
        state: type of a count, i16 or i32, for any window of the plan.
        levels: most events of an input at a step: counts that fit a byte are kept in one. 0, in
            older plans, where it is not known.
    """

    name: ClassVar[str] = "count-maxpool"
    shares: ClassVar[bool] = True
    state: str
    levels: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("source", self.source, ("i8", "i32"))
        one_of("dtype", self.dtype, ("i8", "i32"))
        one_of("state", self.state, ("i16", "i32"))
        require(self.levels >= 0, "a negative number of levels")
        require(not self.constant, "counts of events that are constant in time")

    @classmethod
    def match(cls, site: Site) -> Match | None:
        """Counts of 16 bits where they last for `SHORTEST` steps or more."""
        if site.kind != "count-maxpool" or site.constant:
            return None
        fields, arrays = site.pooling()
        levels = max(1, site.inputs[0].levels)
        state = "i16" if INT16 // levels >= SHORTEST else "i32"
        longest = (INT16 if state == "i16" else LARGEST) // levels
        kernel = cls(state=state, levels=levels, **fields)
        return Match(kernel, arrays, site.sources, longest=longest)

    @property
    def _row(self) -> int:
        return self.width * self.channels

    def scratch(self) -> int:
        return SIZES[self.state] * ((self.height + 1) * self._row + self.out_width * self.channels)

    def emit(self, code: Code) -> None:
        in_bytes = INT8 // self.levels if self.levels else 0
        if not in_bytes:
            _Counts(self, code, self.state).emit()
            return
        fits = code.builder.icmp_signed("<=", code.timesteps, code.int(in_bytes))
        with code.builder.if_else(fits) as branches:
            for branch, state in zip(branches, ("i8", self.state), strict=True):
                with branch:
                    _Counts(self, code, state).emit()


class _Counts:
    """Code for counts of a type: in memory those of some rows of the image, the largest of their
    columns, and the largest of every window of a row of windows."""

    def __init__(self, spec: CountMaxPool, code: Code, state: str) -> None:
        self.spec, self.code, self.state = spec, code, state
        self.row = spec.width * spec.channels
        self.lanes = code.machine.block * 4 // SIZES[state]
        self.counts = code.scratch
        self.columns = code.at(code.scratch, state, spec.height * self.row)
        self.kept = code.at(self.columns, state, self.row)

    def emit(self) -> None:
        spec, code = self.spec, self.code
        with code.loop(*code.share(spec.out_height)) as i:
            top, bottom = spec.window(code, "rows_y", i)
            with code.loop(0, code.builder.sub(bottom, top)) as y:
                self._reset(self.counts, code.index((y, self.row)), self.row)
            self._reset(self.kept, code.int(0), spec.out_width * spec.channels)
            with code.loop(0, code.timesteps) as t:
                code.blocks(self.row, self.lanes, lambda k, n: self._count(t, top, bottom, k, n))
                place = code.index((t, spec.out_height), i)
                with code.loop(0, spec.out_width) as j:
                    left, right = spec.window(code, "rows_x", j)
                    code.blocks(
                        spec.channels,
                        self.lanes,
                        lambda c, n: self._grow(place, j, left, right, c, n),
                    )

    def _reset(self, memory: Value, start: Value, size: int) -> None:
        code, state = self.code, self.state
        code.blocks(
            size,
            self.lanes,
            lambda k, n: code.store(code.zero(state, n), memory, state, code.index(start, k)),
        )

    def _count(self, t: Value, top: Value, bottom: Value, k: Value, lanes: int) -> None:
        """Add the events of step t to `lanes` counts of each row, and take the largest."""
        spec, code, state = self.spec, self.code, self.state

        def count(y: Value) -> Value:
            place = code.index((t, spec.height * self.row), (y, self.row), k)
            x = code.convert(
                code.load(code.inputs[0], spec.source, place, lanes), spec.source, state, lanes
            )
            own = code.index((code.builder.sub(y, top), self.row), k)
            after = code.add(state, code.load(self.counts, state, own, lanes), x)
            code.store(after, self.counts, state, own)
            return after

        most = code.local(state, lanes)
        code.set(most, count(top))
        with code.loop(code.index(top, 1), bottom) as y:
            code.set(most, code.largest(state, code.get(most, state, lanes), count(y)))
        code.store(code.get(most, state, lanes), self.columns, state, k)

    def _grow(
        self, place: Value, j: Value, left: Value, right: Value, c: Value, lanes: int
    ) -> None:
        """Emit by how much the largest counts of a window have grown, and keep them."""
        spec, code, state = self.spec, self.code, self.state

        def column(x: Value) -> Value:
            return code.load(self.columns, state, code.index((x, spec.channels), c), lanes)

        most = code.local(state, lanes)
        code.set(most, column(left))
        with code.loop(code.index(left, 1), right) as x:
            code.set(most, code.largest(state, code.get(most, state, lanes), column(x)))
        now, own = code.get(most, state, lanes), code.index((j, spec.channels), c)
        grown = code.sub(state, now, code.load(self.kept, state, own, lanes))
        code.store(now, self.kept, state, own)
        out = code.index((place, spec.out_width * spec.channels), own)
        code.store(code.convert(grown, state, spec.dtype, lanes), code.output, spec.dtype, out)
