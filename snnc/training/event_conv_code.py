"""Code of a convolution of spike trains: every spike adds a row of weights.

Two functions share the lists of events. `LIST` writes, per pixel and step, the channels that spike;
`SUM` adds the rows of weights of the pixels under a window, in registers. Free threads take the
next part of the work; every sum is computed by one thread, in the order of window, then channel.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from llvmlite import ir

from snnc.native.code import I1, I8, I64, POINTER, Emitter, Machine, Value
from snnc.training.train_like import STEPS

LIST, SUM = "list_events", "sum_rows"
SLOTS = (
    "next", "samples", "first", "steps", "plane", "sample",
    "high", "wide", "channels", "out_high", "out_wide", "out_channels",
    "top", "left", "bits", "events", "counts", "weights", "bias", "sums",
)  # fmt: skip
"""Fields of the argument, eight bytes each.

next: the first part that no thread has taken (incremented by the threads).
first, steps: of the window that are computed.
plane, sample: bytes between groups of eight steps, and between samples.
high, wide, channels: of the input, its image after pooling; out_…: of the result.
top, left: padding.
bits: uint8 (planes, samples, high * pool, wide * pool, channels).
events: uint16 (samples, high, wide, steps, channels * windows of the pool).
counts: int64 (samples, high, wide, steps).
weights: float32 (slabs, kernel high, kernel wide, channels, width). bias: float32 (out_channels).
sums: float32 (steps, samples, out_high, out_wide, out_channels).
"""


@dataclass(frozen=True)
class EventConvSpec:
    """What the code of a convolution depends on.

    Attributes:
        kernel, stride, dilation: of the rows and columns of an image.
        width: output channels of a slab, which are summed together.
        pool: windows that tile the image of spikes; the convolution takes their sums.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    width: int
    pool: tuple[int, int] = (1, 1)


def text(spec: EventConvSpec, machine: Machine) -> str:
    """LLVM IR of two functions `void (ptr slots)`: `LIST` and `SUM`."""
    module = ir.Module("event_conv")
    kind = ir.FunctionType(ir.VoidType(), [POINTER])
    for name in (LIST, SUM):
        emitter = Emitter(ir.Function(module, kind, name), machine)
        (_List if name == LIST else _Sum)(spec, emitter).emit()
    return str(module)


class _Function:
    """What both functions have: the slots, and parts of the work until none is left."""

    def __init__(self, spec: EventConvSpec, code: Emitter) -> None:
        self.spec, self.code = spec, code
        b = code.builder
        pointers = ("bits", "events", "counts", "weights", "bias", "sums")
        self.slots: dict[str, Value] = {}
        for i, name in enumerate(SLOTS[1:], 1):
            value = code.load(code.function.args[0], "i64", i)
            self.slots[name] = b.inttoptr(value, POINTER) if name in pointers else value
        windows = code.int(spec.pool[0] * spec.pool[1])
        self.capacity = b.mul(self.slots["channels"], windows)

    @contextmanager
    def taken(self, parts: Value) -> Iterator[Value]:
        """Part after part, each by one thread; ends the function."""
        with self.code.taken(self.code.function.args[0], parts) as part:
            yield part
        self.code.builder.ret_void()

    def flat(self, *places: tuple[Value, str]) -> Value:
        """The index of a place in an array: the outermost first, each with the name of its size."""
        b, total = self.code.builder, self.code.int(0)
        for place, size in places:
            total = b.add(b.mul(total, self.slots[size]), place)
        return total


class _List(_Function):
    """Code of `LIST`; a part is a row of pixels of a sample."""

    def emit(self) -> None:
        code, b, slots = self.code, self.code.builder, self.slots
        count = code.local("i64")
        with self.taken(b.mul(slots["samples"], slots["high"])) as part:
            sample, y = b.sdiv(part, slots["high"]), b.srem(part, slots["high"])
            with code.loop(0, slots["wide"]) as x, code.loop(0, slots["steps"]) as step:
                t = b.add(slots["first"], step)
                bit = b.shl(ir.Constant(I8, 1), b.trunc(b.srem(t, code.int(STEPS)), I8))
                plane = b.mul(b.sdiv(t, code.int(STEPS)), slots["plane"])
                bits = code.at(slots["bits"], "i8", plane)
                bits = code.at(bits, "i8", b.mul(sample, slots["sample"]))
                now = self.flat((part, "high"), (x, "wide"), (step, "steps"))
                to = code.at(slots["events"], "i16", b.mul(now, self.capacity))
                code.set(count, code.int(0))
                down, across = self.spec.pool
                with code.loop(0, down) as dy, code.loop(0, across) as dx:
                    row = b.mul(code.index((y, down), dy), b.mul(slots["wide"], code.int(across)))
                    place = b.mul(b.add(row, code.index((x, across), dx)), slots["channels"])
                    self._pixel(code.at(bits, "i8", place), bit, to, count)
                code.store(code.get(count, "i64"), slots["counts"], "i64", now)

    def _pixel(self, pixel: Value, bit: Value, to: Value, count: Value) -> None:
        """Append the channels of a pixel that spike in a step."""
        code, b, channels = self.code, self.code.builder, self.slots["channels"]
        mask = code.local("i64")
        whole = b.sub(channels, b.srem(channels, code.int(64)))
        with code.loop(0, whole, 64) as first:
            values = b.and_(code.load(pixel, "i8", first, 64), code.splat(bit, "i8", 64))
            code.set(mask, b.bitcast(code.nonzero("i8", values, 64), I64))
            with code.repeat(lambda: code.nonzero("i64", code.get(mask, "i64"))):
                left, done = code.get(mask, "i64"), code.get(count, "i64")
                channel = b.add(first, b.cttz(left, ir.Constant(I1, 1)))
                code.store(b.trunc(channel, code.type("i16")), to, "i16", done)
                code.set(count, b.add(done, code.int(1)))
                code.set(mask, b.and_(left, b.sub(left, code.int(1))))
        with code.loop(whole, channels) as channel:
            fires = code.nonzero("i8", b.and_(code.load(pixel, "i8", channel), bit))
            with b.if_then(fires):
                done = code.get(count, "i64")
                code.store(b.trunc(channel, code.type("i16")), to, "i16", done)
                code.set(count, b.add(done, code.int(1)))


class _Sum(_Function):
    """Code of `SUM`; a part is a slab of a row of pixels of the result."""

    def emit(self) -> None:
        code, b, slots = self.code, self.code.builder, self.slots
        rows = b.mul(slots["samples"], slots["out_high"])
        slabs = b.sdiv(slots["out_channels"], code.int(self.spec.width))
        with self.taken(b.mul(slabs, rows)) as part:
            slab, row = b.sdiv(part, rows), b.srem(part, rows)
            sample, y = b.sdiv(row, slots["out_high"]), b.srem(row, slots["out_high"])
            with code.loop(0, slots["out_wide"]) as x, code.loop(0, slots["steps"]) as step:
                self._position(slab, sample, y, x, step)

    def _position(self, slab: Value, sample: Value, y: Value, x: Value, step: Value) -> None:
        code, b, slots, width = self.code, self.code.builder, self.slots, self.spec.width
        lanes = min(width, code.machine.block)
        channel = b.mul(slab, code.int(width))
        units = range(0, width, lanes)
        sums = [code.local("f32", lanes) for _ in units]
        for unit, total in zip(units, sums, strict=True):
            place = b.add(channel, code.int(unit))
            code.set(total, code.load(slots["bias"], "f32", place, lanes))
        down, across = self.spec.kernel
        with code.loop(0, down) as ky, code.loop(0, across) as kx:
            iy, ix = self._under(0, y, ky, "top"), self._under(1, x, kx, "left")
            inside = b.and_(
                b.icmp_unsigned("<", iy, slots["high"]), b.icmp_unsigned("<", ix, slots["wide"])
            )
            with b.if_then(inside):
                pixel = self.flat((sample, "samples"), (iy, "high"), (ix, "wide"), (step, "steps"))
                tap = code.index((slab, down * across), (ky, across), kx)
                self._events(pixel, tap, sums, lanes)
        at = self.flat((step, "steps"), (sample, "samples"), (y, "out_high"), (x, "out_wide"))
        at = b.add(b.mul(at, slots["out_channels"]), channel)
        for unit, total in zip(units, sums, strict=True):
            place = b.add(at, code.int(unit))
            code.store(code.get(total, "f32", lanes), slots["sums"], "f32", place)

    def _under(self, axis: int, place: Value, tap: Value, padding: str) -> Value:
        """The row or column of the input under a tap; unsigned, so large if it is outside."""
        code, spec = self.code, self.spec
        offset = code.index((place, spec.stride[axis]), (tap, spec.dilation[axis]))
        return code.builder.sub(offset, self.slots[padding])

    def _events(self, pixel: Value, tap: Value, sums: list[Value], lanes: int) -> None:
        """Add the rows of the channels that spike at a pixel."""
        code, b, slots = self.code, self.code.builder, self.slots
        width, channels = code.int(self.spec.width), slots["channels"]
        rows = code.at(slots["weights"], "f32", b.mul(b.mul(tap, channels), width))
        events = code.at(slots["events"], "i16", b.mul(pixel, self.capacity))
        with code.loop(0, code.load(slots["counts"], "i64", pixel)) as i:
            row = b.mul(b.zext(code.load(events, "i16", i), I64), width)
            for unit, total in enumerate(sums):
                now = code.load(rows, "f32", b.add(row, code.int(unit * lanes)), lanes)
                code.set(total, code.add("f32", code.get(total, "f32", lanes), now))
