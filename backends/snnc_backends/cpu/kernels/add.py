"""Sum of several tensors of one shape."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, ClassVar

from snnc_backends.cpu.kernels.base import Kernel, Match, Port, one_of, positive, require
from snnc_backends.cpu.kernels.code import Code

if TYPE_CHECKING:
    from snnc_backends.cpu.site import Site


@dataclass(frozen=True, kw_only=True)
class Add(Kernel):
    """y = x_0 + x_1 + …, from left to right; a constant input is added at every step."""

    name: ClassVar[str] = "add"
    shares: ClassVar[bool] = True
    dtype: str
    size: int
    constant: tuple[bool, ...]

    def __post_init__(self) -> None:
        one_of("dtype", self.dtype, ("i32", "f32", "f64"))
        positive(size=self.size)
        require(len(self.constant) >= 2, "adds fewer than two tensors")

    @classmethod
    def match(cls, site: Site) -> Match | None:
        if site.kind != "add":
            return None
        constant = tuple(x.constant_in_time for x in site.inputs)
        kernel = cls(dtype=site.dtype, size=site.result.size, constant=constant)
        return Match(kernel, {}, site.sources)

    def inputs(self) -> tuple[Port, ...]:
        return tuple(Port(self.dtype, self.size, constant) for constant in self.constant)

    def output(self) -> Port:
        return Port(self.dtype, self.size, bool(prod(self.constant)))

    def emit(self, code: Code) -> None:
        with code.shared_rows(code.steps(self.output().constant), self.size) as (t, begin, end):
            rows = [code.step_of(t, constant) for constant in self.constant]
            with code.loop(begin, end) as i:
                total = None
                for pointer, row in zip(code.inputs, rows, strict=True):
                    x = code.load(pointer, self.dtype, code.index((row, self.size), i))
                    total = x if total is None else code.add(self.dtype, total, x)
                code.store(total, code.output, self.dtype, code.index((t, self.size), i))
