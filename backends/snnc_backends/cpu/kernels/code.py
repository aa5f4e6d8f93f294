"""The LLVM function of a kernel, and its arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from llvmlite import ir

from snnc.native.code import I64, POINTER, Emitter, Machine, Value


class Code(Emitter):
    """Generates the body of one function.

    Attributes:
        inputs, output, arrays, scratch, timesteps: its arguments.
        part, parts: arguments too: it is to do part number `part` of `parts` of the work; others
            do the rest at the same time, each with scratch memory of its own.
    """

    def __init__(
        self, module: ir.Module, name: str, inputs: int, arrays: tuple[str, ...], machine: Machine
    ) -> None:
        count = inputs + 1 + len(arrays) + 1
        kind = ir.FunctionType(ir.VoidType(), [POINTER] * count + [I64] * 3)
        function = ir.Function(module, kind, name)
        function.linkage = "internal"
        for argument in function.args[:count]:
            argument.add_attribute("noalias")
        super().__init__(function, machine)
        args = function.args
        self.inputs = args[:inputs]
        self.output = args[inputs]
        self.arrays = dict(zip(arrays, args[inputs + 1 : -4], strict=True))
        self.scratch, self.timesteps, self.part, self.parts = args[-4:]

    def steps(self, constant: bool) -> Value:
        """The number of steps of a tensor."""
        return self.int(1) if constant else self.timesteps

    def step_of(self, t: Value, constant: bool) -> Value:
        """The row of a tensor at step t."""
        return self.int(0) if constant else t

    # -- the work of a part ----------------------------------------------------------------

    def share(self, count: Value | int) -> tuple[Value, Value]:
        """The range of 0 .. count - 1 that is for this part; parts differ by one at most."""
        b = self.builder
        count = self.int(count) if isinstance(count, int) else count
        begin = b.udiv(b.mul(count, self.part), self.parts)
        return begin, b.udiv(b.mul(count, self.index(self.part, 1)), self.parts)

    @contextmanager
    def shared(self, outer: Value | int, inner: int) -> Iterator[tuple[Value, Value]]:
        """`for i in range(outer): for j in range(inner):`, of which this part does its share."""
        b = self.builder
        with self.loop(*self.share(self.index((outer, inner)))) as both:
            yield b.udiv(both, self.int(inner)), b.urem(both, self.int(inner))

    @contextmanager
    def shared_rows(self, outer: Value | int, inner: int) -> Iterator[tuple[Value, Value, Value]]:
        """`shared`, with a range of j for each i where there are some."""
        begin, end = self.share(self.index((outer, inner)))
        first, stop = self.pages(begin, end, inner)
        with self.loop(first, stop) as i:
            yield i, *self.on_page(begin, end, inner, i)

    def pages(self, begin: Value, end: Value, size: int) -> tuple[Value, Value]:
        """The range of pages of `size` pieces that hold the pieces begin .. end - 1."""
        b = self.builder
        last = b.udiv(self.index(end, size - 1), self.int(size))
        return b.udiv(begin, self.int(size)), last

    def on_page(self, begin: Value, end: Value, size: int, page: Value) -> tuple[Value, Value]:
        """Which of the `size` pieces of a page are among the pieces begin .. end - 1."""
        start = self.index((page, size))
        low, high = (self.clamp(self.builder.sub(v, start), 0, size) for v in (begin, end))
        return low, high

    def shared_blocks(self, count: int, width: int, body: Callable[[Value, int], None]) -> None:
        """`blocks`, of which this part covers its share; the last part what is no whole block."""
        whole = count // width
        begin, end = self.share(whole)
        with self.loop(begin, end) as k:
            body(self.index((k, width)), width)
        done = whole * width
        if done == count:
            return
        last = self.builder.icmp_signed("==", self.index(self.part, 1), self.parts)
        with self.builder.if_then(last):
            self.blocks(count - done, width, lambda i, lanes: body(self.index(i, done), lanes))
