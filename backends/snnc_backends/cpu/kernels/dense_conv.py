"""Layers of real inputs that are rarely zero: all products, several output positions at a time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from llvmlite import ir

from snnc.native.code import I1, I32, POINTER, Value
from snnc_backends.cpu.kernels.base import Match, Port, Table, Work, one_of, positive, require
from snnc_backends.cpu.kernels.code import Code
from snnc_backends.cpu.kernels.layer import MOST_SHIFT, on_grid
from snnc_backends.cpu.kernels.windows import Windows

if TYPE_CHECKING:
    from snnc_backends.cpu.site import Site

ACROSS = 4
"""Output positions of a row, or else vectors of channels, whose sums are in registers."""
NARROW = 8
"""Output positions of a row where there are few channels."""
NS_PER_VECTOR, NS_PER_INPUT = 0.3, 0.05
"""Of 16 products, and of an input that is copied (Zen 4, one core)."""


@dataclass(frozen=True, kw_only=True)
class DenseConv(Windows):
    """y[o] = bias[o] + 2^-shift * sum of x[i] * weight[i, o] over the window, in float32.

    The input is copied with zeros around it, where windows reach beyond it. Weights are laid out
    (kernel_h, kernel_w, C_in, C_out); those of 8 bits, on a grid, are integers.
    """

    name: ClassVar[str] = "dense-conv"
    shares: ClassVar[bool] = True
    weight: str
    shift: int
    out_channels: int
    bias: str

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("source", self.source, ("f32",))
        one_of("weight", self.weight, ("i8", "f32"))
        one_of("bias", self.bias, ("none", "channel", "map"))
        positive(out_channels=self.out_channels)
        require(self.dilation_w == 1, "a kernel row with gaps")
        require(0 <= self.shift <= MOST_SHIFT, "a wrong shift")

    @classmethod
    def match(cls, site: Site) -> Match | None:
        if site.kind not in ("conv", "linear") or site.groups != 1:
            return None
        fields, arrays = site.layer()
        if fields.pop("dtype") != "f32" or fields["source"] != "f32" or fields["dilation_w"] != 1:
            return None
        weight = site.laid_weight()[0]
        found = on_grid(weight)
        fields |= {"weight": "f32" if found is None else "i8"}
        units, shift = (weight, 0) if found is None else found
        kernel = cls(**fields, shift=shift, out_channels=site.result.shape[0])
        return Match(kernel, {**arrays, "weight": partial(np.asarray, units)}, site.sources)

    def cost(self, work: Work) -> float:
        """All products, and the copy."""
        vectors = -(-self.out_channels // 16) * self.taps * self.channels
        each = self.out_height * self.out_width * vectors * NS_PER_VECTOR
        return work.steps(self.constant) * (each + self.plane * NS_PER_INPUT)

    def output(self) -> Port:
        size = self.out_height * self.out_width * self.out_channels
        return Port("f32", size, self.constant)

    def arrays(self) -> dict[str, Table]:
        tables = {"weight": Table(self.weight, self.taps * self.channels * self.out_channels)}
        if self.bias != "none":
            size = self.out_channels if self.bias == "channel" else self.output().size
            tables["bias"] = Table("f32", size)
        return tables

    @property
    def lines(self) -> int:
        """Rows that the windows cover."""
        return (self.out_height - 1) * self.stride_h + (self.kernel_h - 1) * self.dilation_h + 1

    @property
    def line(self) -> int:
        """Columns that the windows cover."""
        return (self.out_width - 1) * self.stride_w + self.kernel_w

    @property
    def direct(self) -> bool:
        """Whether the windows stay inside the image, which is then as wide as a row of them."""
        unpadded = self.pad_top == self.pad_left == 0
        return unpadded and self.line == self.width and self.lines <= self.height

    @property
    def plane(self) -> int:
        """Elements that are copied."""
        return 0 if self.direct else self.lines * self.line * self.channels

    def scratch(self) -> int:
        return 4 * self.plane

    def emit(self, code: Code) -> None:
        with code.loop(0, code.steps(self.constant)) as t:
            image = code.at(code.inputs[0], "f32", code.index((t, self.image.size)))
            if not self.direct:
                self._copy(code, image)
                image = code.scratch
            _Positions(self, code, image, t).emit()

    def _copy(self, code: Code, image: Value) -> None:
        """Copy the image, with zeros around it."""
        zeros = partial(code.zero, "f32")
        code.blocks(self.plane, 16, lambda i, n: code.store(zeros(n), code.scratch, "f32", i))
        rows = max(0, min(self.height, self.lines - self.pad_top))
        columns = max(0, min(self.width, self.line - self.pad_left))
        with code.loop(0, rows) as y:
            source = code.index((y, self.width * self.channels))
            target = code.index((y, self.line), self.pad_top * self.line + self.pad_left)
            target = code.index((target, self.channels))

            def move(i: Value, lanes: int, source: Value = source, target: Value = target) -> None:
                x = code.load(image, "f32", code.index(source, i), lanes)
                code.store(x, code.scratch, "f32", code.index(target, i))

            code.blocks(columns * self.channels, 16, move)


class _Positions:
    """Code for all output positions at step t; `image` is the image, with zeros around it."""

    def __init__(self, spec: DenseConv, code: Code, image: Value, t: Value) -> None:
        self.spec, self.code, self.image, self.t = spec, code, image, t
        block = code.machine.block
        self.single = spec.out_width == 1
        self.lanes = min(block, 1 << (spec.out_channels - 1).bit_length())
        most = NARROW if self.lanes <= block // 2 else ACROSS
        divisors = [n for n in range(most // 2, most + 1) if spec.out_width % n == 0]
        self.across = 1 if self.single else max(divisors, default=most)
        self.vectors = min(ACROSS if self.single else 1, -(-spec.out_channels // self.lanes))
        self.sums = [
            [code.local("f32", self.lanes) for _ in range(self.vectors)] for _ in range(self.across)
        ]

    def emit(self) -> None:
        """All positions, for some channels after the others."""
        spec, code = self.spec, self.code
        wide = self.vectors * self.lanes
        whole = spec.out_channels // wide * wide
        if whole:
            with code.loop(0, whole, wide) as channel:
                self._channels(channel, wide)
        if whole < spec.out_channels:
            self._channels(code.int(whole), spec.out_channels - whole)

    def _channels(self, channel: Value, count: int) -> None:
        spec, code = self.spec, self.code
        whole = spec.out_width // self.across * self.across
        with code.loop(*code.share(spec.out_height)) as y:
            for start, stop, size in ((0, whole, self.across), (whole, spec.out_width, 1)):
                if start < stop:
                    with code.loop(start, stop, size) as x:
                        self._sum(y, x, size, (channel, count))
                        self._finish(y, x, size, (channel, count))

    def _counts(self, count: int) -> list[int]:
        """How many of `count` channels each vector has."""
        return [min(self.lanes, count - done) for done in range(0, count, self.lanes)]

    def _sum(self, y: Value, x: Value, size: int, channels: tuple[Value, int]) -> None:
        """The sums of `size` windows from (y, x) on, for some channels."""
        spec, code = self.spec, self.code
        first, count = channels
        parts = self._counts(count)
        for sums in self.sums[:size]:
            for total, _ in zip(sums, parts, strict=False):
                code.set(total, code.zero("f32", self.lanes))
        with code.loop(0, spec.kernel_h) as kh:
            row = code.index((y, spec.stride_h), (kh, spec.dilation_h))
            start = code.index((row, spec.line), (x, spec.stride_w))
            start = code.index((start, spec.channels))
            across = spec.kernel_w * spec.channels
            with code.loop(0, across) as tap:
                weights = code.index((code.index((kh, across), tap), spec.out_channels), first)
                place = code.index(start, tap)
                if self.single:
                    value = code.load(self.image, "f32", place)
                    with code.builder.if_then(code.nonzero("f32", value)):
                        self._tap(place, weights, size, parts)
                else:
                    self._tap(place, weights, size, parts)

    def _tap(self, place: Value, weights: Value, size: int, parts: list[int]) -> None:
        """Add the products of a weight per channel and an input per window."""
        spec, code = self.spec, self.code
        for vector, count in enumerate(parts):
            where = code.index(weights, vector * self.lanes)
            w = _load(code, code.arrays["weight"], spec.weight, where, self.lanes, count)
            w = code.convert(w, spec.weight, "f32", self.lanes)
            for number in range(size):
                at = code.index(place, number * spec.stride_w * spec.channels)
                value = code.splat(code.load(self.image, "f32", at), "f32", self.lanes)
                total = self.sums[number][vector]
                kind = code.type("f32", self.lanes)
                terms = [w, value, code.get(total, "f32", self.lanes)]
                code.set(total, _call(code, f"llvm.fmuladd.v{self.lanes}f32", kind, terms))

    def _finish(self, y: Value, x: Value, size: int, channels: tuple[Value, int]) -> None:
        """Scale the sums, add the bias, and write the result."""
        spec, code = self.spec, self.code
        first, count = channels
        unit = code.splat(ir.Constant(code.type("f32"), 2.0**-spec.shift), "f32", self.lanes)
        for number in range(size):
            pixel = code.index((y, spec.out_width), x, number)
            for vector, part in enumerate(self._counts(count)):
                channel = code.index(first, vector * self.lanes)
                place = code.index((pixel, spec.out_channels), channel)
                value = code.get(self.sums[number][vector], "f32", self.lanes)
                value = code.mul("f32", value, unit)
                if spec.bias != "none":
                    where = channel if spec.bias == "channel" else place
                    bias = _load(code, code.arrays["bias"], "f32", where, self.lanes, part)
                    value = code.add("f32", value, bias)
                out = code.index((self.t, spec.output().size), place)
                _store(code, value, out, self.lanes, part)


def _load(code: Code, pointer: Value, dtype: str, place: Value, lanes: int, count: int) -> Value:
    """The first `count` of `lanes` elements, and zeros; no others are touched."""
    if count == lanes:
        return code.load(pointer, dtype, place, lanes)
    kind = code.type(dtype, lanes)
    name = f"llvm.masked.load.v{lanes}{dtype}.p0"
    address = code.at(pointer, dtype, place)
    return _call(code, name, kind, [address, *_masked(lanes, count), code.zero(dtype, lanes)])


def _store(code: Code, value: Value, place: Value, lanes: int, count: int) -> None:
    """Write the first `count` of `lanes` elements of the result."""
    if count == lanes:
        code.store(value, code.output, "f32", place)
        return
    address = code.at(code.output, "f32", place)
    name = f"llvm.masked.store.v{lanes}f32.p0"
    _call(code, name, ir.VoidType(), [value, address, *_masked(lanes, count)])


def _masked(lanes: int, count: int) -> list[Value]:
    """Alignment and mask of a vector of which `count` lanes are used."""
    mask = ir.Constant(ir.VectorType(I1, lanes), [int(lane < count) for lane in range(lanes)])
    return [ir.Constant(I32, 1), mask]


def _call(code: Code, name: str, result: Value, arguments: list[Value]) -> Value:
    module = code.builder.module
    taken = [POINTER if each.type.is_pointer else each.type for each in arguments]
    kind = ir.FunctionType(result, taken)
    function = module.globals.get(name) or ir.Function(module, kind, name)
    return code.builder.call(function, arguments)
