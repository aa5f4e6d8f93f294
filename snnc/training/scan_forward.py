"""The forward scan of snnc/training/scan.py as machine code: one pass over memory.

The neurons of all samples are one row of numbers per step. A block of neurons runs through all
steps with its state in registers.

The row is divided into at most `PARTS` parts, whatever the number of threads; a free thread takes
the next part. Sums over neurons are computed per part and added up afterwards, so gradients do not
depend on the number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from llvmlite import ir

from snnc.native.code import I32, POINTER, Emitter, Value

PARTS = 16
SUMMED = 16
"""Lanes of the double-precision sums over neurons."""
FORWARD, BACKWARD = "forward", "backward"
PARAMETERS = ("threshold", "leak", "v_init")
SLOTS = (
    "next", "parts", "part", "count", "steps", "stride", "period", "current", "spikes", "gradient",
    "to_current", *PARAMETERS, "slope", "scratch", "sums", "rows",
)  # fmt: skip
"""Fields of the argument, eight bytes each.

next: the first part that no thread has taken (incremented by the threads).
parts, part, count: number of parts, neurons in each (a multiple of the lanes), neurons in all.
steps, stride: T, and the distance between steps of the current (0 if it is constant).
period: number of neurons after which rows of parameters repeat (a multiple of the lanes).
current … to_current: of the row's dtype, (T, count); current and to_current (1, count) if constant.
threshold, leak, v_init: float32, one number or a row of `period`.
slope: float32 constants of the surrogate.
scratch: float32 (parts, T, 3, lanes).
sums, rows: by part and parameter, float64 (SUMMED + 1) and float32 (period), initially zero.
"""
Kind = Literal["none", "number", "row"]


@dataclass(frozen=True)
class ScanSpec:
    """What the code of a population depends on.

    Attributes:
        dtype: of currents, spikes and their gradients: f32 or bf16.
        kinds: of threshold, leak (none: there is no leak) and v_init.
        wanted: whether they need gradients.
        slope: the name of a surrogate in `SLOPES`; empty for the forward scan.
        packed: whether spikes are bits (snnc/training/scan_packed.py); forward only.
    """

    dtype: Literal["f32", "bf16"]
    reset: Literal["subtract", "zero"]
    constant: bool
    kinds: tuple[Kind, Kind, Kind]
    wanted: tuple[bool, bool, bool] = (False, False, False)
    slope: str = ""
    packed: bool = False


class Forward:
    """Code of the forward scan."""

    def __init__(self, spec: ScanSpec, code: Emitter) -> None:
        self.spec, self.code = spec, code
        self.slots = {name: self._slot(i, name) for i, name in enumerate(SLOTS) if i}
        self.numbers = {
            name: code.load(self.slots[name], "f32", 0)
            for name, kind in zip(PARAMETERS, spec.kinds, strict=True)
            if kind == "number"
        }

    def _slot(self, i: int, name: str) -> Value:
        b = self.code.builder
        value = self.code.load(self.code.function.args[0], "i64", i)
        integers = ("parts", "part", "count", "steps", "stride", "period")
        return value if name in integers else b.inttoptr(value, POINTER)

    def emit(self) -> None:
        """Code of a thread: take parts until none is left."""
        with self.code.taken(self.code.function.args[0], self.slots["parts"]) as part:
            self.begin(part)
            self._blocks(part)
            self.end(part)
        self.code.builder.ret_void()

    def begin(self, part: Value) -> None:
        """Before the blocks of a part."""

    def end(self, part: Value) -> None:
        """After the blocks of a part."""

    def _blocks(self, part: Value) -> None:
        code, b, lanes = self.code, self.code.builder, self.code.machine.block
        start = b.mul(part, self.slots["part"])
        stop = code.minimum(b.add(start, self.slots["part"]), self.slots["count"])
        stop = b.select(b.icmp_signed("<", start, stop), stop, start)
        aligned = b.sub(stop, b.srem(b.sub(stop, start), code.int(lanes)))
        with code.loop(start, aligned, lanes) as first:
            self.block(first, b.srem(first, self.slots["period"]), lanes)
        with code.loop(aligned, stop) as first:
            self.block(first, b.srem(first, self.slots["period"]), 1)

    def block(self, first: Value, row: Value, lanes: int) -> None:
        """All steps of `lanes` neurons from `first` on; `row` is its index in the parameters."""
        code = self.code
        v = {name: self.parameter(name, row, lanes) for name in PARAMETERS}
        u = code.local("f32", lanes)
        code.set(u, v["v_init"])
        with code.loop(0, self.slots["steps"]) as t:
            before = code.get(u, "f32", lanes)
            p, fired = self.step(before, t, first, v, lanes)
            code.set(u, self.reset(p, fired, v["threshold"], lanes))
            self._store_spikes(fired, self.at(t, first), lanes)

    def step(
        self, u: Value, t: Value, first: Value, v: dict[str, Value], lanes: int
    ) -> tuple[Value, Value]:
        """The potential compared with the threshold, and whether it is above."""
        code, b = self.code, self.code.builder
        decayed = u if v["leak"] is None else b.fmul(v["leak"], u)
        place = b.add(b.mul(t, self.slots["stride"]), first)
        p = b.fadd(decayed, self.read("current", place, lanes))
        return p, code.greater("f32", p, v["threshold"])

    def reset(self, p: Value, fired: Value, threshold: Value, lanes: int) -> Value:
        """The potential after the step."""
        b = self.code.builder
        after = self.code.zero("f32", lanes)
        if self.spec.reset == "subtract":
            after = b.fsub(p, threshold)
        return b.select(fired, after, p)

    def parameter(self, name: str, row: Value, lanes: int) -> Value:
        """A parameter of a block; None for no leak."""
        kind = self.spec.kinds[PARAMETERS.index(name)]
        if kind == "none":
            return None
        if kind == "number":
            return self.code.splat(self.numbers[name], "f32", lanes)
        return self.code.load(self.slots[name], "f32", row, lanes)

    def at(self, t: Value, first: Value) -> Value:
        """Index of step t of a neuron in an array of T steps."""
        return self.code.index(self.code.builder.mul(t, self.slots["count"]), first)

    def read(self, name: str, place: Value, lanes: int) -> Value:
        """Float32 values of a tensor of the row's dtype."""
        code, b = self.code, self.code.builder
        if self.spec.dtype == "f32":
            return code.load(self.slots[name], "f32", place, lanes)
        bits = b.zext(code.load(self.slots[name], "i16", place, lanes), code.type("i32", lanes))
        return b.bitcast(b.shl(bits, self._bits(16, lanes)), code.type("f32", lanes))

    def write(self, value: Value, name: str, place: Value, lanes: int) -> None:
        """Float32 values into a tensor of the row's dtype, rounded to nearest, ties to even."""
        code, b = self.code, self.code.builder
        if self.spec.dtype == "f32":
            return code.store(value, self.slots[name], "f32", place)
        bits = b.bitcast(value, code.type("i32", lanes))
        odd = b.and_(b.lshr(bits, self._bits(16, lanes)), self._bits(1, lanes))
        rounded = b.add(b.add(bits, self._bits(0x7FFF, lanes)), odd)
        nan = b.fcmp_unordered("uno", value, value)
        rounded = b.select(nan, self._bits(0x7FC00000, lanes), rounded)
        high = b.trunc(b.lshr(rounded, self._bits(16, lanes)), code.type("i16", lanes))
        return code.store(high, self.slots[name], "i16", place)

    def _bits(self, value: int, lanes: int) -> Value:
        return self.code.splat(ir.Constant(I32, value), "i32", lanes)

    def _store_spikes(self, fired: Value, place: Value, lanes: int) -> None:
        code, b = self.code, self.code.builder
        if self.spec.dtype == "f32":
            spikes = b.uitofp(fired, code.type("f32", lanes))
            return code.store(spikes, self.slots["spikes"], "f32", place)
        one = code.splat(ir.Constant(code.type("i16"), 0x3F80), "i16", lanes)
        spikes = b.select(fired, one, code.zero("i16", lanes))
        return code.store(spikes, self.slots["spikes"], "i16", place)
