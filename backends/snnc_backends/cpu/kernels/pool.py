"""Sum and maximum over windows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from snnc.native.code import Value
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

if TYPE_CHECKING:
    from snnc_backends.cpu.site import Site


@dataclass(frozen=True, kw_only=True)
class Windowed(Kernel):
    """One output for every window: rows_y, rows_x hold (start, stop) of each output position."""

    source: str
    dtype: str
    height: int
    width: int
    channels: int
    out_height: int
    out_width: int
    constant: bool

    def __post_init__(self) -> None:
        one_of("source", self.source, ("i8", "i32", "f32", "f64"))
        one_of("dtype", self.dtype, ("i8", "i32", "f32", "f64"))
        positive(height=self.height, width=self.width, channels=self.channels)
        positive(out_height=self.out_height, out_width=self.out_width)

    def inputs(self) -> tuple[Port, ...]:
        return (Port(self.source, self.height * self.width * self.channels, self.constant),)

    def output(self) -> Port:
        return Port(self.dtype, self.out_height * self.out_width * self.channels, self.constant)

    def arrays(self) -> dict[str, Table]:
        return {
            "rows_y": Table("i32", 2 * self.out_height),
            "rows_x": Table("i32", 2 * self.out_width),
        }

    def check(self, arrays: Arrays) -> None:
        for name, size in (("rows_y", self.height), ("rows_x", self.width)):
            start, stop = np.asarray(arrays[name]).reshape(-1, 2).T
            inside = bool(np.all((start >= 0) & (start < stop) & (stop <= size)))
            require(inside, "a window outside the tensor")

    @contextmanager
    def windows(self, code: Code, i: Value) -> Iterator[tuple[Value, list[Value], Value]]:
        """The output positions of row i: j, (top, bottom, left, right), and the place of the first
        channel."""
        with code.loop(0, self.out_width) as j:
            bounds = [*self.window(code, "rows_y", i), *self.window(code, "rows_x", j)]
            place = code.index((i, self.out_width * self.channels), (j, self.channels))
            yield j, bounds, place

    def window(self, code: Code, name: str, i: Value) -> tuple[Value, Value]:
        """Start and stop of the rows, or columns, of an output position."""
        start, stop = (code.load(code.arrays[name], "i32", code.index((i, 2), k)) for k in (0, 1))
        return code.convert(start, "i32", "i64"), code.convert(stop, "i32", "i64")

    def reduced(
        self,
        code: Code,
        dtype: str,
        lanes: int,
        bounds: list[Value],
        start: Value | None,
        value: Callable[[Value], Value],
    ) -> Value:
        """The sum of a window from `start` on, or its largest value if that is None.

        `value` gives `lanes` channels of a pixel, by the number of the pixel.
        """
        top, bottom, left, right = bounds
        first = value(code.index((top, self.width), left)) if start is None else start
        total = code.local(dtype, lanes)
        code.set(total, first)
        combine = code.largest if start is None else code.add
        with code.loop(top, bottom) as y, code.loop(left, right) as x:
            old = code.get(total, dtype, lanes)
            code.set(total, combine(dtype, old, value(code.index((y, self.width), x))))
        return code.get(total, dtype, lanes)


@dataclass(frozen=True, kw_only=True)
class Pool(Windowed):
    """y[i, j] = times_y[i] * times_x[j] * sum (or max) of x over rows_y[i] and rows_x[j].

    `weighted`: whether times_* exist.
    """

    name: ClassVar[str] = "pool"
    shares: ClassVar[bool] = True
    maximum: bool
    weighted: bool

    @classmethod
    def match(cls, site: Site) -> Match | None:
        if not (site.kind in ("sum-pool", "max-pool") or _constant_counts(site)):
            return None
        fields, arrays = site.pooling()
        times = site.op.multiplicity if site.kind == "sum-pool" else None
        kernel = cls(maximum=site.kind != "sum-pool", weighted=times is not None, **fields)
        if times is not None:
            padded = (*((1,),) * (2 - len(times)), *times)
            arrays |= {"times_y": np.array(padded[0]), "times_x": np.array(padded[1])}
        return Match(kernel, arrays, site.sources)

    def arrays(self) -> dict[str, Table]:
        times = {
            "times_y": Table("i32", self.out_height),
            "times_x": Table("i32", self.out_width),
        }
        return {**super().arrays(), **times} if self.weighted else super().arrays()

    def emit(self, code: Code) -> None:
        wide = 4 * code.machine.block if self.dtype == "i8" else code.machine.block
        with (
            code.shared(code.steps(self.constant), self.out_height) as (t, i),
            self.windows(code, i) as (j, bounds, place),
        ):
            out = code.index((t, self.output().size), place)
            factor = self._factor(code, i, j) if self.weighted else None
            code.blocks(
                self.channels,
                wide,
                lambda c, lanes: self._block(code, t, bounds, out, factor, c, lanes),
            )

    def _factor(self, code: Code, i: Value, j: Value) -> Value:
        y = code.load(code.arrays["times_y"], "i32", i)
        x = code.load(code.arrays["times_x"], "i32", j)
        return code.convert(code.builder.mul(y, x), "i32", self.dtype)

    def _block(
        self,
        code: Code,
        t: Value,
        bounds: list[Value],
        out: Value,
        factor: Value | None,
        c: Value,
        lanes: int,
    ) -> None:
        def source(pixel: Value) -> Value:
            pixel = code.index((t, self.height * self.width), pixel)
            i = code.index((pixel, self.channels), c)
            value = code.load(code.inputs[0], self.source, i, lanes)
            return code.convert(value, self.source, self.dtype, lanes)

        start = None if self.maximum else code.zero(self.dtype, lanes)
        result = self.reduced(code, self.dtype, lanes, bounds, start, source)
        if factor is not None:
            wide = code.splat(factor, self.dtype, lanes)
            result = code.mul(self.dtype, result, wide)
        code.store(result, code.output, self.dtype, code.index(out, c))


def _constant_counts(site: Site) -> bool:
    """Whether the maximum is of counts that all steps add the same to."""
    return site.kind == "count-maxpool" and site.constant
