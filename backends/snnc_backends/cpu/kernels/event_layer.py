"""Layers driven by events, with weights of 8 bits that are summed in 16."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from snnc.native.code import Machine, Value
from snnc_backends.cpu.kernels.base import LARGEST, Match, Table, Work, positive, require
from snnc_backends.cpu.kernels.code import Code
from snnc_backends.cpu.kernels.epilogue import Epilogue
from snnc_backends.cpu.kernels.event_sums import EventSums
from snnc_backends.cpu.kernels.events import VALUES, Events, scratch
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

    @property
    def slab_bytes(self) -> int:
        """Bytes of the weights of a slab."""
        return self.taps * self.channels * self.slab

    @property
    def fetches_rows(self) -> bool:
        """Whether the weights of a slab are fetched row by row while the one before is added."""
        return self.slabs > 1 and self.pixels <= FEW_POSITIONS

    def weights(self) -> Table:
        return Table("i16", self.slabs * self.slab_bytes // 2)

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
        cheap = machine.compress_bytes and self.source == "i8"
        return cheap and self.slabs == 1 and self.kernel_h > 1 and self.channels <= BY_ROW

    def emit(self, code: Code) -> None:
        lists = code.at(code.scratch, "i8", self.kept())
        whole = self.out_channels // self.slab
        rest = self.out_channels - whole * self.slab
        steps = code.int(STEPS)
        parts = [_Slab(self, code, lists, channels) for channels in ((self.slab, rest)) if channels]
        with code.loop(0, code.timesteps, STEPS) as first:
            count = code.minimum(steps, code.builder.sub(code.timesteps, first))
            if not self.by_row(code.machine):
                with code.loop(0, count) as s:
                    found = self.events(code, lists, s)
                    start = code.index((code.index(first, s), self.image.size))
                    found.collect(code.inputs[0], self.source, start, self.copies)
            if whole:
                with code.loop(0, whole) as slab:
                    parts[0].positions(slab, first, count)
            if rest:
                parts[-1].positions(code.int(whole), first, count)

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
    def most_listed(self) -> int:
        """The most entries of the list whose sums fit 16 bits."""
        return max(1, self.limit // self.copies) if self.valued else self.limit

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
        return self.slab if max(self.image.size, taps) * self.slab <= LARGEST else 1


class _Slab:
    """Code for the first `channels` output channels of a slab."""

    def __init__(self, spec: EventLayer, code: Code, lists: Value, channels: int) -> None:
        self.spec, self.code, self.lists = spec, code, lists
        self.units = -(-channels // spec.unit)
        padded = self.units * spec.unit
        self.epilogue = Epilogue(
            spec, code, channels, padded, code.scratch, unrolled=self.units <= UNROLLED
        )
        self.registers = min(self.units, code.machine.units)
        self.sums = EventSums(spec, code, self.registers)
        self.by_row = spec.by_row(code.machine)

    def positions(self, slab: Value, first: Value, count: Value) -> None:
        """All output positions, at the steps first .. first + count - 1."""
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
        with code.loop(0, spec.out_height) as y:
            if self.by_row:
                spec.list_row(code, self.lists, y, (first, count))
            with code.loop(0, spec.out_width) as x:
                pixel = code.index((y, spec.out_width), x)
                epilogue.open(pixel, channel, first)
                with code.loop(0, count) as s:
                    epilogue.start(pixel, channel)
                    events = spec.events(code, self.lists, s)
                    for unit in range(0, self.units, self.registers):
                        units = range(unit, min(unit + self.registers, self.units))
                        visit = code.builder.mul(code.index((pixel, runs)), count)
                        visit = code.index(visit, (s, runs))
                        ahead = _Ahead(following, share, visit)
                        self._window(events, slab, y, x, units, ahead)
                    epilogue.finish(code.index(first, s), pixel, channel)
                epilogue.close(pixel, channel, more)

    def _window(
        self, events: Events, slab: Value, y: Value, x: Value, units: range, ahead: _Ahead
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
            self.sums.add(events, events.range(start, stop), shift, units, self.epilogue.current)
            self.sums.widen(units, self.epilogue.current)
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
                self.sums.add(events, span, shift, units, self.epilogue.current)
        self.sums.widen(units, self.epilogue.current)


@dataclass(frozen=True)
class _Ahead:
    """Weights that are fetched while others are added: `share` bytes at a visit."""

    start: Value
    share: Value
    visit: Value

    def fetch(self, code: Code, more: Value) -> None:
        """Ask for those of the visit that is so many further."""
        place = code.builder.mul(code.index(self.visit, more), self.share)
        place = code.builder.add(self.start, place)
        code.prefetch(code.at(code.arrays["weight"], "i8", place), self.share)


def _slab(weight: NDArray[Any]) -> tuple[int, int]:
    """Channels of a slab and of a unit, for weights (rows, columns, inputs, outputs)."""
    rows, outputs = int(np.prod(weight.shape[:-1])), weight.shape[-1]
    unit = 16 if outputs <= 16 else 32 if outputs <= 32 else UNIT
    slab = min(WIDEST, -(-outputs // unit) * unit)
    while slab > UNIT and (rows * slab > SLAB_BYTES or (outputs > slab and outputs % slab)):
        slab = -(-slab // 2 // UNIT) * UNIT
    return slab, unit


def _limit(weight: NDArray[Any], copies: int) -> int:
    """The most events of a window whose sums fit 16 bits, whichever events they are; all of them
    count as `LARGEST`."""
    flat = weight.reshape(-1, weight.shape[-1]).astype(np.int16)
    outputs = flat.shape[-1]
    places = (flat & 255) + 256 * np.arange(outputs)
    counts = np.bincount(places.ravel(), minlength=256 * outputs).reshape(outputs, 256) * copies
    positive, negative = np.arange(127, 0, -1), np.arange(128, 0, -1)
    rows = (counts[:, positive], positive), (counts[:, 256 - negative], negative)
    return min(_fitting(*each) for each in rows)


def _fitting(counts: NDArray[Any], sizes: NDArray[Any]) -> int:
    """How many numbers of an output have a sum of 16 bits, the largest first; the least of outputs.

    counts: of numbers of every size, (outputs, sizes); sizes: descending. All count as `LARGEST`.
    """
    sums = np.cumsum(counts * sizes, axis=1)
    room = np.maximum(INT16 - (sums - counts * sizes), 0)
    taken = np.minimum(counts, room // sizes).sum(1)
    beyond = sums[:, -1] > INT16
    return int(taken[beyond].min()) if beyond.any() else LARGEST


def _words(weight: NDArray[Any], slab: int, unit: int) -> NDArray[Any]:
    """The words of weights (rows, columns, inputs, outputs), as in `EventLayer`."""
    outputs = weight.shape[-1]
    slabs = -(-outputs // slab)
    padded = np.zeros((int(np.prod(weight.shape[:-1])), slabs * slab), np.int16)
    padded[:, :outputs] = weight.reshape(-1, outputs)
    split = padded.reshape(-1, slabs, slab // unit, 2, unit // 2).transpose(1, 0, 2, 3, 4)
    low, high = split[..., 0, :], split[..., 1, :]
    return (low + 128) + 256 * high
