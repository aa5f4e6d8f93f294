"""Layers driven by events, with weights of 8 bits that are summed in 16."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from snnc.native.code import Machine, Value
from snnc_backends.cpu.kernels.base import LARGEST, Match, Table, Work, positive, require
from snnc_backends.cpu.kernels.code import Code
from snnc_backends.cpu.kernels.epilogue import Epilogue
from snnc_backends.cpu.kernels.event_sums import EventSums, Rows
from snnc_backends.cpu.kernels.event_weights import (
    UNIT,
    WIDEST,
    far_cost,
    slab_and_unit,
    weight_words,
)
from snnc_backends.cpu.kernels.events import VALUES, Events, scratch
from snnc_backends.cpu.kernels.layer import DIGITS, Layer, chain
from snnc_backends.cpu.kernels.weights_ahead import WeightsAhead

if TYPE_CHECKING:
    from snnc_backends.cpu.site import Site

STEPS = 16
"""Most steps that are computed at a time. Layers of few weights, which stay in a near cache, do
one, so that inputs and results of many steps, which do not, are read and written in order."""
MOST_COPIES = 16
FEW_POSITIONS = 16
"""Output positions up to which not all weights of a slab are read more than a few times: then the
rows of the next slab are fetched one by one, each when that of the slab before it is added."""
BY_ROW = 128
"""Most input channels of layers whose events are listed by row."""
VALUED = 3
"""Least largest value of events that are multiplied rather than listed as often as that."""
UNROLLED = 2
"""Units of channels up to which what follows the sums has no loop, so that these stay in
registers."""
AHEAD = 320
"""Bytes that are prefetched per step and kernel row of an output position, beyond the slab that
follows: of the weights of later layers."""
NS_PER_EVENT, NS_PER_UNIT, NS_PER_LOOP, NS_PER_STEP = 0.15, 0.42, 5.0, 10.0
"""Of an event, a unit of its weights, a loop over events, a step of an output position (Zen 4)."""
NS_PER_CHANNEL, NS_PER_PIXEL, NS_PER_INPUT = 0.08, 2.0, 0.03
"""Of a channel of the result at a step, a pixel that is looked at, and a channel of it."""


@dataclass(frozen=True, kw_only=True)
class EventLayer(Layer):
    """y[o] = bias[o] + sum of weight[i, o] over the events i of the window; see `Layer`.

    Events of `STEPS` steps are listed once, one of value n as n events, n at most `copies`. Each
    output position adds the weights of the events of its window, `slab` channels at a time.

    A word of the weights holds two channels, lo and hi: (lo + 128) + 256 * hi. Per unit of channels
    the sum of the words and the sum of (word >> 8), both modulo 2^16, give both sums, as long as
    those fit 16 bits: which they do for `limit` events. After so many they move to 32 bits.

    Weights are laid out (out_channels / slab, kernel_h, kernel_w, C_in, slab / unit, digits,
    unit / 2). Those of 24 bits have three digits in base 256, the least first, which are summed
    like weights of their own; `scale` says what they count.
    """

    name: ClassVar[str] = "event-layer"
    shares: ClassVar[bool] = True
    slab: int
    unit: int
    copies: int
    limit: int
    digits: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(slab=self.slab, copies=self.copies, limit=self.limit)
        require(self.unit in (16, 32, UNIT), "a unit of neither 16, 32 nor 64 channels")
        require(self.slab % self.unit == 0, "a slab that is not of whole units")
        require(self.slab <= WIDEST, f"a slab of more than {WIDEST} channels")
        require(not self.constant, "events that are the same at all steps")
        require(self.digits in (1, DIGITS), f"digits={self.digits} is neither 1 nor {DIGITS}")
        whole = self.dtype == "f32" and not self.shift
        require(self.digits == 1 or whole, "digits of weights that are no real numbers")
        require(self.copies <= MOST_COPIES, f"events of more than {MOST_COPIES}")

    @classmethod
    def match(cls, site: Site) -> Match | None:
        found = chain(site)
        if found is None or found.fields["constant"]:
            return None
        x = found.layer.inputs[0]
        if x.signed or not 1 <= x.levels <= MOST_COPIES:
            return None
        planes = found.planes
        slab, unit = slab_and_unit(planes)
        kernel = cls(
            **found.fields,
            slab=slab,
            unit=unit,
            copies=x.levels,
            limit=found.event_limit,
            digits=len(planes),
        )
        arrays = {**found.arrays, "weight": partial(weight_words, planes, slab, unit)}
        if found.scale is not None:
            arrays["scale"] = found.scale
        return Match(kernel, arrays, found.inputs, found.absorbed, found.longest)

    def cost(self, work: Work) -> float:
        """Events that meet weights, and what every position, neuron and input costs."""
        events = self.taps * self.channels * work.rates[0] * self.inside_share
        units = -(-self.out_channels // self.unit) * self.digits
        added = events * (NS_PER_EVENT * self.slabs + NS_PER_UNIT * units)
        together = self._narrow  # on a processor that lists bytes fast
        loops = self.slabs * ((1 if together else self.kernel_h) * NS_PER_LOOP + NS_PER_STEP)
        listed = self.out_height * self.kernel_h / self.height if together else self.copies
        looks = self.height * self.width * (NS_PER_PIXEL + self.channels * NS_PER_INPUT)
        each = self.pixels * (added + loops) + looks * listed
        updates = (work.timesteps + self.wait) * self.size
        total = work.timesteps * each + updates * NS_PER_CHANNEL
        if not work.tiles:
            return total
        touched = 1 - max(0.0, 1 - work.rates[0]) ** (work.timesteps * self.height * self.width)
        added = work.timesteps * self.pixels * events * units
        return total + far_cost(self.slab_bytes, added, touched * self.weights().nbytes)

    @property
    def slabs(self) -> int:
        """Slabs of output channels."""
        return -(-self.out_channels // self.slab)

    @property
    def slab_bytes(self) -> int:
        """Bytes of the weights of a slab."""
        return self.taps * self.channels * self.row_bytes

    @property
    def row_bytes(self) -> int:
        """Bytes of the weights of an input and a tap, of a slab."""
        return self.slab * self.digits

    @property
    def fetches_rows(self) -> bool:
        """Whether the weights of a slab are fetched row by row while the one before is added."""
        return self.slabs > 1 and self.pixels <= FEW_POSITIONS

    def weights(self) -> Table:
        return Table("i16", self.slabs * self.slab_bytes // 2)

    def arrays(self) -> dict[str, Table]:
        found = super().arrays()
        return found if self.digits == 1 else found | {"scale": Table("f32", self.out_channels)}

    def scratch(self) -> int:
        return self.kept() + STEPS * self._listed()

    def _listed(self) -> int:
        """Bytes of the list of one step: of the whole image, or of the windows of a row."""
        size = max(self.height, self.kernel_h) * self.width * self.channels
        return scratch(self.height * self.width, size * self.copies)

    def by_row(self, machine: Machine) -> bool:
        """Whether the events of a row of windows are listed together, column by column.

        Then a window is one loop over events; but they are listed once for each row of windows.
        """
        return machine.compress_bytes and self.source == "i8" and self._narrow

    @property
    def _narrow(self) -> bool:
        """Whether its weights are one slab, and pixels so narrow that they are listed fast."""
        return self._few_weights and self.kernel_h > 1

    @property
    def _few_weights(self) -> bool:
        return self.slabs == 1 and self.channels <= BY_ROW

    def emit(self, code: Code) -> None:
        lists = code.at(code.scratch, "i8", self.kept())
        whole, rest = divmod(self.out_channels, self.slab)
        steps = 1 if self._few_weights else STEPS
        parts = [_Slab(self, code, lists, channels) for channels in ((self.slab, rest)) if channels]
        share = code.share(self.slabs * self.pixels)
        span = self._listed_pixels(code, *share)
        with code.loop(0, code.timesteps, steps) as first:
            count = code.minimum(code.int(steps), code.builder.sub(code.timesteps, first))
            if not self.by_row(code.machine):
                with code.loop(0, count) as s:
                    found = self.events(code, lists, s)
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

    def events(self, code: Code, lists: Value, s: Value) -> Events:
        """The list of step s of a block of steps; by row, its segments are columns."""
        memory = code.at(lists, "i8", code.index((s, self._listed())))
        rows = 1 if self.by_row(code.machine) else self.height
        segments, scale = rows * self.width, self._scale
        return Events(code, segments, self.channels, memory, scale, valued=self.valued)

    @property
    def valued(self) -> bool:
        """Whether an event of value n is listed once, with its value."""
        return VALUED <= self.copies <= VALUES and self._scale % VALUES == 0

    @property
    def rows_of_weights(self) -> Rows:
        """What the code that adds rows of weights has to know of them."""
        listed = max(1, self.limit // self.copies) if self.valued else self.limit
        return Rows(
            unit=self.unit,
            digits=self.digits,
            nbytes=self.row_bytes,
            next_slab=self.slab_bytes if self.fetches_rows else 0,
            limit=None if self.limit >= self.taps * self.channels * self.copies else listed,
            valued=self.valued,
        )

    def list_row(self, code: Code, lists: Value, y: Value, span: tuple[Value, Value]) -> None:
        """List the events of a row y of windows at the steps first, …, first + count - 1.

        The position of an event in row kh of the windows is that of tap (kh, column), channel.
        """
        first, count = span
        with code.loop(0, count) as s:
            found = self.events(code, lists, s)
            found.open()
            with code.loop(0, self.width) as column:
                found.mark(column)
                with code.loop(0, self.kernel_h) as kh:
                    row = self.row(code, y, kh)
                    with code.builder.if_then(self.inside(code, row, self.height)):
                        pixel = code.index((row, self.width), column)
                        place = code.index((code.index(first, s), self.image.size))
                        place = code.index(place, (pixel, self.channels))
                        tap = code.index((kh, self.kernel_w), column)
                        position = code.index((tap, self.channels))
                        found.append(code.inputs[0], self.source, place, position, self.copies)
            found.mark(code.int(self.width))

    @property
    def _scale(self) -> int:
        """Positions are listed as offsets of rows of weights, where these fit 32 bits."""
        taps = (self.kernel_h * self.kernel_w + self.width) * self.channels
        fits = max(self.image.size, taps) * self.row_bytes <= LARGEST
        return self.row_bytes if fits else 1


class _Slab:
    """Code for the first `channels` output channels of a slab."""

    def __init__(self, spec: EventLayer, code: Code, lists: Value, channels: int) -> None:
        self.spec, self.code, self.lists = spec, code, lists
        self.units = -(-channels // spec.unit)
        padded, unrolled = self.units * spec.unit, self.units <= UNROLLED
        self.epilogue = Epilogue(
            spec, code, channels, padded, code.scratch, digits=spec.digits, unrolled=unrolled
        )
        self.registers = min(self.units, max(1, code.machine.units // spec.digits))
        self.sums = EventSums(spec.rows_of_weights, code, self.epilogue, self.registers)
        self.by_row = spec.by_row(code.machine)

    def positions(self, slab: Value, first: Value, count: Value, part: tuple[Value, Value]) -> None:
        """Output positions, at the steps first .. first + count - 1.

        `part`: the range that is to be done of the positions of all slabs, slab by slab.
        """
        spec, code, epilogue = self.spec, self.code, self.epilogue
        channel = code.index((slab, spec.slab))
        nbytes = spec.slab_bytes
        runs = 1 if self.by_row else spec.kernel_h
        visits = code.builder.mul(count, code.int(spec.pixels * runs))
        ahead = code.int(AHEAD * spec.kernel_h // runs)
        share = code.builder.add(code.builder.udiv(code.int(nbytes), visits), ahead)
        share = code.builder.and_(share, code.int(-64))
        following = code.index((slab, nbytes), nbytes)
        more = code.builder.icmp_signed("<", code.index(first, count), code.timesteps)
        begin, end = code.on_page(*part, spec.pixels, slab)
        with code.loop(*code.pages(begin, end, spec.out_width)) as y:
            if self.by_row:
                spec.list_row(code, self.lists, y, (first, count))
            with code.loop(*code.on_page(begin, end, spec.out_width, y)) as x:
                pixel = code.index((y, spec.out_width), x)
                epilogue.open(pixel, channel, first)
                with code.loop(0, count) as s:
                    epilogue.start(pixel, channel)
                    events = spec.events(code, self.lists, s)
                    for unit in range(0, self.units, self.registers):
                        units = range(unit, min(unit + self.registers, self.units))
                        visit = code.builder.mul(code.index((pixel, runs)), count)
                        visit = code.index(visit, (s, runs))
                        ahead = WeightsAhead(following, share, visit)
                        self._window(events, slab, y, x, units, ahead)
                    epilogue.finish(code.index(first, s), pixel, channel)
                epilogue.close(pixel, channel, more)

    def _window(
        self, events: Events, slab: Value, y: Value, x: Value, units: range, ahead: WeightsAhead
    ) -> None:
        """Add the events of a window to the currents of `units`."""
        spec, code = self.spec, self.code
        self.sums.clear(len(units))
        left = code.index((x, spec.stride_w), -spec.pad_left)
        start, stop = (
            code.clamp(code.index(left, reach), 0, spec.width) for reach in (0, spec.kernel_w)
        )
        rows = code.index((slab, spec.taps * spec.channels))
        if self.by_row:
            if not spec.fetches_rows:
                ahead.fetch(code, code.int(0))
            shift = code.builder.sub(rows, code.index((left, spec.channels)))
            self.sums.add(events, events.range(start, stop), shift, units)
            self.sums.widen(units)
            return
        with code.loop(0, spec.kernel_h) as kh:
            row = spec.row(code, y, kh)
            if not spec.fetches_rows:
                ahead.fetch(code, kh)
            with code.builder.if_then(spec.inside(code, row, spec.height)):
                line = code.index((row, spec.width))
                span = events.range(code.index(line, start), code.index(line, stop))
                base = code.index((code.index(line, left), spec.channels))
                shift = code.index(rows, (kh, spec.kernel_w * spec.channels))
                shift = code.builder.sub(shift, base)
                self.sums.add(events, span, shift, units)
        self.sums.widen(units)
