"""One step of integrate-and-fire neurons, as instructions on a vector of potentials."""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir

from snnc.native.code import Emitter, Value, is_float

LEAK_BITS = 15


@dataclass(frozen=True)
class Potentials:
    """`lanes` neurons: potential, threshold, leak if they have one, and total of spikes.

    `total`, i32, is there where spikes of -1 correct earlier ones (docs/semantics.md, S11).
    """

    u: Value
    threshold: Value
    leak: Value = None
    total: Value = None


@dataclass(frozen=True)
class Dynamics:
    """The equations of docs/semantics.md, S9 to S12 and S29.

    Attributes:
        state: type of the potential: i32, i64 or f32. An integer leak is m of (m*u) >> 15, with a
            product of 64 bits.
        two_sided, rounds: a neuron that fires for potentials of either sign; beyond half of its
            threshold.
    """

    state: str
    reset: str
    order: str
    two_sided: bool
    rounds: bool

    def step(
        self, code: Emitter, before: Potentials, current: Value, fire: bool, lanes: int = 1
    ) -> tuple[Potentials, Value]:
        """The potentials after a step, and the spikes as i8.

        `current` is None where no input arrives; spikes are None where none may be fired.
        """
        on = _Lanes(self, code, before, lanes)
        u = before.u
        if self.order == "integrate-fire":
            p = on.plus(on.decayed(u), current)
            up, down = on.fired(p) if fire else (None, None)
            u = on.reset(p, up, down)
        else:
            up, down = on.fired(u) if fire else (None, None)
            if self.reset == "zero":
                u = on.plus(on.decayed(on.reset(u, up, down)), current)
            else:
                u = on.reset(on.plus(on.decayed(u), current), up, down)
        spike, total = on.spike(up, down) if fire else (None, before.total)
        return Potentials(u, before.threshold, before.leak, total), spike


@dataclass(frozen=True)
class _Lanes:
    """Code for a vector of neurons."""

    spec: Dynamics
    code: Emitter
    cell: Potentials
    lanes: int

    def plus(self, u: Value, current: Value) -> Value:
        return u if current is None else self.code.add(self.spec.state, u, current)

    def decayed(self, u: Value) -> Value:
        code, state, lanes = self.code, self.spec.state, self.lanes
        if self.cell.leak is None:
            return u
        if is_float(state):
            return code.mul(state, self.cell.leak, u)
        leak, wide = (code.convert(v, state, "i64", lanes) for v in (self.cell.leak, u))
        bits = code.splat(code.int(LEAK_BITS), "i64", lanes)
        return code.convert(
            code.builder.ashr(code.builder.mul(leak, wide), bits), "i64", state, lanes
        )

    def fired(self, p: Value) -> tuple[Value, Value]:
        """Whether each emits +1, and whether it emits -1; None for those that never do."""
        code, spec, threshold = self.code, self.spec, self.cell.threshold
        zero = code.zero(spec.state, self.lanes)
        level = self._half(threshold) if spec.rounds else threshold
        up = code.greater(spec.state, p, level)
        if spec.two_sided:
            return up, code.greater(spec.state, code.sub(spec.state, zero, level), p)
        if self.cell.total is None:
            return up, None
        emitted = code.greater("i32", self.cell.total, code.zero("i32", self.lanes))
        return up, code.builder.and_(emitted, code.greater(spec.state, zero, p))

    def _half(self, threshold: Value) -> Value:
        """Half a threshold; of an integer the floor, which the same integers are above."""
        code, state, lanes = self.code, self.spec.state, self.lanes
        if is_float(state):
            half = code.splat(ir.Constant(code.type(state), 0.5), state, lanes)
            return code.mul(state, half, threshold)
        one = code.splat(ir.Constant(code.type(state), 1), state, lanes)
        return code.builder.ashr(threshold, one)

    def reset(self, p: Value, up: Value, down: Value) -> Value:
        code, spec, b = self.code, self.spec, self.code.builder
        if up is None:
            return p
        if spec.reset == "zero":
            return b.select(up, code.zero(spec.state, self.lanes), p)
        threshold = self.cell.threshold
        after = b.select(up, code.sub(spec.state, p, threshold), p)
        return after if down is None else b.select(down, code.add(spec.state, p, threshold), after)

    def spike(self, up: Value, down: Value) -> tuple[Value, Value]:
        """The spikes, and the total with them."""
        code, b, lanes = self.code, self.code.builder, self.lanes
        spike = b.zext(up, code.type("i8", lanes))
        if down is None:
            return spike, self.cell.total
        spike = b.sub(spike, b.zext(down, code.type("i8", lanes)))
        if self.cell.total is None:
            return spike, None
        return spike, b.add(self.cell.total, code.convert(spike, "i8", "i32", lanes))
