"""A thin layer over llvmlite's IR builder: typed loads and stores, loops, blocks of vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

Value = Any
"""An SSA value; llvmlite is untyped here."""

I1, I8, I16, I32, I64 = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64))
TYPES = {
    "i8": I8,
    "i16": I16,
    "i32": I32,
    "i64": I64,
    "f32": ir.FloatType(),
    "f64": ir.DoubleType(),
}
ALIGN = {"i8": 1, "i16": 2, "i32": 4, "i64": 8, "f32": 4, "f64": 8}
POINTER = ir.PointerType()


@dataclass(frozen=True)
class Machine:
    """Properties of the processor that code generation uses.

    Attributes:
        block: channels accumulated in registers at a time, a power of two.
        compress: one instruction packs the selected lanes of a vector.
        compress_bytes: … of a vector of bytes too.
        units: pairs of vectors of 64 bytes that sums are held in at a time.
        dot: what sums up products of bytes: vnni (AVX-512), madd (AVX2), or "" for general code.
        tiles: tiles of bytes are multiplied (AMX).
        architecture: as LLVM and Linux name it; "" for one whose own instructions and system calls
            are not used.
    """

    block: int = 16
    compress: bool = False
    compress_bytes: bool = False
    units: int = 1
    dot: str = ""
    tiles: bool = False
    architecture: str = ""


def is_float(dtype: str) -> bool:
    """True for f32 and f64."""
    return dtype.startswith("f")


class Emitter:
    """Emits the body of one function.

    Attributes:
        function: the function being written.
        builder: its position; code that moves it must restore it.
    """

    def __init__(self, function: ir.Function, machine: Machine) -> None:
        self.function, self.machine = function, machine
        self.builder = ir.IRBuilder(function.append_basic_block("entry"))

    # -- numbers ---------------------------------------------------------------------------

    def int(self, value: int) -> Value:
        """An i64 constant."""
        return ir.Constant(I64, value)

    def zero(self, dtype: str, lanes: int = 1) -> Value:
        """Zero of a type."""
        return ir.Constant(self.type(dtype, lanes), None)

    def type(self, dtype: str, lanes: int = 1) -> Value:
        """The LLVM type; a vector for more than one lane."""
        return TYPES[dtype] if lanes == 1 else ir.VectorType(TYPES[dtype], lanes)

    def index(self, *terms: Value | tuple[Value, int]) -> Value:
        """The i64 sum of values and of (value, factor) products."""
        total: Value = None
        for term in terms:
            value, factor = term if isinstance(term, tuple) else (term, 1)
            value = self.int(value) if isinstance(value, int) else value
            value = value if factor == 1 else self.builder.mul(value, self.int(factor))
            total = value if total is None else self.builder.add(total, value)
        return total

    def add(self, dtype: str, a: Value, b: Value) -> Value:
        """a + b"""
        return self.builder.fadd(a, b) if is_float(dtype) else self.builder.add(a, b)

    def sub(self, dtype: str, a: Value, b: Value) -> Value:
        """a - b"""
        return self.builder.fsub(a, b) if is_float(dtype) else self.builder.sub(a, b)

    def mul(self, dtype: str, a: Value, b: Value) -> Value:
        """a * b, never fused with an addition"""
        return self.builder.fmul(a, b) if is_float(dtype) else self.builder.mul(a, b)

    def greater(self, dtype: str, a: Value, b: Value) -> Value:
        """a > b"""
        if is_float(dtype):
            return self.builder.fcmp_ordered(">", a, b)
        return self.builder.icmp_signed(">", a, b)

    def nonzero(self, dtype: str, a: Value, lanes: int = 1) -> Value:
        """a != 0"""
        zero = self.zero(dtype, lanes)
        if is_float(dtype):
            return self.builder.fcmp_unordered("!=", a, zero)
        return self.builder.icmp_signed("!=", a, zero)

    def largest(self, dtype: str, a: Value, b: Value) -> Value:
        """max(a, b)"""
        return self.builder.select(self.greater(dtype, a, b), a, b)

    def convert(self, value: Value, source: str, target: str, lanes: int = 1) -> Value:
        """Convert a value to another type; integers are signed."""
        if source == target:
            return value
        kind = self.type(target, lanes)
        if is_float(source):
            if not is_float(target):
                return self.builder.fptosi(value, kind)
            widen = (source, target) == ("f32", "f64")
            return (self.builder.fpext if widen else self.builder.fptrunc)(value, kind)
        if is_float(target):
            return self.builder.sitofp(value, kind)
        widen = TYPES[source].width < TYPES[target].width
        return (self.builder.sext if widen else self.builder.trunc)(value, kind)

    def splat(self, value: Value, dtype: str, lanes: int) -> Value:
        """A scalar in every lane."""
        if lanes == 1:
            return value
        kind = self.type(dtype, lanes)
        undefined = ir.Constant(kind, ir.Undefined)
        first = self.builder.insert_element(undefined, value, ir.Constant(I32, 0))
        mask = ir.Constant(ir.VectorType(I32, lanes), None)
        return self.builder.shuffle_vector(first, undefined, mask)

    # -- memory ----------------------------------------------------------------------------

    def at(self, pointer: Value, dtype: str, index: Value) -> Value:
        """The address of an element."""
        index = self.int(index) if isinstance(index, int) else index
        return self.builder.gep(pointer, [index], source_etype=TYPES[dtype])

    def load(self, pointer: Value, dtype: str, index: Value, lanes: int = 1) -> Value:
        """`lanes` elements from `index` on; no alignment beyond the element's is assumed."""
        address = self.at(pointer, dtype, index)
        return self.builder.load(address, align=ALIGN[dtype], typ=self.type(dtype, lanes))

    def store(self, value: Value, pointer: Value, dtype: str, index: Value) -> None:
        """Store a scalar or a vector from element `index` on."""
        self.builder.store(value, self.at(pointer, dtype, index), align=ALIGN[dtype])

    def prefetch(self, pointer: Value, nbytes: Value) -> None:
        """Ask for memory to be read into the L2 cache."""
        with self.loop(0, nbytes, 64) as i:
            self.prefetch_line(self.at(pointer, "i8", i))

    def prefetch_line(self, pointer: Value) -> None:
        """Ask for the line of an address to be read into the L2 cache; any address will do."""
        module = self.builder.module
        name = "llvm.prefetch.p0"
        kind = ir.FunctionType(ir.VoidType(), [POINTER, I32, I32, I32])
        function = module.globals.get(name) or ir.Function(module, kind, name)
        read, second_level, data = (ir.Constant(I32, n) for n in (0, 2, 1))
        self.builder.call(function, [pointer, read, second_level, data])

    def local(self, dtype: str, lanes: int = 1, count: int = 1) -> Value:
        """Allocate `count` elements on the stack."""
        with self.builder.goto_entry_block():
            return self.builder.alloca(self.type(dtype, lanes), size=self.int(count))

    def array(self, dtype: str, count: int) -> Value:
        """Allocate `count` elements on the stack, for vectors too."""
        with self.builder.goto_entry_block():
            memory: Value = self.builder.alloca(ir.ArrayType(TYPES[dtype], count))
            memory.align = 64
            memory.type = POINTER  # vectors and scalars are stored in it
            return memory

    def get(self, variable: Value, dtype: str, lanes: int = 1) -> Value:
        """The value of a stack variable."""
        return self.builder.load(variable, typ=self.type(dtype, lanes))

    def set(self, variable: Value, value: Value) -> None:
        """Assign a stack variable."""
        self.builder.store(value, variable)

    # -- control ---------------------------------------------------------------------------

    @contextmanager
    def loop(self, start: Value | int, stop: Value | int, step: int = 1) -> Iterator[Value]:
        """`for i in range(start, stop, step)`; yields i, an i64."""
        start, stop = (self.int(v) if isinstance(v, int) else v for v in (start, stop))
        b, before = self.builder, self.builder.block
        head, body, after = (b.append_basic_block(n) for n in ("head", "body", "after"))
        b.branch(head)
        b.position_at_end(head)
        i = b.phi(I64)
        i.add_incoming(start, before)
        b.cbranch(b.icmp_signed("<", i, stop), body, after)
        b.position_at_end(body)
        yield i
        i.add_incoming(b.add(i, self.int(step)), b.block)
        b.branch(head)
        b.position_at_end(after)

    @contextmanager
    def taken(self, counter: Value, count: Value) -> Iterator[Value]:
        """One after another of the parts 0..count that no other thread has taken; yields each.

        `counter` is the address of the i64 that all threads increment, initially 0.
        """
        b = self.builder
        head, body, after = (b.append_basic_block(n) for n in ("take", "part", "end"))
        b.branch(head)
        b.position_at_end(head)
        part = b.atomic_rmw("add", counter, ir.Constant(I64, 1), "monotonic")
        b.cbranch(b.icmp_signed("<", part, count), body, after)
        b.position_at_end(body)
        yield part
        b.branch(head)
        b.position_at_end(after)

    @contextmanager
    def repeat(self, condition: Callable[[], Value]) -> Iterator[None]:
        """`while condition():`"""
        b = self.builder
        head, body, after = (b.append_basic_block(n) for n in ("head", "body", "after"))
        b.branch(head)
        b.position_at_end(head)
        b.cbranch(condition(), body, after)
        b.position_at_end(body)
        yield
        b.branch(head)
        b.position_at_end(after)

    def blocks(
        self,
        count: int,
        width: int,
        body: Callable[[Value, int], None],
        *,
        unrolled: bool = False,
    ) -> None:
        """Cover 0..count with vectors: `body(offset, lanes)`, lanes a power of two <= width.

        `unrolled`: without a loop, so that all offsets are constants.
        """
        done = count // width * width
        if done == width or unrolled:
            for offset in range(0, done, width):
                body(self.int(offset), width)
        elif done:
            with self.loop(0, done, width) as offset:
                body(offset, width)
        while width > 1:
            width //= 2
            if (count - done) & width:
                body(self.int(done), width)
                done += width

    def minimum(self, a: Value, b: Value) -> Value:
        """min of two i64"""
        return self.builder.select(self.builder.icmp_signed("<", a, b), a, b)

    def clamp(self, a: Value, low: int, high: int) -> Value:
        """An i64 kept in low..high"""
        b = self.builder
        a = b.select(b.icmp_signed("<", a, self.int(low)), self.int(low), a)
        return self.minimum(a, self.int(high))
