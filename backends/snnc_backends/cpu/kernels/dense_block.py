"""The code of a block of output channels of a dense layer."""

from __future__ import annotations

from dataclasses import dataclass

from snnc.native.code import Value
from snnc_backends.cpu.kernels.code import Code
from snnc_backends.cpu.kernels.dense_shape import QUAD, DenseShape
from snnc_backends.cpu.kernels.dot import dot4
from snnc_backends.cpu.kernels.epilogue import LANES, Epilogue
from snnc_backends.cpu.kernels.step_sums import StepSums

STEPS = 8
"""Most sums of steps that are in registers at a time."""
ACROSS = 4
"""Most output positions of a row whose only sums are in registers at a time."""


@dataclass(frozen=True)
class _Row:
    """A row y of output positions, `channel` the first channel of block number `block`."""

    block: Value
    channel: Value
    y: Value


class DenseBlock:
    """Code for the first `channels` output channels of a block of channels.

    `copy` is the image, of bytes. The sums in registers are those of several steps of a position,
    or those of several positions where all steps have one sum.
    """

    def __init__(self, spec: DenseShape, code: Code, copy: Value, channels: int) -> None:
        self.spec, self.code = spec, code
        self.used = -(-channels // LANES)
        self.epilogue = Epilogue(spec, code, channels, self.used * LANES, code.scratch)
        self.sums = [
            [code.local("i32", LANES) for _ in range(self.used)]
            for _ in range(ACROSS if spec.constant else STEPS)
        ]
        self.image = code.inputs[0] if spec.direct else copy

    def positions(self, block: Value, steps: StepSums, rows: tuple[Value, Value]) -> None:
        """A range of rows of output positions, at the steps of a block of steps."""
        spec, code, b = self.spec, self.code, self.code.builder
        channel = code.index((block, spec.vectors * LANES))
        with code.loop(*rows) as y:
            row = _Row(block, channel, y)
            if spec.constant:
                self._across(row, steps)
            elif spec.summed == 1:
                self._along(row, steps)
            else:
                single = b.icmp_signed("==", steps.count(code), code.int(1))
                with b.if_else(single) as (then, otherwise):
                    with then:
                        self._across(row, steps)
                    with otherwise:
                        self._along(row, steps)

    def _across(self, row: _Row, steps: StepSums) -> None:
        """Several positions at a time, whose steps have one sum."""
        spec, code, width = self.spec, self.code, self.spec.out_width
        most = min(ACROSS, width)
        whole = width // most * most
        for size, start, stop in ((most, 0, whole), (1, whole, width)):
            if start == stop:
                continue
            with code.loop(start, stop, size) as x:
                self._products(row, x, code.int(0), size, spec.stride_w * spec.pixel)
                for number in range(size):
                    self._position(row, code.index(x, number), steps, number)

    def _position(self, row: _Row, x: Value, steps: StepSums, number: int) -> None:
        """All steps of a position; the sum is that of each of them, or of all together."""
        spec, code, epilogue = self.spec, self.code, self.epilogue
        pixel = code.index((row.y, spec.out_width), x)
        epilogue.open(pixel, row.channel, steps.first)
        if spec.constant:
            self._steady(row, pixel, steps.end, number)
        else:
            self._sum(row, pixel, (steps.first, steps.end), number)
        epilogue.close(pixel, row.channel, steps.more(code))

    def _steady(self, row: _Row, pixel: Value, end: Value, number: int) -> None:
        """All steps of a position whose sum is that of each step."""
        spec, code, start = self.spec, self.code, self.code.int(0)
        if spec.summed > 1:
            start = code.minimum(end, code.int(spec.early))
            self._sum(row, pixel, (code.int(0), start), number)
        once = spec.steady and spec.neuron == "none"
        with code.loop(start, code.int(1) if once else end) as t:
            self.epilogue.start(pixel, row.channel)
            self._add(number)
            self.epilogue.finish(t, pixel, row.channel)

    def _along(self, row: _Row, steps: StepSums) -> None:
        """One position after the other, several sums at a time."""
        spec, code, epilogue = self.spec, self.code, self.epilogue
        with code.loop(0, spec.out_width) as x:
            pixel = code.index((row.y, spec.out_width), x)
            epilogue.open(pixel, row.channel, steps.first)
            done = code.int(0)
            for size in (4, 1) if spec.wait else (8, 4, 2, 1):  # with a wait, there is more code
                done = self._tiles(row, x, steps, done, size)
            epilogue.close(pixel, row.channel, steps.more(code))

    def _tiles(self, row: _Row, x: Value, steps: StepSums, done: Value, size: int) -> Value:
        """As many tiles of `size` sums as fit from sum `done` on; returns what is then done."""
        spec, code, b = self.spec, self.code, self.code.builder
        pixel = code.index((row.y, spec.out_width), x)
        count = steps.count(code)
        stop = b.sub(count, b.urem(b.sub(count, done), code.int(size)))
        with code.loop(done, stop, size) as s:
            image = code.index(steps.first, s) if spec.direct else s
            self._products(row, x, image, size, spec.plane)
            for number in range(size):
                self._sum(row, pixel, steps.sum(code, code.index(s, number)), number)
        return stop

    def _sum(self, row: _Row, pixel: Value, span: tuple[Value, Value], number: int) -> None:
        """Update the neurons of a position with a sum, which is that of a span of steps.

        Where the input is constant, it is that of each of them.
        """
        code, epilogue, (begin, end) = self.code, self.epilogue, span
        last = code.index(end, -1)
        steps = code.builder.sub(end, begin) if self.spec.summed > 1 else None
        epilogue.start(pixel, row.channel, steps)
        if steps is not None:
            epilogue.add_earlier(begin, last, pixel, row.channel)
        self._add(number, steps if self.spec.constant else None)
        epilogue.finish(last, pixel, row.channel)

    def _products(self, row: _Row, x: Value, image: Value, size: int, apart: int) -> None:
        """The sums of `size` windows, whose bytes are `apart`, from position x of an image on."""
        spec, code = self.spec, self.code
        for number in range(size):
            for vector in range(self.used):
                code.set(self.sums[number][vector], code.zero("i32", LANES))
        across, pixel = spec.quads, spec.pixel
        start = code.index((image, spec.plane), (row.y, spec.stride_h * spec.line * pixel))
        start = code.index(start, (x, spec.stride_w * pixel))
        weights = code.index((row.block, spec.block_bytes))
        wide = spec.vectors * LANES * QUAD
        with code.loop(0, spec.kernel_h) as kh:
            taps = code.index(start, (kh, spec.dilation_h * spec.line * pixel))
            line = code.index(weights, (kh, across * wide))
            with code.loop(0, across) as quad:
                place = code.index(taps, (quad, QUAD))
                self._quad(place, code.index(line, (quad, wide)), size, apart)

    def _quad(self, place: Value, weights: Value, size: int, apart: int) -> None:
        """Multiply a quad of each window with its weights."""
        code = self.code
        table = code.at(code.arrays["weight"], "i8", weights)
        w = [code.load(table, "i32", v * LANES, LANES) for v in range(self.used)]
        for number in range(size):
            pointer = code.at(self.image, "i8", code.index(place, number * apart))
            x = code.splat(code.load(pointer, "i32", 0), "i32", LANES)
            for vector in range(self.used):
                total = self.sums[number][vector]
                old = code.get(total, "i32", LANES)
                code.set(total, dot4(code, old, x, w[vector]))

    def _add(self, number: int, times: Value | None = None) -> None:
        """Add the sums of a window to the current, so many times."""
        code, current = self.code, self.epilogue.current
        for vector in range(self.used):
            old = code.load(current, "i32", vector * LANES, LANES)
            total = code.get(self.sums[number][vector], "i32", LANES)
            if times is not None:
                many = code.splat(code.convert(times, "i64", "i32"), "i32", LANES)
                total = code.mul("i32", total, many)
            code.store(code.add("i32", old, total), current, "i32", vector * LANES)
