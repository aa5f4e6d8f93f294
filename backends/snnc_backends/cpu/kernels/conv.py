"""Convolution and linear layers, driven by events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from snnc.native.code import Value
from snnc_backends.cpu.kernels import events
from snnc_backends.cpu.kernels.base import Match, Port, Table, Work, one_of, positive, require
from snnc_backends.cpu.kernels.code import Code
from snnc_backends.cpu.kernels.windows import Windows

if TYPE_CHECKING:
    from snnc_backends.cpu.site import Site

NS_PER_EVENT, NS_PER_VECTOR, NS_PER_LOOP, NS_PER_INPUT = 0.4, 0.5, 5.0, 0.15
"""Of an event, 16 of its weights, a loop over events, and an input that is looked at."""
CACHE_BYTES, CACHE_MISS = 512 << 10, 2.5
"""Weights that stay in the L2 cache, and how many times as long those of larger layers take, which
are read again at every step."""


@dataclass(frozen=True, kw_only=True)
class Conv(Windows):
    """y[o] = bias[o] + sum of x[i] * weight[i, o] over the nonzero inputs i of the window.

    Weights are laid out (groups, kernel_h, kernel_w, C_in/groups, C_out/groups). For each step the
    nonzero inputs are listed once; each output position then adds the weight rows (C_out values) of
    the events in its window, with the sums held in registers. The inputs under a kernel row are
    consecutive in that list, so a kernel row is one loop; grouped or dilated convolutions need one
    loop per tap. A linear layer is the case of a 1x1 image.

    `pulses`: every nonzero input is 1, so rows are added without a multiplication.
    """

    name: ClassVar[str] = "conv"
    shares: ClassVar[bool] = True
    weight: str
    dtype: str
    out_channels: int
    groups: int
    pulses: bool
    bias: str

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("weight", self.weight, ("i8", "i32", "f32", "f64"))
        one_of("dtype", self.dtype, ("i32", "f32", "f64"))
        one_of("bias", self.bias, ("none", "channel", "map"))
        positive(out_channels=self.out_channels, groups=self.groups)
        divides = self.channels % self.groups == 0 and self.out_channels % self.groups == 0
        require(divides, "channels do not divide into groups")

    @classmethod
    def match(cls, site: Site) -> Match | None:
        if site.kind not in ("conv", "linear"):
            return None
        fields, arrays = site.layer()
        conv = cls(
            **fields,
            out_channels=site.result.shape[0],
            groups=site.groups,
            pulses=site.pulses,
        )
        return Match(conv, {**arrays, "weight": site.laid_weight()}, site.sources)

    def cost(self, work: Work) -> float:
        """Events that meet weights, 16 channels at a time, and what every position costs."""
        places = self.out_height * self.out_width * self.groups
        rows = self.taps * self.channels / self.groups * min(1.0, work.rates[0])
        vectors = -(-self.out_channels // self.groups // 16)
        wide = 1.0 if self.pulses else 1.5
        if self.arrays()["weight"].nbytes > CACHE_BYTES:
            wide *= CACHE_MISS
        added = rows * (NS_PER_EVENT + vectors * NS_PER_VECTOR * wide)
        loops = self.kernel_h if self.fused else self.taps
        each = places * (added + loops * NS_PER_LOOP) + self.image.size * NS_PER_INPUT
        return work.steps(self.constant) * each

    @property
    def fused(self) -> bool:
        """Whether the inputs of a kernel row are consecutive."""
        return self.groups == 1 and self.dilation_w == 1

    def output(self) -> Port:
        size = self.out_height * self.out_width * self.out_channels
        return Port(self.dtype, size, self.constant)

    def arrays(self) -> dict[str, Table]:
        count = self.taps * self.channels * self.out_channels // self.groups
        weight = {"weight": Table(self.weight, count)}
        if self.bias == "none":
            return weight
        size = self.out_channels if self.bias == "channel" else self.output().size
        return {**weight, "bias": Table(self.dtype, size)}

    def scratch(self) -> int:
        segments = self.height * self.width * self.groups
        return events.scratch(segments, self.image.size)

    def emit(self, code: Code) -> None:
        segments = self.height * self.width * self.groups
        nonzero = events.Events(code, segments, self.channels // self.groups)
        outputs = self.out_channels // self.groups
        positions = code.share(self.out_height * self.out_width)
        single = self.out_height * self.out_width == 1  # then its channels are shared
        rows = self.rows_under(code, *positions)
        line = self.width * self.groups
        span = None if single else tuple(code.index((row, line)) for row in rows)
        with code.loop(0, code.steps(self.constant)) as t:
            first = code.index((t, self.image.size))
            nonzero.collect(code.inputs[0], self.source, first, span=span)
            blocks = code.shared_blocks if single else code.blocks
            with (
                code.loop(*((0, 1) if single else positions)) as position,
                code.loop(0, self.groups) as g,
            ):
                y, x = self.position(code, position)
                place = _Place(self, code, nonzero, first, t, y, x, g)
                blocks(outputs, code.machine.block, place.block)


@dataclass(frozen=True)
class _Place:
    """One output position (t, y, x) of a group g, while its code is generated."""

    spec: Conv
    code: Code
    nonzero: events.Events
    first: Value
    t: Value
    y: Value
    x: Value
    g: Value

    def block(self, offset: Value, lanes: int) -> None:
        """Sum up `lanes` output channels from `offset` on."""
        spec, code = self.spec, self.code
        per_group = spec.out_channels // spec.groups
        channel = code.index((self.g, per_group), offset)
        place = code.index((self.y, spec.out_width * spec.out_channels))
        place = code.index(place, (self.x, spec.out_channels), channel)
        total = code.local(spec.dtype, lanes)
        start = code.zero(spec.dtype, lanes)
        if spec.bias != "none":
            where = channel if spec.bias == "channel" else place
            start = code.load(code.arrays["bias"], spec.dtype, where, lanes)
        code.set(total, start)
        with code.loop(0, spec.kernel_h) as kh:
            row = spec.row(code, self.y, kh)
            with code.builder.if_then(spec.inside(code, row, spec.height)):
                (self._row if spec.fused else self._taps)(total, offset, lanes, kh, row)
        out = code.index((self.t, spec.output().size), place)
        code.store(code.get(total, spec.dtype, lanes), code.output, spec.dtype, out)

    def _row(self, total: Value, offset: Value, lanes: int, kh: Value, row: Value) -> None:
        """Add a kernel row in one loop over consecutive events."""
        spec, code = self.spec, self.code
        left = code.index((self.x, spec.stride_w), -spec.pad_left)
        start = code.index((row, spec.width), code.clamp(left, 0, spec.width))
        stop = code.clamp(code.index(left, spec.kernel_w), 0, spec.width)
        stop = code.index((row, spec.width), stop)
        base = code.index((code.index((row, spec.width), left), spec.channels))
        rows = code.index((kh, spec.kernel_w * spec.channels))
        self._add_rows(total, offset, lanes, (start, stop), code.builder.sub(rows, base))

    def _taps(self, total: Value, offset: Value, lanes: int, kh: Value, row: Value) -> None:
        """Add a kernel row tap by tap."""
        spec, code = self.spec, self.code
        per_group = spec.channels // spec.groups
        with code.loop(0, spec.kernel_w) as kw:
            column = spec.column(code, self.x, kw)
            with code.builder.if_then(spec.inside(code, column, spec.width)):
                pixel = code.index((row, spec.width), column)
                segment = code.index((pixel, spec.groups), self.g)
                base = code.index((segment, per_group))
                tap = code.index((self.g, spec.kernel_h), kh)
                rows = code.index((code.index((tap, spec.kernel_w), kw), per_group))
                span = (segment, code.index(segment, 1))
                self._add_rows(total, offset, lanes, span, code.builder.sub(rows, base))

    def _add_rows(
        self, total: Value, offset: Value, lanes: int, span: tuple[Value, Value], shift: Value
    ) -> None:
        """Add, for each event of a span of segments, the weight row `position + shift`."""
        spec, code = self.spec, self.code
        begin, end = self.nonzero.range(*span)
        with code.loop(begin, end) as k:
            position = self.nonzero.position(k)
            row = code.index(position, shift)
            where = code.index((row, spec.out_channels // spec.groups), offset)
            w = code.load(code.arrays["weight"], spec.weight, where, lanes)
            w = code.convert(w, spec.weight, spec.dtype, lanes)
            if not spec.pulses:
                x = code.load(code.inputs[0], spec.source, code.index(self.first, position))
                x = code.convert(x, spec.source, spec.dtype)
                w = code.mul(spec.dtype, w, code.splat(x, spec.dtype, lanes))
            code.set(total, code.add(spec.dtype, code.get(total, spec.dtype, lanes), w))
