"""Layers driven by events, with weights of 8 bits that are summed in 16."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from snnc.native.code import I16, Value
from snnc_backends.cpu.kernels.base import LARGEST, Match, Table, Work, positive, require
from snnc_backends.cpu.kernels.code import Code
from snnc_backends.cpu.kernels.epilogue import Epilogue
from snnc_backends.cpu.kernels.events import Events, scratch
from snnc_backends.cpu.kernels.layer import Layer, chain

if TYPE_CHECKING:
    from snnc_backends.cpu.site import Site

STEPS = 16
"""Most steps whose events are listed at a time."""
UNIT = 64
"""Most channels of a unit of weights: a vector of 32 words."""
INT16 = 2**15 - 1
SLAB_BYTES = 320 << 10
"""Weights of a slab of output channels, where there is a choice: they stay in the L2 cache."""
WIDEST = 512
"""Most output channels of a slab."""
MOST_COPIES = 16
AHEAD = 320
"""Bytes that are prefetched per step and kernel row of an output position, beyond the slab that
follows: of the weights of later layers."""
NS_PER_EVENT, NS_PER_UNIT, NS_PER_LOOP, NS_PER_STEP = 0.36, 0.36, 3.0, 10.0
"""Of an event, a unit of its weights, a loop over events, a step of an output position (Zen 4)."""
NS_PER_CHANNEL, NS_PER_INPUT = 0.11, 0.12
"""Of a channel of the result at a step, and an input that is looked at."""


@dataclass(frozen=True, kw_only=True)
class EventLayer(Layer):
    """y[o] = bias[o] + sum of weight[i, o] over the events i of the window; see `Layer`.

    Events of `STEPS` steps are listed once, one of value n as n events, n at most `copies`. Each
    output position adds the weights of the events of its window, `slab` channels at a time.

    A word of the weights holds two channels, lo and hi: (lo + 128) + 256 * hi. Per unit of channels
    the sum of the words and the sum of (word >> 8), both modulo 2^16, give both sums, as long as
    those fit 16 bits: which they do for `limit` events. After so many they move to 32 bits.

    Weights are laid out (out_channels / slab, kernel_h, kernel_w, C_in, slab / unit, unit / 2).
    """

    name: ClassVar[str] = "event-layer"
    shares: ClassVar[bool] = True
    slab: int
    unit: int
    copies: int
    limit: int

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(slab=self.slab, copies=self.copies, limit=self.limit)
        require(self.unit in (16, 32, UNIT), "a unit of neither 16, 32 nor 64 channels")
        require(self.slab % self.unit == 0, "a slab that is not of whole units")
        require(self.slab <= WIDEST, f"a slab of more than {WIDEST} channels")
        require(not self.constant, "events that are the same at all steps")
        require(self.copies <= MOST_COPIES, f"events of more than {MOST_COPIES}")

    @classmethod
    def match(cls, site: Site) -> Match | None:
        found = chain(site)
        if found is None or found.fields["constant"]:
            return None
        x = found.layer.inputs[0]
        if x.signed or not 1 <= x.levels <= MOST_COPIES:
            return None
        weight = found.weight
        slab, unit = _slab(weight)
        limit = _limit(weight, x.levels)
        kernel = cls(**found.fields, slab=slab, unit=unit, copies=x.levels, limit=limit)
        arrays = {**found.arrays, "weight": partial(_words, weight, slab, unit)}
        return Match(kernel, arrays, found.inputs, found.absorbed, found.longest)

    def cost(self, work: Work) -> float:
        """Events that meet weights, and what every position, neuron and input costs."""
        events = self.taps * self.channels * work.rates[0] * self.inside_share
        units = -(-self.out_channels // self.unit)
        added = events * (NS_PER_EVENT * self.slabs + NS_PER_UNIT * units)
        loops = self.slabs * (self.kernel_h * NS_PER_LOOP + NS_PER_STEP)
        each = self.pixels * (added + loops) + self.image.size * self.copies * NS_PER_INPUT
        updates = (work.timesteps + self.wait) * self.size
        return work.timesteps * each + updates * NS_PER_CHANNEL

    @property
    def slabs(self) -> int:
        """Slabs of output channels."""
        return -(-self.out_channels // self.slab)

    def weights(self) -> Table:
        rows = self.taps * self.channels
        return Table("i16", self.slabs * rows * self.slab // 2)

    def scratch(self) -> int:
        return self.kept() + STEPS * self._listed()

    def _listed(self) -> int:
        """Bytes of the list of one step."""
        return scratch(self.height * self.width, self.image.size * self.copies)

    def emit(self, code: Code) -> None:
        lists = code.at(code.scratch, "i8", self.kept())
        whole = self.out_channels // self.slab
        rest = self.out_channels - whole * self.slab
        steps = code.int(STEPS)
        parts = [_Slab(self, code, lists, channels) for channels in ((self.slab, rest)) if channels]
        share = code.share(self.slabs * self.pixels)
        span = self._listed_pixels(code, *share)
        with code.loop(0, code.timesteps, STEPS) as first:
            count = code.minimum(steps, code.builder.sub(code.timesteps, first))
            with code.loop(0, count) as s:
                found = self._events(code, lists, s)
                start = code.index((code.index(first, s), self.image.size))
                found.collect(code.inputs[0], self.source, start, self.copies, span)
            begin, end = code.pages(*share, self.pixels)
            if whole:
                with code.loop(begin, code.minimum(end, code.int(whole))) as slab:
                    parts[0].positions(slab, first, count, share)
            if rest:
                parts[-1].positions(code.int(whole), first, count, share)

    def _listed_pixels(self, code: Code, begin: Value, end: Value) -> tuple[Value, Value]:
        """The pixels of the image that the positions begin .. end - 1 of all slabs look at."""
        b, pixels = code.builder, code.int(self.pixels)
        last = code.index(end, -1)
        same = b.icmp_signed("==", b.udiv(begin, pixels), b.udiv(last, pixels))
        first = b.select(same, b.urem(begin, pixels), code.int(0))
        stop = b.select(same, code.index(b.urem(last, pixels), 1), pixels)
        top, bottom = self.rows_under(code, first, stop)
        return code.index((top, self.width)), code.index((bottom, self.width))

    def _events(self, code: Code, lists: Value, s: Value) -> Events:
        """The list of step s of a block of steps."""
        memory = code.at(lists, "i8", code.index((s, self._listed())))
        return Events(code, self.height * self.width, self.channels, memory)


class _Slab:
    """Code for the first `channels` output channels of a slab."""

    def __init__(self, spec: EventLayer, code: Code, lists: Value, channels: int) -> None:
        self.spec, self.code, self.lists = spec, code, lists
        self.units = -(-channels // spec.unit)
        self.lanes = spec.unit // 2
        self.epilogue = Epilogue(spec, code, channels, self.units * spec.unit, code.scratch)
        self.registers = min(self.units, code.machine.units)
        self.words = [code.local("i16", self.lanes) for _ in range(self.registers)]
        self.highs = [code.local("i16", self.lanes) for _ in range(self.registers)]
        self.used = code.local("i64")
        self.begin = code.local("i64")

    def positions(self, slab: Value, first: Value, count: Value, part: tuple[Value, Value]) -> None:
        """Output positions, at the steps first .. first + count - 1.

        `part`: the range that is to be done of the positions of all slabs, slab by slab.
        """
        spec, code, epilogue = self.spec, self.code, self.epilogue
        channel = code.index((slab, spec.slab))
        nbytes = spec.taps * spec.channels * spec.slab
        visits = code.builder.mul(count, code.int(spec.pixels * spec.kernel_h))
        share = code.builder.add(code.builder.udiv(code.int(nbytes), visits), code.int(AHEAD))
        share = code.builder.and_(share, code.int(-64))
        following = code.index((slab, nbytes), nbytes)
        more = code.builder.icmp_signed("<", code.index(first, count), code.timesteps)
        begin, end = code.on_page(*part, spec.pixels, slab)
        with (
            code.loop(*code.pages(begin, end, spec.out_width)) as y,
            code.loop(*code.on_page(begin, end, spec.out_width, y)) as x,
        ):
            pixel = code.index((y, spec.out_width), x)
            epilogue.open(pixel, channel, first)
            with code.loop(0, count) as s:
                epilogue.start(pixel, channel)
                events = spec._events(code, self.lists, s)
                for unit in range(0, self.units, self.registers):
                    size = min(self.registers, self.units - unit)
                    visit = code.builder.mul(code.index((pixel, spec.kernel_h)), count)
                    visit = code.index(visit, (s, spec.kernel_h))
                    self._window(events, slab, y, x, unit, size, (following, share, visit))
                epilogue.finish(code.index(first, s), pixel, channel)
            epilogue.close(pixel, channel, more)

    def _window(
        self,
        events: Events,
        slab: Value,
        y: Value,
        x: Value,
        unit: int,
        size: int,
        ahead: tuple[Value, Value, Value],
    ) -> None:
        """Add the events of a window to the currents of `size` units from `unit` on."""
        spec, code = self.spec, self.code
        self._clear(size)
        left = code.index((x, spec.stride_w), -spec.pad_left)
        start, stop = (
            code.clamp(code.index(left, reach), 0, spec.width) for reach in (0, spec.kernel_w)
        )
        rows = code.index((slab, spec.taps * spec.channels))
        with code.loop(0, spec.kernel_h) as kh:
            row = spec.row(code, y, kh)
            following, share, visit = ahead
            place = code.builder.add(following, code.builder.mul(code.index(visit, kh), share))
            code.prefetch(code.at(code.arrays["weight"], "i8", place), share)
            with code.builder.if_then(spec.inside(code, row, spec.height)):
                line = code.index((row, spec.width))
                begin, end = events.range(code.index(line, start), code.index(line, stop))
                base = code.index((code.index(line, left), spec.channels))
                shift = code.index(rows, (kh, spec.kernel_w * spec.channels))
                shift = code.builder.sub(shift, base)
                self._add(events, begin, end, shift, unit, size)
        self._widen(unit, size)

    @property
    def _proved(self) -> bool:
        """Whether the sums of a whole window fit 16 bits."""
        return self.spec.limit >= self.spec.taps * self.spec.channels * self.spec.copies

    def _add(
        self, events: Events, begin: Value, end: Value, shift: Value, unit: int, size: int
    ) -> None:
        """Add the events begin .. end - 1, and move the sums whenever `limit` are in them."""
        spec, code, b = self.spec, self.code, self.code.builder
        if self._proved:
            self._run(events, begin, end, shift, unit, size)
            code.set(self.used, code.index(code.get(self.used, "i64"), b.sub(end, begin)))
            return
        code.set(self.begin, begin)
        limit = code.int(spec.limit)
        with code.repeat(lambda: b.icmp_signed("<", code.get(self.begin, "i64"), end)):
            now, used = code.get(self.begin, "i64"), code.get(self.used, "i64")
            stop = code.minimum(end, code.index(now, b.sub(limit, used)))
            self._run(events, now, stop, shift, unit, size)
            after = code.index(used, b.sub(stop, now))
            code.set(self.begin, stop)
            code.set(self.used, after)
            with b.if_then(b.icmp_signed("==", after, limit), likely=False):
                self._widen(unit, size)
                self._clear(size)

    def _run(
        self, events: Events, begin: Value, end: Value, shift: Value, unit: int, size: int
    ) -> None:
        spec, code, b = self.spec, self.code, self.code.builder
        eight = ir.Constant(ir.VectorType(I16, self.lanes), [8] * self.lanes)
        with code.loop(begin, end) as k:
            row = code.index(events.position(k), shift)
            place = code.index((row, spec.slab // 2), unit * self.lanes)
            for number in range(size):
                where = code.index(place, number * self.lanes)
                w = code.load(code.arrays["weight"], "i16", where, self.lanes)
                words, highs = self.words[number], self.highs[number]
                code.set(words, b.add(code.get(words, "i16", self.lanes), w))
                high = b.ashr(w, eight)
                code.set(highs, b.add(code.get(highs, "i16", self.lanes), high))

    def _clear(self, size: int) -> None:
        code = self.code
        for number in range(size):
            code.set(self.words[number], code.zero("i16", self.lanes))
            code.set(self.highs[number], code.zero("i16", self.lanes))
        code.set(self.used, code.int(0))

    def _widen(self, unit: int, size: int) -> None:
        """Add the sums of 16 bits to the currents."""
        code, b, lanes = self.code, self.code.builder, self.lanes
        kind = ir.VectorType(I16, lanes)
        eight = ir.Constant(kind, [8] * lanes)
        count = b.trunc(code.get(self.used, "i64"), I16)
        bias = code.splat(b.shl(count, ir.Constant(I16, 7)), "i16", lanes)
        for number in range(size):
            high = code.get(self.highs[number], "i16", lanes)
            low = b.sub(code.get(self.words[number], "i16", lanes), b.shl(high, eight))
            low = b.sub(low, bias)
            for half, part in enumerate((low, high)):
                where = code.int((unit + number) * 2 * lanes + half * lanes)
                current = self.epilogue.current
                old = code.load(current, "i32", where, lanes)
                wide = code.convert(part, "i16", "i32", lanes)
                code.store(b.add(old, wide), current, "i32", where)


def _slab(weight: NDArray[Any]) -> tuple[int, int]:
    """Channels of a slab and of a unit, for weights (rows, columns, inputs, outputs)."""
    rows, outputs = int(np.prod(weight.shape[:-1])), weight.shape[-1]
    unit = 16 if outputs <= 16 else 32 if outputs <= 32 else UNIT
    slab = min(WIDEST, -(-outputs // unit) * unit)
    while slab > UNIT and (rows * slab > SLAB_BYTES or (outputs > slab and outputs % slab)):
        slab = -(-slab // 2 // UNIT) * UNIT
    return slab, unit


def _limit(weight: NDArray[Any], copies: int) -> int:
    """The most events whose sums fit 16 bits for certain; all of a window count as `LARGEST`."""
    flat = weight.reshape(-1, weight.shape[-1])
    largest = max(1, int(np.abs(flat.astype(np.int16)).max()))
    if len(flat) * copies > INT16:
        return INT16 // largest
    total, size = (part.sum(0, dtype=np.int64) for part in (flat, np.abs(flat.astype(np.int16))))
    reach = int(np.maximum(size + total, size - total).max()) // 2  # of one sign
    return LARGEST if reach * copies <= INT16 else INT16 // largest


def _words(weight: NDArray[Any], slab: int, unit: int) -> NDArray[Any]:
    """The words of weights (rows, columns, inputs, outputs), as in `EventLayer`."""
    outputs = weight.shape[-1]
    slabs = -(-outputs // slab)
    padded = np.zeros((int(np.prod(weight.shape[:-1])), slabs * slab), np.int16)
    padded[:, :outputs] = weight.reshape(-1, outputs)
    split = padded.reshape(-1, slabs, slab // unit, 2, unit // 2).transpose(1, 0, 2, 3, 4)
    low, high = split[..., 0, :], split[..., 1, :]
    return (low + 128) + 256 * high
