"""Concatenation of tensors along an axis."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, ClassVar

from snnc_backends.cpu.kernels.base import Kernel, Match, Port, one_of, positive, require
from snnc_backends.cpu.kernels.code import Code

if TYPE_CHECKING:
    from snnc_backends.cpu.site import Site


@dataclass(frozen=True, kw_only=True)
class Concat(Kernel):
    """y[o] = x_0[o], x_1[o], … for each of `outer` rows; x_k has rows of `lengths[k]` elements."""

    name: ClassVar[str] = "concat"
    shares: ClassVar[bool] = True
    sources: tuple[str, ...]
    dtype: str
    outer: int
    lengths: tuple[int, ...]
    constant: tuple[bool, ...]

    def __post_init__(self) -> None:
        one_of("dtype", self.dtype, ("i8", "i32", "f32", "f64"))
        for source in self.sources:
            one_of("source", source, ("i8", "i32", "f32", "f64"))
        positive(outer=self.outer, **{f"length {i}": n for i, n in enumerate(self.lengths)})
        same = len(self.sources) == len(self.lengths) == len(self.constant) >= 2
        require(same, "lists of different length")

    @classmethod
    def match(cls, site: Site) -> Match | None:
        if site.kind != "concat":
            return None
        axis = (site.op.axis - 1) % len(site.result.shape)  # channels are last
        layouts = [(*x.shape[1:], *x.shape[:1]) for x in site.inputs]
        kernel = cls(
            sources=site.source_dtypes,
            dtype=site.dtype,
            outer=prod(layouts[0][:axis]),
            lengths=tuple(prod(layout[axis:]) for layout in layouts),
            constant=tuple(x.constant_in_time for x in site.inputs),
        )
        return Match(kernel, {}, site.sources)

    def inputs(self) -> tuple[Port, ...]:
        parts = zip(self.sources, self.lengths, self.constant, strict=True)
        return tuple(Port(source, self.outer * n, constant) for source, n, constant in parts)

    def output(self) -> Port:
        return Port(self.dtype, self.outer * sum(self.lengths), all(self.constant))

    def emit(self, code: Code) -> None:
        width = sum(self.lengths)
        with code.shared(code.steps(self.output().constant), self.outer) as (t, o):
            start = 0
            for pointer, port, length in zip(code.inputs, self.inputs(), self.lengths, strict=True):
                row = code.step_of(t, port.constant)
                with code.loop(0, length) as i:
                    x = code.load(pointer, port.dtype, code.index((row, port.size), (o, length), i))
                    target = code.index((t, self.outer * width), (o, width), start, i)
                    value = code.convert(x, port.dtype, self.dtype)
                    code.store(value, code.output, self.dtype, target)
                start += length
