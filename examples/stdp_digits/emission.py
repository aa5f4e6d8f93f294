"""The body of one function of the simulator, on top of the project's own layer over LLVM."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llvmlite import ir

from snnc.native.code import I32, I64, POINTER, TYPES, Emitter, Machine, Value


class Code(Emitter):
    """A function `void (pointers…, integers…)`; its arguments are in `arguments` by name.

    Attributes:
        dtype: the type of weights, potentials and conductances, f32 or f64.
        lanes: elements of a vector of 512 bits.
    """

    def __init__(
        self,
        module: ir.Module,
        name: str,
        pointers: Sequence[str],
        integers: Sequence[str],
        dtype: str = "f32",
    ) -> None:
        kinds = [POINTER] * len(pointers) + [I64] * len(integers)
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), name)
        super().__init__(function, Machine())
        self.arguments = dict(zip((*pointers, *integers), function.args, strict=True))
        self.dtype = dtype
        self.lanes = 16 if dtype == "f32" else 8

    def constant(self, value: float, lanes: int, dtype: str = "") -> Value:
        """A number in every lane, of the type of the function unless `dtype` is given."""
        kind = TYPES[dtype or self.dtype]
        number = ir.Constant(kind, value)
        return number if lanes == 1 else ir.Constant(ir.VectorType(kind, lanes), [number] * lanes)

    def read(self, name: str, index: Value, lanes: int = 1, dtype: str = "") -> Value:
        """`lanes` elements of the array `name`."""
        return self.load(self.arguments[name], dtype or self.dtype, index, lanes)

    def write(self, value: Value, name: str, index: Value, dtype: str = "") -> None:
        """Store into the array `name`."""
        self.store(value, self.arguments[name], dtype or self.dtype, index)

    def widen(self, value: Value, source: str = "f64", lanes: int = 1) -> Value:
        """Convert to the type of the function."""
        return self.convert(value, source, self.dtype, lanes)

    def at_most(self, value: Value, bound: Value, dtype: str = "") -> Value:
        """min(value, bound)"""
        over = self.greater(dtype or self.dtype, value, bound)
        return self.builder.select(over, bound, value)

    def total(self, value: Value) -> Value:
        """The sum over the lanes of a vector, halves first."""
        lanes = self.lanes
        while lanes > 1:
            lanes //= 2
            low, high = (
                self.builder.shuffle_vector(
                    value,
                    ir.Constant(value.type, ir.Undefined),
                    ir.Constant(ir.VectorType(I32, lanes), list(range(start, start + lanes))),
                )
                for start in (0, lanes)
            )
            value = self.builder.fadd(low, high)
        return self.builder.extract_element(value, ir.Constant(I32, 0))

    def scatter(self, value: Value, name: str, index: Value, stride: int) -> None:
        """Store the lanes of a vector into the array `name`, `stride` elements apart."""
        for lane in range(self.lanes):
            one = self.builder.extract_element(value, ir.Constant(I32, lane))
            self.write(one, name, self.index(index, lane * stride))

    def each_set_lane(self, mask: Value, lanes: int, body: Callable[[Value], None]) -> None:
        """Call `body(lane)`, in order, for every true lane of a vector of bits."""
        b = self.builder
        bits = mask if lanes == 1 else b.bitcast(mask, ir.IntType(lanes))
        left = self.local("i64")
        self.set(left, b.zext(bits, I64))
        head, inside, after = (b.append_basic_block(n) for n in ("bits", "bit", "done"))
        b.branch(head)
        b.position_at_end(head)
        now = self.get(left, "i64")
        b.cbranch(b.icmp_unsigned("!=", now, self.int(0)), inside, after)
        b.position_at_end(inside)
        self.set(left, b.and_(now, b.sub(now, self.int(1))))
        body(b.cttz(now, ir.Constant(ir.IntType(1), 1)))
        b.branch(head)
        b.position_at_end(after)

    def end(self) -> None:
        """End the function."""
        self.builder.ret_void()
