"""Rearrangement of elements: reshape, permute, slice, pad."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from snnc_backends.cpu.kernels.base import (
    Arrays,
    Kernel,
    Match,
    Port,
    Table,
    one_of,
    positive,
    require,
)
from snnc_backends.cpu.kernels.code import Code
from snnc_backends.cpu.layout import moved_positions

if TYPE_CHECKING:
    from snnc_backends.cpu.site import Site


@dataclass(frozen=True, kw_only=True)
class Gather(Kernel):
    """y[i] = x[positions[i]], or zero where positions[i] = -1."""

    name: ClassVar[str] = "gather"
    shares: ClassVar[bool] = True
    dtype: str
    source_size: int
    size: int
    constant: bool

    def __post_init__(self) -> None:
        one_of("dtype", self.dtype, ("i8", "i32", "f32", "f64"))
        positive(source_size=self.source_size, size=self.size)

    @classmethod
    def match(cls, site: Site) -> Match | None:
        if site.kind != "rearrange" or len(site.inputs) != 1:
            return None
        (x,) = site.inputs
        kernel = cls(
            dtype=site.dtype, source_size=x.size, size=site.result.size, constant=site.constant
        )
        return Match(kernel, {"positions": moved_positions(site.op, [x.shape])}, site.sources)

    def inputs(self) -> tuple[Port, ...]:
        return (Port(self.dtype, self.source_size, self.constant),)

    def output(self) -> Port:
        return Port(self.dtype, self.size, self.constant)

    def arrays(self) -> dict[str, Table]:
        return {"positions": Table("i32", self.size)}

    def check(self, arrays: Arrays) -> None:
        positions = arrays["positions"]
        inside = bool(np.all((positions >= -1) & (positions < self.source_size)))
        require(inside, "a position outside the tensor")

    def emit(self, code: Code) -> None:
        b = code.builder
        zero = code.zero(self.dtype)
        with (
            code.shared_rows(code.steps(self.constant), self.size) as (t, begin, end),
            code.loop(begin, end) as i,
        ):
            position = code.convert(code.load(code.arrays["positions"], "i32", i), "i32", "i64")
            outside = b.icmp_signed("<", position, code.int(0))
            inside = b.select(outside, code.int(0), position)
            x = code.load(code.inputs[0], self.dtype, code.index((t, self.source_size), inside))
            y = b.select(outside, zero, x)
            code.store(y, code.output, self.dtype, code.index((t, self.size), i))
