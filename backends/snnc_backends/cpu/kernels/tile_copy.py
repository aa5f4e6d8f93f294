"""The copy of an image that tiles of inputs are read from."""

from __future__ import annotations

from snnc.native.code import Value
from snnc_backends.cpu.kernels.code import Code
from snnc_backends.cpu.kernels.tile_shape import TileShape

LINE = 64
"""Bytes that are moved at a time."""


class TileCopy:
    """Code that writes the copy, laid out as in `TileShape`, of the lines in `span`."""

    def __init__(self, spec: TileShape, code: Code, memory: Value, span: tuple[Value, Value]):
        self.spec, self.code, self.memory, self.span = spec, code, memory, span

    def clear(self) -> None:
        """Set all to zero."""
        spec, code = self.spec, self.code

        def clear(i: Value, lanes: int) -> None:
            code.store(code.zero("i8", lanes), self.memory, "i8", code.index(start, i))

        with code.loop(0, spec.sets) as s, code.loop(*self.span) as line:
            start = code.index((s, spec.plane), (line, spec.line_bytes))
            code.blocks(spec.line_bytes, LINE, clear)

    def copy(self, step: Value, number: Value) -> None:
        """Copy a step, which has this number among those that are computed at a time."""
        spec, code = self.spec, self.code
        low, high = (code.clamp(v, spec.pad_top, spec.pad_top + spec.height) for v in self.span)
        with code.loop(low, high) as line:
            row = code.index((step, spec.height), line, -spec.pad_top)
            source = code.index((row, spec.width * spec.channels))
            target = code.index((line, spec.line_bytes))
            if spec.together == 1:
                target = code.index(target, (number, spec.plane), spec.pad_left * spec.channels)
                columns = max(0, min(spec.width, spec.columns - spec.pad_left))
                self._move(source, target, columns * spec.channels)
            else:
                target = code.index(target, (number, spec.channels))
                for phase in range(spec.phases):
                    self._phase(phase, source, target)

    def _phase(self, phase: int, source: Value, target: Value) -> None:
        """Copy the columns of a phase of a line."""
        spec, code = self.spec, self.code
        before = spec.pad_left - phase  # column i is that of the image number i * apart - before
        begin = max(0, -(-before // spec.apart))
        stop = min(spec.columns, (spec.width - 1 + before) // spec.apart + 1)
        with code.loop(begin, stop) as i:
            pixel = code.index((i, spec.apart), -before)
            place = code.index(source, (pixel, spec.channels))
            column = code.index(i, phase * spec.columns)
            self._move(place, code.index(target, (column, spec.column_bytes)), spec.channels)

    def _move(self, source: Value, target: Value, count: int) -> None:
        code = self.code

        def move(i: Value, lanes: int) -> None:
            x = code.load(code.inputs[0], "i8", code.index(source, i), lanes)
            code.store(x, self.memory, "i8", code.index(target, i))

        code.blocks(count, LINE, move)
