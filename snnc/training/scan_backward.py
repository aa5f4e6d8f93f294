"""The backward scan of snnc/training/scan.py as machine code: one pass over memory.

Only the currents are saved for it. The potentials are recomputed from them block by block and stay
in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from llvmlite import ir

from snnc.native.code import I32, Emitter, Value
from snnc.training.scan_forward import PARAMETERS, SUMMED, Forward, ScanSpec
from snnc.training.surrogate_code import SLOPES


class Backward(Forward):
    """Code of the backward scan; the potentials of a block are recomputed first."""

    def __init__(self, spec: ScanSpec, code: Emitter) -> None:
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
        totals = {name: code.local("f32", lanes) for name in names}
        self._recompute(first, v, constants, lanes)
        for variable in totals.values():
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
            d = code.get(totals["d"], "f32", lanes)
            if "threshold" in totals:
                self._to_threshold(totals["threshold"], through, normal, d, fired, lanes)
            if self.spec.reset == "zero":
                d = b.select(fired, code.zero("f32", lanes), d)
            e = b.fadd(d, through)
            if "leak" in totals:
                self._add(totals["leak"], b.fmul(e, code.load(*kept(1), lanes)), lanes)
            code.set(totals["d"], e if v["leak"] is None else b.fmul(v["leak"], e))
            if self.spec.constant:
                self._add(totals["drive"], e, lanes)
            else:
                self.write(e, "to_current", self.at(t, first), lanes)
        if self.spec.constant:
            self.write(code.get(totals["drive"], "f32", lanes), "to_current", first, lanes)
        if "v_init" in totals:
            code.set(totals["v_init"], code.get(totals["d"], "f32", lanes))
        for name in self.wanted:
            self._sum(name, code.get(totals[name], "f32", lanes), row, lanes)

    def _kept(self, t: Value) -> Callable[[int], tuple[Value, str, Value]]:
        """Address of what the block saved in step t: 0 potential, 1 state before it, 2 slope."""
        code, b, lanes = self.code, self.code.builder, self.code.machine.block
        step = b.add(b.mul(self.part, self.slots["steps"]), t)
        base = b.mul(step, code.int(3 * lanes))
        return lambda what: (self.slots["scratch"], "f32", b.add(base, code.int(what * lanes)))

    def _recompute(
        self, first: Value, v: dict[str, Value], constants: list[Value], lanes: int
    ) -> None:
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
    """Halves of the lanes added together until `SUMMED` lanes are left."""
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
