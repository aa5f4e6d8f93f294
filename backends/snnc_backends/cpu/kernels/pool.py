"""Sum and maximum over windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from snnc.native.code import Value
from snnc_backends.cpu.kernels.base import Arrays, Kernel, Port, Table, one_of, positive, require
from snnc_backends.cpu.kernels.code import Code


@dataclass(frozen=True, kw_only=True)
class Pool(Kernel):
    """y[i, j] = times_y[i] * times_x[j] * sum (or max) of x over rows_y[i] and rows_x[j].

    rows_y, rows_x: (start, stop) of each output position. `weighted`: whether times_* exist.
    """

    name: ClassVar[str] = "pool"
    source: str
    dtype: str
    maximum: bool
    weighted: bool
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
        rows = {
            "rows_y": Table("i32", 2 * self.out_height),
            "rows_x": Table("i32", 2 * self.out_width),
        }
        times = {
            "times_y": Table("i32", self.out_height),
            "times_x": Table("i32", self.out_width),
        }
        return {**rows, **times} if self.weighted else rows

    def check(self, arrays: Arrays) -> None:
        for name, size in (("rows_y", self.height), ("rows_x", self.width)):
            start, stop = np.asarray(arrays[name]).reshape(-1, 2).T
            inside = bool(np.all((start >= 0) & (start < stop) & (stop <= size)))
            require(inside, "a window outside the tensor")

    def emit(self, code: Code) -> None:
        with (
            code.loop(0, code.steps(self.constant)) as t,
            code.loop(0, self.out_height) as i,
            code.loop(0, self.out_width) as j,
        ):
            bounds = [*self._window(code, "rows_y", i), *self._window(code, "rows_x", j)]
            out = code.index((t, self.output().size), (i, self.out_width * self.channels))
            out = code.index(out, (j, self.channels))
            factor = self._factor(code, i, j) if self.weighted else None
            code.blocks(
                self.channels,
                4 * code.machine.block if self.dtype == "i8" else code.machine.block,
                lambda c, lanes: self._block(code, t, bounds, out, factor, c, lanes),
            )

    def _window(self, code: Code, name: str, i: Value) -> tuple[Value, Value]:
        start, stop = (code.load(code.arrays[name], "i32", code.index((i, 2), k)) for k in (0, 1))
        return code.convert(start, "i32", "i64"), code.convert(stop, "i32", "i64")

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
        top, bottom, left, right = bounds

        def source(y: Value, x: Value) -> Value:
            row = code.index((t, self.height), y)
            i = code.index((code.index((row, self.width), x), self.channels), c)
            value = code.load(code.inputs[0], self.source, i, lanes)
            return code.convert(value, self.source, self.dtype, lanes)

        total = code.local(self.dtype, lanes)
        code.set(total, source(top, left) if self.maximum else code.zero(self.dtype, lanes))
        with code.loop(top, bottom) as y, code.loop(left, right) as x:
            old = code.get(total, self.dtype, lanes)
            combine = code.largest if self.maximum else code.add
            code.set(total, combine(self.dtype, old, source(y, x)))
        result = code.get(total, self.dtype, lanes)
        if factor is not None:
            wide = code.splat(factor, self.dtype, lanes)
            result = code.mul(self.dtype, result, wide)
        code.store(result, code.output, self.dtype, code.index(out, c))
