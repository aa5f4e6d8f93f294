"""The kernel that reads the tiles of a layer column by column, where something is not ideal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from snnc_backends.cpu.kernels import Code
from snnc_backends.cpu.kernels.events import Events
from snnc_backends.crossbar.reading.tile_layout import TileLayout
from snnc_backends.crossbar.reading.tile_reads_code import StepReads


@dataclass(frozen=True, kw_only=True)
class TileReads(TileLayout):
    """y[o] = bias[o] + sum over phases, row blocks and columns of worth * code of the column.

    A column sum is the sum of the cells of the driven rows of one row block, an exact integer. Its
    code is the sum times the gain of the column, rounded half to even, within 0..top.
    """

    name: ClassVar[str] = "tile-reads"

    def emit(self, code: Code) -> None:
        segments = self.height * self.width * self.groups
        events = Events(code, segments, self.per_group)
        with code.loop(0, code.steps(self.constant)) as t:
            first = code.index((t, self.image.size))
            events.collect(code.inputs[0], self.source, first)
            reading = StepReads(self, code, events, first, t)
            with (
                code.loop(0, self.out_height) as y,
                code.loop(0, self.out_width) as x,
                code.loop(0, self.groups) as g,
            ):
                reading.position(y, x, g)
            reading.tally()
