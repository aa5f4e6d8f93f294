"""Integrate-and-fire neurons: all steps of a block of a population before the next block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import ClassVar

from llvmlite import ir

from snnc.memory import LONGEST_WINDOW
from snnc.native.code import Value, is_float
from snnc_backends.cpu.kernels.base import Kernel, Port, Table, one_of, positive, require
from snnc_backends.cpu.kernels.code import Code

BLOCK = 1024
"""Neurons whose state is held on the stack at a time."""
LEAK_BITS = 15


@dataclass(frozen=True, kw_only=True)
class Neuron(Kernel):
    """Integrate-and-fire neurons as in docs/semantics.md, S9 to S14.

    Parameters are per channel, or per neuron with positions=1.

    state: type of the potential, i32, i64 or f32; an integer leak is m of (m*u) >> 15 with a 64-bit
    product. The time loop is split into spans: with and without input, firing allowed or not.
    """

    name: ClassVar[str] = "neuron"
    source: str
    state: str
    positions: int
    channels: int
    leaky: bool
    reset: str
    order: str
    wait: int
    signed: bool
    constant: bool

    def __post_init__(self) -> None:
        one_of("source", self.source, ("i32", "f32"))
        one_of("state", self.state, ("i32", "i64") if self.source == "i32" else ("f32",))
        one_of("reset", self.reset, ("subtract", "zero"))
        one_of("order", self.order, ("integrate-fire", "fire-integrate"))
        positive(positions=self.positions, channels=self.channels)
        require(0 <= self.wait <= LONGEST_WINDOW, f"wait {self.wait}, not 0 to {LONGEST_WINDOW}")
        require(not (self.signed and self.reset == "zero"), "signed spikes need reset=subtract")

    def inputs(self) -> tuple[Port, ...]:
        return (Port(self.source, self.positions * self.channels, self.constant),)

    def output(self) -> Port:
        return Port("i8", self.positions * self.channels, False)

    def arrays(self) -> dict[str, Table]:
        names = ("threshold", "v_init", *(("leak",) if self.leaky else ()))
        return {name: Table(self.source, self.channels) for name in names}

    def emit(self, code: Code) -> None:
        block = _Block(self, code)
        if self.channels <= BLOCK:
            group = min(self.positions, BLOCK // self.channels)
            block.repeat_parameters(group)
            size = self.positions * self.channels
            with code.loop(0, size, group * self.channels) as first:
                rest = code.builder.sub(code.int(size), first)
                block.run(first, code.minimum(code.int(group * self.channels), rest))
            return
        with code.loop(0, self.positions) as p, code.loop(0, self.channels, BLOCK) as c:
            rest = code.builder.sub(code.int(self.channels), c)
            count = code.minimum(code.int(BLOCK), rest)
            block.read_parameters(c, count)
            block.run(code.index((p, self.channels), c), count)


@dataclass(frozen=True, kw_only=True)
class TwoSidedNeuron(Neuron):
    """Neurons that fire for potentials of either sign, as in docs/semantics.md, S29."""

    name: ClassVar[str] = "two-sided-neuron"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.signed and self.order == "integrate-fire", "two-sided spikes are signed")


@dataclass(frozen=True, kw_only=True)
class RoundingNeuron(TwoSidedNeuron):
    """Two-sided neurons that fire beyond half their threshold, as in docs/semantics.md, S29."""

    name: ClassVar[str] = "rounding-neuron"


class _Block:
    """Code for up to `BLOCK` neurons: parameters, potential and spike totals on the stack."""

    def __init__(self, spec: Neuron, code: Code) -> None:
        self.spec, self.code = spec, code
        self.params = {name: code.local(spec.source, count=BLOCK) for name in spec.arrays()}
        self.u = code.local(spec.state, count=BLOCK)
        self.two_sided = isinstance(spec, TwoSidedNeuron)
        corrects = spec.signed and not self.two_sided
        self.total = code.local("i32", count=BLOCK) if corrects else None

    def repeat_parameters(self, group: int) -> None:
        """Write the parameters of `group` positions one after the other."""
        code, spec = self.code, self.spec
        with code.loop(0, group) as p, code.loop(0, spec.channels) as c:
            self._copy(c, code.index((p, spec.channels), c))

    def read_parameters(self, first: Value, count: Value) -> None:
        """Copy the parameters of `count` channels from `first` on."""
        with self.code.loop(0, count) as i:
            self._copy(self.code.index(first, i), i)

    def _copy(self, source: Value, target: Value) -> None:
        code, dtype = self.code, self.spec.source
        for name, local in self.params.items():
            code.store(code.load(code.arrays[name], dtype, source), local, dtype, target)

    def run(self, first: Value, count: Value) -> None:
        """All steps of the neurons `first`, …, `first + count - 1`."""
        code, spec = self.code, self.spec
        with code.loop(0, count) as i:
            v = code.load(self.params["v_init"], spec.source, i)
            code.store(code.convert(v, spec.source, spec.state), self.u, spec.state, i)
            if self.total is not None:
                code.store(code.zero("i32"), self.total, "i32", i)
        for t, drive, fire in self._spans():
            with t as step, code.loop(0, count) as i:
                self._step(step, code.index(first, i), i, drive, fire)

    def _spans(self) -> Iterator[tuple[AbstractContextManager[Value], bool, bool]]:
        """(loop over steps, has input, may fire), in order of time."""
        code, wait = self.code, self.code.int(self.spec.wait)
        both = code.minimum(wait, code.timesteps)
        end = code.index(code.timesteps, wait)
        if self.spec.wait:
            yield code.loop(0, both), True, False
            yield code.loop(both, wait), False, False
        yield code.loop(wait, code.timesteps), True, True
        if self.spec.wait:
            later = code.builder.select(
                code.builder.icmp_signed("<", wait, code.timesteps), code.timesteps, wait
            )
            yield code.loop(later, end), False, True

    def _step(self, step: Value, place: Value, i: Value, drive: bool, fire: bool) -> None:
        code, spec = self.code, self.spec
        size = spec.positions * spec.channels
        u = code.load(self.u, spec.state, i)
        threshold = self._param("threshold", i)
        current = None
        if drive:
            row = code.step_of(step, spec.constant)
            current = code.load(code.inputs[0], spec.source, code.index((row, size), place))
            current = code.convert(current, spec.source, spec.state)
        if spec.order == "integrate-fire":
            p = self._plus(self._decay(u, i), current)
            up, down = self._fired(p, threshold, i) if fire else (None, None)
            u = self._reset(p, threshold, up, down)
        else:
            up, down = self._fired(u, threshold, i) if fire else (None, None)
            if spec.reset == "zero":
                u = self._plus(self._decay(self._reset(u, threshold, up, down), i), current)
            else:
                p = self._plus(self._decay(u, i), current)
                u = self._reset(p, threshold, up, down)
        code.store(u, self.u, spec.state, i)
        if fire:
            out = code.index((step, size), (code.int(-spec.wait), size), place)
            code.store(self._spike(up, down, i), code.output, "i8", out)

    def _param(self, name: str, i: Value) -> Value:
        code, spec = self.code, self.spec
        value = code.load(self.params[name], spec.source, i)
        return code.convert(value, spec.source, spec.state)

    def _plus(self, u: Value, current: Value | None) -> Value:
        return u if current is None else self.code.add(self.spec.state, u, current)

    def _decay(self, u: Value, i: Value) -> Value:
        code, spec = self.code, self.spec
        if not spec.leaky:
            return u
        leak = self._param("leak", i)
        if is_float(spec.state):
            return code.mul(spec.state, leak, u)
        product = code.builder.mul(
            code.convert(leak, spec.state, "i64"), code.convert(u, spec.state, "i64")
        )
        shifted = code.builder.ashr(product, code.int(LEAK_BITS))
        return code.convert(shifted, "i64", spec.state)

    def _fired(self, p: Value, threshold: Value, i: Value) -> tuple[Value, Value | None]:
        """Whether it emits +1, and whether it emits -1."""
        code, spec = self.code, self.spec
        level = self._half(threshold) if isinstance(spec, RoundingNeuron) else threshold
        up = code.greater(spec.state, p, level)
        if self.two_sided:
            below = code.sub(spec.state, code.zero(spec.state), level)
            return up, code.greater(spec.state, below, p)
        if self.total is None:
            return up, None
        emitted = code.greater("i32", code.load(self.total, "i32", i), code.zero("i32"))
        below = code.greater(spec.state, code.zero(spec.state), p)
        return up, code.builder.and_(emitted, below)

    def _half(self, threshold: Value) -> Value:
        """Half a threshold; of an integer the floor, which the same integers are above."""
        code, state = self.code, self.spec.state
        if is_float(state):
            return code.mul(state, ir.Constant(code.type(state), 0.5), threshold)
        return code.builder.ashr(threshold, ir.Constant(code.type(state), 1))

    def _reset(self, p: Value, threshold: Value, up: Value | None, down: Value | None) -> Value:
        code, spec, b = self.code, self.spec, self.code.builder
        if up is None:
            return p
        if spec.reset == "zero":
            return b.select(up, code.zero(spec.state), p)
        after = b.select(up, code.sub(spec.state, p, threshold), p)
        return after if down is None else b.select(down, code.add(spec.state, p, threshold), after)

    def _spike(self, up: Value, down: Value | None, i: Value) -> Value:
        code, b = self.code, self.code.builder
        spike = b.zext(up, code.type("i8"))
        if down is None:
            return spike
        spike = b.sub(spike, b.zext(down, code.type("i8")))
        if self.total is None:
            return spike
        total = b.add(code.load(self.total, "i32", i), code.convert(spike, "i8", "i32"))
        code.store(total, self.total, "i32", i)
        return spike
