"""The code of a block of output channels of a layer of tiles."""

from __future__ import annotations

from snnc.native.code import Value
from snnc_backends.cpu.kernels.code import Code
from snnc_backends.cpu.kernels.epilogue import LANES, Epilogue
from snnc_backends.cpu.kernels.tile_shape import TileShape
from snnc_backends.cpu.kernels.tiles import LINE, Operands, Tiles


class TileBlock:
    """Code for the first `channels` output channels of a block.

    `copy` is the image, as in `TileCopy`; `offsets` and `sums` are working memory of `TileShape`.
    """

    def __init__(
        self, spec: TileShape, code: Code, tiles: Tiles, memory: dict[str, Value], channels: int
    ) -> None:
        self.spec, self.code, self.tiles, self.memory = spec, code, tiles, memory
        self.wide = LANES * spec.vectors
        self.epilogue = Epilogue(
            spec, code, channels, self.wide, code.scratch, digits=spec.digits, unrolled=True
        )

    def groups(self, block: Value, groups: tuple[Value, Value], first: Value, count: Value) -> None:
        """A range of groups of tiles, at the steps first .. first + count - 1."""
        spec, code, b = self.spec, self.code, self.code.builder
        sets = b.udiv(code.index(count, spec.together - 1), code.int(spec.together))
        channel = code.index((block, self.wide))
        with code.loop(*groups) as group:
            with code.loop(0, spec.digits) as digit, code.loop(0, sets) as s:
                self._products(block, group, s, digit)
            first_tile = code.index((group, spec.group))
            stop = code.minimum(code.index(first_tile, spec.group), code.int(spec.tiles))
            with code.loop(first_tile, stop) as tile:
                row = code.index((b.sub(tile, first_tile), spec.rows))
                self._neurons(tile, row, channel, (first, count))

    def _products(self, block: Value, group: Value, s: Value, digit: Value) -> None:
        """Store the sums of a group of tiles, of a set of steps.

        Meanwhile a part of the weights of the next block is fetched; the visits of all groups and
        sets fetch all of them. A visit goes on where the last one was in as many places as it
        fetches lines with a product: memory gives more bytes a second from several pages at a time.
        """
        spec, code = self.spec, self.code
        size = spec.group * spec.rows * self.wide
        panel = spec.block_bytes // spec.digits
        start = code.index((block, spec.block_bytes), (digit, panel))
        apart = LINE * spec.products * spec.groups * spec.sets
        visit = code.index((group, spec.sets), s)
        ahead = code.index(start, spec.block_bytes, (visit, LINE * spec.products))
        operands = Operands(
            inputs=[self._input(code.index((group, spec.group), n), s) for n in range(spec.group)],
            stride=spec.row_stride,
            offsets=self.memory["offsets"],
            weights=code.at(code.arrays["weight"], "i8", start),
            count=spec.products,
            ahead=code.at(code.arrays["weight"], "i8", ahead),
            lines=-(-panel // apart),
            apart=apart,
        )
        place = code.index((code.index((digit, spec.sets), s), size))
        self.tiles.multiply(operands, code.at(self.memory["sums"], "i32", place))

    def _input(self, tile: Value, s: Value) -> Value:
        """Where the rows of a tile are; beyond the last tile, those of the last."""
        spec, code = self.spec, self.code
        y, x = self._place(code.minimum(tile, code.int(spec.tiles - 1)))
        across = spec.across * spec.together * spec.row_stride
        place = code.index((s, spec.plane), (y, spec.stride_h * spec.line_bytes), (x, across))
        return code.at(self.memory["copy"], "i8", place)

    def _place(self, tile: Value) -> tuple[Value, Value]:
        """The line of a tile, and its number there."""
        across, b = self.code.int(self.spec.tiles_across), self.code.builder
        return b.udiv(tile, across), b.urem(tile, across)

    def _neurons(self, tile: Value, row: Value, channel: Value, span: tuple[Value, Value]) -> None:
        """What follows the sums of a tile, which begin at a row of those stored."""
        spec, code, b, epilogue = self.spec, self.code, self.code.builder, self.epilogue
        first, count = span
        more = b.icmp_signed("<", code.index(first, count), code.timesteps)
        y, number = self._place(tile)
        x = code.index((number, spec.across))
        stop = code.minimum(code.int(spec.across), b.sub(code.int(spec.out_width), x))
        by_set = spec.together == 1
        with code.loop(0, stop) as p:
            pixel = code.index((y, spec.out_width), x, p)
            epilogue.open(pixel, channel, first)
            start = code.index(row, (p, spec.together))
            with code.loop(0, count) as t:
                epilogue.start(pixel, channel)
                self._add(code.index(start, (t, spec.group * spec.rows if by_set else 1)))
                epilogue.finish(code.index(first, t), pixel, channel)
            epilogue.close(pixel, channel, more)

    def _add(self, row: Value) -> None:
        """Add the sums of a row to the current."""
        spec, code, current = self.spec, self.code, self.epilogue.current
        size = spec.sets * spec.group * spec.rows * self.wide
        for digit in range(spec.digits):
            for channel in range(0, self.epilogue.channels, LANES):
                place = code.index((row, self.wide), digit * size + channel)
                total = code.load(self.memory["sums"], "i32", place, LANES)
                place = digit * self.wide + channel
                old = code.load(current, "i32", place, LANES)
                code.store(code.add("i32", old, total), current, "i32", place)
