"""Machine code that simulates the network for a number of steps, event by event.

A step has the order of Brian2: potentials and conductances move; thresholds are compared; input
spikes add their row of weights to `ge` and raise their traces; spikes of excitatory neurons
change their columns of weights and excite their inhibitory neurons; those inhibit all others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from constants import PIXELS, Neurons, Rule
from elementary import exponential, power
from emission import Code
from llvmlite import ir

from snnc.native.code import Value

ARRAYS = (
    "weights",  # (784, n): what an input spike adds
    "learned",  # (n, 784): what the rule changes
    "plastic",  # (n, 784) i8: 0 where the rule changes nothing
    "theta",  # (n,) f64, mV
    "v_e",  # (n,) mV; likewise all below
    "ge_e",
    "gi_e",
    "wait_e",  # (n,) i32: steps until the neuron is no longer refractory
    "v_i",
    "ge_i",
    "wait_i",
    "trace",  # (784,)
    "spikes",  # i32: inputs that fire, step by step
    "starts",  # (steps + 1,) i32: where each step begins in `spikes`
    "log",  # i32: number of excitatory spikes, then step and neuron of each
)
INTEGERS = ("steps", "direct")
"""Arguments of the functions, in order; `direct` is 1 if `weights` are changed as `learned` is."""


@dataclass(frozen=True)
class Simulation:
    """Emits one function; `learn` decides whether weights and thresholds change."""

    code: Code
    count: int
    neurons: Neurons
    rule: Rule
    learn: bool

    def emit(self) -> None:
        """Generate the whole body."""
        code = self.code
        lists = {name: code.local("i32", count=self.count) for name in ("e", "i")}
        counts = {name: code.local("i64") for name in ("e", "i", "log")}
        code.set(counts["log"], code.int(0))
        with code.loop(0, code.arguments["steps"]) as t:
            for name in ("e", "i"):
                code.set(counts[name], code.int(0))

            def fired(name: str, k: Value) -> None:
                at = code.get(counts[name], "i64")
                code.store(code.convert(k, "i64", "i32"), lists[name], "i32", at)
                code.set(counts[name], code.index(at, 1))

            self._excitatory(lambda k: fired("e", k))
            self._inhibitory(lambda k: fired("i", k))
            self._inputs(t)
            with code.loop(0, code.get(counts["e"], "i64")) as s:
                k = code.convert(code.load(lists["e"], "i32", s), "i32", "i64")
                self._spike(t, k, counts["log"])
            self._inhibit(lists["i"], code.get(counts["i"], "i64"))
        code.write(code.convert(code.get(counts["log"], "i64"), "i64", "i32"), "log", 0, "i32")
        code.end()

    def _excitatory(self, fired: Callable[[Value], None]) -> None:
        code, b, m = self.code, self.code.builder, self.neurons

        def block(at: Value, lanes: int) -> None:
            v, ge, gi = (code.read(name, at, lanes) for name in ("v_e", "ge_e", "gi_e"))
            pull = b.fmul(gi, code.constant(m.reversal_e, lanes))
            pull = b.fadd(pull, code.constant(m.rest_e, lanes))
            moved = self._moved(v, b.fadd(ge, gi), pull, m.tau_e, lanes)
            self._decay("ge_e", ge, m.tau_ge, at, lanes)
            self._decay("gi_e", gi, m.tau_gi, at, lanes)
            theta = code.read("theta", at, lanes, "f64")
            if self.learn:
                theta = b.fmul(theta, code.constant(m.factor(m.theta_tau), lanes, "f64"))
            limit = b.fadd(code.widen(theta, "f64", lanes), code.constant(m.threshold_e, lanes))
            spiked = self._advance("e", v, moved, limit, at, lanes)
            if self.learn:
                raised = b.fadd(theta, code.constant(m.theta_plus, lanes, "f64"))
                code.write(b.select(spiked, raised, theta), "theta", at, "f64")
            code.each_set_lane(spiked, lanes, lambda lane: fired(code.index(at, lane)))

        code.blocks(self.count, code.lanes, block)

    def _inhibitory(self, fired: Callable[[Value], None]) -> None:
        code, m = self.code, self.neurons

        def block(at: Value, lanes: int) -> None:
            v, ge = (code.read(name, at, lanes) for name in ("v_i", "ge_i"))
            moved = self._moved(v, ge, code.constant(m.rest_i, lanes), m.tau_i, lanes)
            self._decay("ge_i", ge, m.tau_ge, at, lanes)
            limit = code.constant(m.threshold_i, lanes)
            spiked = self._advance("i", v, moved, limit, at, lanes)
            code.each_set_lane(spiked, lanes, lambda lane: fired(code.index(at, lane)))

        code.blocks(self.count, code.lanes, block)

    def _moved(self, v: Value, conductance: Value, pull: Value, tau: float, lanes: int) -> Value:
        """Potentials after a step: towards pull / (1 + conductance), as conductances stand."""
        code, b = self.code, self.code.builder
        total = b.fadd(conductance, code.constant(1, lanes))
        goal = b.fdiv(pull, total)
        left = b.fmul(total, code.constant(-self.neurons.dt / tau, lanes))
        return b.fadd(goal, b.fmul(b.fsub(v, goal), exponential(code, left, lanes)))

    def _decay(self, name: str, value: Value, tau: float, at: Value, lanes: int) -> None:
        factor = self.code.constant(self.neurons.factor(tau), lanes)
        self.code.write(self.code.builder.fmul(value, factor), name, at)

    def _advance(
        self, group: str, before: Value, moved: Value, limit: Value, at: Value, lanes: int
    ) -> Value:
        """Store potentials and refractory times of a block; the neurons that spike."""
        code, b, m = self.code, self.code.builder, self.neurons
        wait = code.read(f"wait_{group}", at, lanes, "i32")
        zero, one = (code.constant(value, lanes, "i32") for value in (0, 1))
        wait = b.select(code.greater("i32", wait, zero), b.sub(wait, one), zero)
        active = b.icmp_signed("==", wait, zero)
        v = b.select(active, moved, before)
        spiked = b.and_(active, code.greater(code.dtype, v, limit))
        reset = code.constant(m.reset_e if group == "e" else m.reset_i, lanes)
        steps = m.steps(m.refractory_e if group == "e" else m.refractory_i)
        code.write(b.select(spiked, reset, v), f"v_{group}", at)
        held = code.constant(steps, lanes, "i32")
        code.write(b.select(spiked, held, wait), f"wait_{group}", at, "i32")
        return spiked

    def _inputs(self, t: Value) -> None:
        """Input spikes: traces, and rows of weights added to `ge` of the excitatory neurons."""
        code, b = self.code, self.code.builder
        if self.learn:
            decay = self.neurons.factor(self.rule.tau)
            code.blocks(
                PIXELS,
                code.lanes,
                lambda at, lanes: code.write(
                    b.fmul(code.read("trace", at, lanes), code.constant(decay, lanes)), "trace", at
                ),
            )
        first, last = (
            code.convert(code.read("starts", code.index(t, k), dtype="i32"), "i32", "i64")
            for k in (0, 1)
        )
        with code.loop(first, last) as s:
            i = code.convert(code.read("spikes", s, dtype="i32"), "i32", "i64")
            if self.learn:
                one = code.constant(1, 1)
                x = b.fadd(code.read("trace", i), one) if self.rule.additive else one
                code.write(x, "trace", i)
            row = code.index((i, self.count))

            def block(at: Value, lanes: int, row: Value = row) -> None:
                w = code.read("weights", code.index(row, at), lanes)
                code.write(b.fadd(code.read("ge_e", at, lanes), w), "ge_e", at)

            code.blocks(self.count, code.lanes, block)

    def _spike(self, t: Value, k: Value, logged: Value) -> None:
        """A spike of excitatory neuron k: log it, excite its partner, learn."""
        code, b = self.code, self.code.builder
        at = code.get(logged, "i64")
        for place, value in ((1, t), (2, k)):
            code.write(code.convert(value, "i64", "i32"), "log", code.index((at, 2), place), "i32")
        code.set(logged, code.index(at, 1))
        ge = b.fadd(code.read("ge_i", k), code.constant(self.neurons.excite, 1))
        code.write(ge, "ge_i", k)
        if self.learn:
            row = code.index((k, PIXELS))
            with code.loop(0, PIXELS, code.lanes) as i:
                w = self._learned(code.index(row, i), i)
                code.write(w, "learned", code.index(row, i))
                with b.if_then(code.nonzero("i64", code.arguments["direct"])):
                    code.scatter(w, "weights", code.index((i, self.count), k), self.count)

    def _learned(self, at: Value, i: Value) -> Value:
        """The weights of a block of inputs from `i` on, after the rule."""
        code, b, rule, lanes = self.code, self.code.builder, self.rule, self.code.lanes
        w = code.read("learned", at, lanes)
        one = code.constant(1, lanes)
        change = b.fmul(
            b.fsub(code.read("trace", i, lanes), code.constant(rule.offset, lanes)),
            code.constant(rule.eta, lanes),
        )
        if rule.mu:
            change = b.fmul(change, power(code, b.fsub(one, w), rule.mu, lanes))
        moved = code.largest(code.dtype, b.fadd(w, change), code.zero(code.dtype, lanes))
        plastic = code.nonzero("i8", code.read("plastic", at, lanes, "i8"), lanes)
        return b.select(plastic, code.at_most(moved, one), w)

    def _inhibit(self, spiked: Value, count: Value) -> None:
        """Every inhibitory spike adds to `gi` of all excitatory neurons but its own."""
        code, b, weight = self.code, self.code.builder, self.neurons.inhibit
        with b.if_then(b.icmp_signed(">", count, code.int(0))):
            total = b.fmul(code.convert(count, "i64", code.dtype), code.constant(weight, 1))

            def block(at: Value, lanes: int) -> None:
                all_of_them = code.splat(total, code.dtype, lanes)
                code.write(b.fadd(code.read("gi_e", at, lanes), all_of_them), "gi_e", at)

            code.blocks(self.count, code.lanes, block)
            with code.loop(0, count) as s:
                k = code.convert(code.load(spiked, "i32", s), "i32", "i64")
                own = b.fsub(code.read("gi_e", k), code.constant(weight, 1))
                code.write(own, "gi_e", k)


def emit(
    module: ir.Module, name: str, count: int, neurons: Neurons, rule: Rule, dtype: str, learn: bool
) -> None:
    """Add the function `name` to the module; `count` is the number of excitatory neurons."""
    code = Code(module, name, ARRAYS, INTEGERS, dtype)
    Simulation(code, count, neurons, rule, learn).emit()
