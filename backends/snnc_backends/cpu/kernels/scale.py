"""Multiplication by a factor per channel, with a bias."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from snnc_backends.cpu.kernels.base import Kernel, Match, Port, Table, one_of, positive
from snnc_backends.cpu.kernels.code import Code
from snnc_backends.cpu.layout import spread

if TYPE_CHECKING:
    from snnc_backends.cpu.site import Site


@dataclass(frozen=True, kw_only=True)
class Scale(Kernel):
    """y[p, c] = factor[c] * x[p, c] + bias[c]; in float, product and sum are rounded separately.

    Factors of the shape of a sample are the case positions=1.
    """

    name: ClassVar[str] = "scale"
    shares: ClassVar[bool] = True
    source: str
    dtype: str
    positions: int
    channels: int
    bias: bool
    constant: bool

    def __post_init__(self) -> None:
        one_of("source", self.source, ("i8", "i32", "f32", "f64"))
        one_of("dtype", self.dtype, ("i32", "f32", "f64"))
        positive(positions=self.positions, channels=self.channels)

    @classmethod
    def match(cls, site: Site) -> Match | None:
        if site.kind != "scale":
            return None
        arrays = {"factor": site.array(site.op.factor)}
        if site.op.bias is not None:
            arrays["bias"] = site.array(site.op.bias)
        positions, channels, arrays = spread(arrays, site.result.shape)
        kernel = cls(
            source=site.source_dtypes[0],
            dtype=site.dtype,
            positions=positions,
            channels=channels,
            bias="bias" in arrays,
            constant=site.constant,
        )
        return Match(kernel, arrays, site.sources)

    def inputs(self) -> tuple[Port, ...]:
        return (Port(self.source, self.positions * self.channels, self.constant),)

    def output(self) -> Port:
        return Port(self.dtype, self.positions * self.channels, self.constant)

    def arrays(self) -> dict[str, Table]:
        table = Table(self.dtype, self.channels)
        return {"factor": table, "bias": table} if self.bias else {"factor": table}

    def emit(self, code: Code) -> None:
        size = self.positions * self.channels
        with (
            code.shared(code.steps(self.constant), self.positions) as (t, p),
            code.loop(0, self.channels) as c,
        ):
            i = code.index((t, size), (p, self.channels), c)
            x = code.convert(code.load(code.inputs[0], self.source, i), self.source, self.dtype)
            y = code.mul(self.dtype, code.load(code.arrays["factor"], self.dtype, c), x)
            if self.bias:
                y = code.add(self.dtype, y, code.load(code.arrays["bias"], self.dtype, c))
            code.store(y, code.output, self.dtype, i)
