"""Depthwise convolution: one filter per channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from snnc.native.code import Value
from snnc_backends.cpu.kernels.base import Match, Port, Table, one_of
from snnc_backends.cpu.kernels.code import Code
from snnc_backends.cpu.kernels.windows import Windows

if TYPE_CHECKING:
    from snnc_backends.cpu.site import Site


@dataclass(frozen=True, kw_only=True)
class Depthwise(Windows):
    """y[c] = bias[c] + sum over taps of weight[tap, c] * x[c]; a vector of channels at a time."""

    name: ClassVar[str] = "depthwise"
    shares: ClassVar[bool] = True
    weight: str
    dtype: str
    bias: str

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("weight", self.weight, ("i8", "i32", "f32", "f64"))
        one_of("dtype", self.dtype, ("i32", "f32", "f64"))
        one_of("bias", self.bias, ("none", "channel", "map"))

    @classmethod
    def match(cls, site: Site) -> Match | None:
        if site.kind != "conv" or site.groups == 1:
            return None
        weight = site.laid_weight()
        if weight.shape[3:] != (1, 1):
            return None
        fields, arrays = site.layer()
        arrays["weight"] = weight[:, :, :, 0, 0].transpose(1, 2, 0)
        return Match(cls(**fields), arrays, site.sources)

    def output(self) -> Port:
        return Port(self.dtype, self.out_height * self.out_width * self.channels, self.constant)

    def arrays(self) -> dict[str, Table]:
        weight = {"weight": Table(self.weight, self.taps * self.channels)}
        if self.bias == "none":
            return weight
        size = self.channels if self.bias == "channel" else self.output().size
        return {**weight, "bias": Table(self.dtype, size)}

    def emit(self, code: Code) -> None:
        positions = self.out_height * self.out_width
        with code.shared(code.steps(self.constant), positions) as (t, position):
            y, x = self.position(code, position)
            code.blocks(
                self.channels,
                code.machine.block,
                lambda c, lanes: self._block(code, t, y, x, c, lanes),
            )

    def _block(self, code: Code, t: Value, y: Value, x: Value, c: Value, lanes: int) -> None:
        pixel = code.index((y, self.out_width), x)
        place = code.index((pixel, self.channels), c)
        total = code.local(self.dtype, lanes)
        start = code.zero(self.dtype, lanes)
        if self.bias != "none":
            where = c if self.bias == "channel" else place
            start = code.load(code.arrays["bias"], self.dtype, where, lanes)
        code.set(total, start)
        with code.loop(0, self.kernel_h) as kh, code.loop(0, self.kernel_w) as kw:
            row, column = self.row(code, y, kh), self.column(code, x, kw)
            inside = self.inside(code, row, self.height), self.inside(code, column, self.width)
            with code.builder.if_then(code.builder.and_(*inside)):
                tap = code.index((code.index((kh, self.kernel_w), kw), self.channels), c)
                source = code.index((code.index((t, self.height), row), self.width), column)
                source = code.index((source, self.channels), c)
                value = code.load(code.inputs[0], self.source, source, lanes)
                value = code.convert(value, self.source, self.dtype, lanes)
                w = code.load(code.arrays["weight"], self.weight, tap, lanes)
                w = code.convert(w, self.weight, self.dtype, lanes)
                product = code.mul(self.dtype, w, value)
                old = code.get(total, self.dtype, lanes)
                code.set(total, code.add(self.dtype, old, product))
        out = code.index((t, self.output().size), place)
        code.store(code.get(total, self.dtype, lanes), code.output, self.dtype, out)
