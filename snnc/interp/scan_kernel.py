"""The scan of snnc/interp/scan.py as machine code: one pass over memory forward, one back.

The neurons of all samples are one row of numbers per step. A block of them goes through all steps
with its state in registers. Nothing is kept for the way back but the currents: the potentials are
computed again from them, block by block, and never leave the cache.

The row falls into `PARTS` parts at most, whatever the number of threads; threads take one after the
other. Sums over neurons are made per part and added up afterwards, so that gradients do not depend
on the threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from llvmlite import ir

from snnc.interp.slopes import SLOPES
from snnc.native.code import I32, I64, POINTER, Emitter, Machine, Value

PARTS = 16
SUMMED = 16
"""Lanes of the sums over neurons, in double precision."""
FORWARD, BACKWARD = "forward", "backward"
PARAMETERS = ("threshold", "leak", "v_init")
SLOTS = (
    "next", "parts", "part", "count", "steps", "stride", "period", "current", "spikes", "gradient",
    "to_current", *PARAMETERS, "slope", "scratch", "sums", "rows",
)  # fmt: skip
"""What the argument points at, eight bytes each.

next: of the parts that are not taken yet, the first (counted up by the threads).
parts, part, count: number of parts, neurons in each (a multiple of the lanes), neurons in all.
steps, stride: T, and from one step of the current to the next (0 if it is constant).
period: after how many neurons the parameters that are rows begin again (a multiple of the lanes).
current … to_current: of the row's dtype, (T, count); current and to_current (1, count) if constant.
threshold, leak, v_init: float32, one number or a row of `period`.
slope: float32 constants of the surrogate.
scratch: float32 (parts, T, 3, lanes).
sums, rows: by part and parameter, float64 (SUMMED + 1) and float32 (period), zero at first.
"""
Kind = Literal["none", "number", "row"]


@dataclass(frozen=True)
class ScanKernel:
    """What the code of a population depends on.

    Attributes:
        dtype: of currents, spikes and their gradients: f32 or bf16.
        kinds: of threshold, leak (none: there is no leak) and v_init.
        wanted: whether they need gradients.
        slope: the name of a surrogate in `SLOPES`; empty where there is no way back.
    """

    dtype: Literal["f32", "bf16"]
    reset: Literal["subtract", "zero"]
    constant: bool
    kinds: tuple[Kind, Kind, Kind]
    wanted: tuple[bool, bool, bool] = (False, False, False)
    slope: str = ""

    def text(self, machine: Machine) -> str:
        """IR text with one function `void (ptr slots)`: `BACKWARD` if there is a slope."""
        module = ir.Module("scan")
        back = bool(self.slope)
        kind = ir.FunctionType(ir.VoidType(), [POINTER])
        function = ir.Function(module, kind, BACKWARD if back else FORWARD)
        emitter = Emitter(function, machine)
        (_Back if back else _Scan)(self, emitter).emit()
        return str(module)


class _Scan:
    """Code of the way forward."""

    def __init__(self, spec: ScanKernel, code: Emitter) -> None:
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
        """Take parts until none is left."""
        b, function = self.code.builder, self.code.function
        head, body, after = (b.append_basic_block(n) for n in ("take", "part", "end"))
        b.branch(head)
        b.position_at_end(head)
        part = b.atomic_rmw("add", function.args[0], ir.Constant(I64, 1), "monotonic")
        b.cbranch(b.icmp_signed("<", part, self.slots["parts"]), body, after)
        b.position_at_end(body)
        self.begin(part)
        self._blocks(part)
        self.end(part)
        b.branch(head)
        b.position_at_end(after)
        b.ret_void()

    def begin(self, part: Value) -> None:
        """Before the blocks of a part."""

    def end(self, part: Value) -> None:
        """After the blocks of a part."""

    def _blocks(self, part: Value) -> None:
        code, b, lanes = self.code, self.code.builder, self.code.machine.block
        start = b.mul(part, self.slots["part"])
        stop = code.minimum(b.add(start, self.slots["part"]), self.slots["count"])
        stop = b.select(b.icmp_signed("<", start, stop), stop, start)
        whole = b.sub(stop, b.srem(b.sub(stop, start), code.int(lanes)))
        with code.loop(start, whole, lanes) as first:
            self.block(first, b.srem(first, self.slots["period"]), lanes)
        with code.loop(whole, stop) as first:
            self.block(first, b.srem(first, self.slots["period"]), 1)

    def block(self, first: Value, row: Value, lanes: int) -> None:
        """All steps of `lanes` neurons from `first` on, which is `row` in the parameters' rows."""
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
        """The potential that is held against the threshold, and whether it is above."""
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
        """Where step t of a neuron is in what has T steps."""
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


class _Back(_Scan):
    """Code of the way back, with the potentials of a block computed again first."""

    def __init__(self, spec: ScanKernel, code: Emitter) -> None:
        super().__init__(spec, code)
        slope = SLOPES[spec.slope]
        self.constants = [code.load(self.slots["slope"], "f32", i) for i in range(slope.constants)]
        self.slope = slope
        self.wanted = [n for n, w in zip(PARAMETERS, spec.wanted, strict=True) if w]
        self.sums = {name: code.local("f64", SUMMED) for name in self._summed()}
        self.rest = {name: code.local("f64") for name in self._summed()}
        self.part: Value = None

    def _summed(self) -> Iterator[str]:
        for name, kind in zip(PARAMETERS, self.spec.kinds, strict=True):
            if kind == "number" and name in self.wanted:
                yield name

    def begin(self, part: Value) -> None:
        self.part = part
        for name in self.sums:
            self.code.set(self.sums[name], self.code.zero("f64", SUMMED))
            self.code.set(self.rest[name], self.code.zero("f64"))

    def end(self, part: Value) -> None:
        code, b = self.code, self.code.builder
        for name in self.sums:
            row = b.add(b.mul(part, code.int(3)), code.int(PARAMETERS.index(name)))
            place = b.mul(row, code.int(SUMMED + 1))
            code.store(code.get(self.sums[name], "f64", SUMMED), self.slots["sums"], "f64", place)
            place = b.add(place, code.int(SUMMED))
            code.store(code.get(self.rest[name], "f64"), self.slots["sums"], "f64", place)

    def block(self, first: Value, row: Value, lanes: int) -> None:
        code, b = self.code, self.code.builder
        v = {name: self.parameter(name, row, lanes) for name in PARAMETERS}
        constants = [code.splat(c, "f32", lanes) for c in self.constants]
        inverse = b.fdiv(_numbers(code, 1.0, lanes), v["threshold"])
        names = ("d", "drive", *self.wanted)
        found = {name: code.local("f32", lanes) for name in names}
        self._again(first, v, constants, lanes)
        for variable in found.values():
            code.set(variable, code.zero("f32", lanes))
        with code.loop(0, self.slots["steps"]) as i:
            t = b.sub(b.sub(self.slots["steps"], code.int(1)), i)
            kept = self._kept(t)
            p = code.load(*kept(0), lanes)
            fired = code.greater("f32", p, v["threshold"])
            normal = b.fdiv(p, v["threshold"])
            z = b.fsub(normal, _numbers(code, 1.0, lanes))
            timed = code.load(*kept(2), lanes) if self.slope.timed else None
            slope = self.slope.emit(code, z, timed, constants, lanes)
            grad = self.read("gradient", self.at(t, first), lanes)
            through = b.fmul(b.fmul(grad, slope), inverse)
            d = code.get(found["d"], "f32", lanes)
            if "threshold" in found:
                self._to_threshold(found["threshold"], through, normal, d, fired, lanes)
            if self.spec.reset == "zero":
                d = b.select(fired, code.zero("f32", lanes), d)
            e = b.fadd(d, through)
            if "leak" in found:
                self._add(found["leak"], b.fmul(e, code.load(*kept(1), lanes)), lanes)
            code.set(found["d"], e if v["leak"] is None else b.fmul(v["leak"], e))
            if self.spec.constant:
                self._add(found["drive"], e, lanes)
            else:
                self.write(e, "to_current", self.at(t, first), lanes)
        if self.spec.constant:
            self.write(code.get(found["drive"], "f32", lanes), "to_current", first, lanes)
        if "v_init" in found:
            code.set(found["v_init"], code.get(found["d"], "f32", lanes))
        for name in self.wanted:
            self._sum(name, code.get(found[name], "f32", lanes), row, lanes)

    def _kept(self, t: Value) -> Callable[[int], tuple[Value, str, Value]]:
        """Where the block keeps of step t: 0 the potential, 1 that before it, 2 time."""
        code, b, lanes = self.code, self.code.builder, self.code.machine.block
        step = b.add(b.mul(self.part, self.slots["steps"]), t)
        base = b.mul(step, code.int(3 * lanes))
        return lambda what: (self.slots["scratch"], "f32", b.add(base, code.int(what * lanes)))

    def _again(self, first: Value, v: dict[str, Value], constants: list[Value], lanes: int) -> None:
        code = self.code
        u = code.local("f32", lanes)
        code.set(u, v["v_init"])
        time = code.local("f32", lanes)
        if self.slope.timed:
            code.set(time, constants[0])
        with code.loop(0, self.slots["steps"]) as t:
            kept = self._kept(t)
            before = code.get(u, "f32", lanes)
            p, fired = self.step(before, t, first, v, lanes)
            code.store(p, *kept(0))
            if "leak" in self.wanted:
                code.store(before, *kept(1))
            if self.slope.timed:
                now = code.get(time, "f32", lanes)
                code.store(now, *kept(2))
                code.set(time, self.slope.later(code, now, fired, constants))
            code.set(u, self.reset(p, fired, v["threshold"], lanes))

    def _to_threshold(
        self, total: Value, through: Value, normal: Value, d: Value, fired: Value, lanes: int
    ) -> None:
        code, b = self.code, self.code.builder
        less = b.fmul(through, normal)
        if self.spec.reset == "subtract":
            less = b.fadd(less, b.select(fired, d, code.zero("f32", lanes)))
        code.set(total, b.fsub(code.get(total, "f32", lanes), less))

    def _add(self, total: Value, value: Value, lanes: int) -> None:
        code = self.code
        code.set(total, code.builder.fadd(code.get(total, "f32", lanes), value))

    def _sum(self, name: str, value: Value, row: Value, lanes: int) -> None:
        """Add the gradients of a block to those of the part."""
        code, b = self.code, self.code.builder
        if name not in self.sums:
            number = b.add(b.mul(self.part, code.int(3)), code.int(PARAMETERS.index(name)))
            place = b.add(b.mul(number, self.slots["period"]), row)
            old = code.load(self.slots["rows"], "f32", place, lanes)
            return code.store(b.fadd(old, value), self.slots["rows"], "f32", place)
        if lanes == 1:
            total, width = self.rest[name], 1
        else:
            total, width = self.sums[name], SUMMED
            value = _folded(code, value, lanes)
        wide = code.convert(value, "f32", "f64", width)
        return code.set(total, b.fadd(code.get(total, "f64", width), wide))


def _numbers(code: Emitter, value: float, lanes: int) -> Value:
    return code.splat(ir.Constant(code.type("f32"), value), "f32", lanes)


def _folded(code: Emitter, value: Value, lanes: int) -> Value:
    """The sum of the first and second half of the lanes, until `SUMMED` are left."""
    b = code.builder
    undefined = ir.Constant(code.type("f32", lanes), ir.Undefined)
    while lanes > SUMMED:
        lanes //= 2
        halves = [
            b.shuffle_vector(
                value,
                undefined,
                ir.Constant(ir.VectorType(I32, lanes), list(range(start, start + lanes))),
            )
            for start in (0, lanes)
        ]
        value = b.fadd(halves[0], halves[1])
        undefined = ir.Constant(code.type("f32", lanes), ir.Undefined)
    return value
