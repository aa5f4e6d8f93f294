"""What follows the sums of a layer, per output position: bias, addends, neurons, the result."""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from snnc.native.code import Value
from snnc_backends.cpu.kernels.code import Code
from snnc_backends.cpu.kernels.dynamics import Potentials
from snnc_backends.cpu.kernels.layer import STATES, Layer

LANES = 16


class Epilogue:
    """Code for up to `channels` channels of an output position, at all steps of a block of steps.

    `current` is an array of i32 on the stack, in units of 2^-shift, to be added to between `start`
    and `finish`.

    Args:
        padded: the length of `current`, at least `channels`.
        digits: `current` is so many arrays, of the digits of numbers in base 256, the least first;
            there is a table `scale` then, what these numbers count, per channel.
        unrolled: whether the code for all channels is without a loop.
        memory: working memory for `Layer.kept` bytes, where potentials are between blocks of steps.
    """

    def __init__(
        self,
        spec: Layer,
        code: Code,
        channels: int,
        padded: int,
        memory: Value,
        *,
        digits: int = 1,
        unrolled: bool = False,
    ) -> None:
        self.spec, self.code, self.channels, self.unrolled = spec, code, channels, unrolled
        self.digits, self.padded = digits, padded
        self.population = spec.population
        self.current = code.array("i32", digits * padded)
        if self.population is None:
            return
        self.dynamics = self.population.dynamics
        self.u = code.array(spec.state, channels)
        self.total = code.array("i32", channels) if self.population.corrects else None
        self._kept = memory
        self._kept_total = code.at(memory, "i8", spec.size * STATES[spec.state])

    def open(self, pixel: Value, channel: Value, first_step: Value) -> None:
        """Take up the potentials of a position: their start at step 0, else those kept."""
        if self.population is None:
            return
        code = self.code
        begins = code.builder.icmp_signed("==", first_step, code.int(0))
        with code.builder.if_else(begins) as (then, otherwise):
            with then:
                self._each(lambda c, n: self._store(self._initial(pixel, channel, c, n), c, n))
            with otherwise:
                self._each(lambda c, n: self._restore(pixel, channel, c, n))

    def start(self, pixel: Value, channel: Value, steps: Value | None = None) -> None:
        """Set the current to the bias of so many steps, or to 0 where it is a real number."""
        code, spec = self.code, self.spec

        def fill(c: Value, lanes: int) -> None:
            value = code.zero("i32", lanes)
            if spec.bias != "none" and spec.dtype == "i32":
                value = self._bias(pixel, channel, c, lanes)
                if steps is not None:
                    many = code.splat(code.convert(steps, "i64", "i32"), "i32", lanes)
                    value = code.mul("i32", value, many)
            for digit in range(self.digits):
                code.store(value, self.current, "i32", code.index(c, digit * self.padded))

        self._each(fill)

    def add_earlier(self, begin: Value, end: Value, pixel: Value, channel: Value) -> None:
        """Add the addends of the steps begin .. end - 1 to the current, of integers."""
        if not self.spec.addends:
            return
        code = self.code

        def add(c: Value, lanes: int) -> None:
            current = code.load(self.current, "i32", c, lanes)
            current = self._with_addends(current, t, pixel, channel, c, lanes)
            code.store(current, self.current, "i32", c)

        with code.loop(begin, end) as t:
            self._each(add)

    def _bias(self, pixel: Value, channel: Value, c: Value, lanes: int) -> Value:
        code, spec = self.code, self.spec
        where = code.index(channel, c)
        if spec.bias == "map":
            where = code.index((pixel, spec.out_channels), where)
        return code.load(code.arrays["bias"], spec.dtype, where, lanes)

    def _real(self, current: Value, pixel: Value, channel: Value, c: Value, lanes: int) -> Value:
        """The current as real numbers, with the bias; exact, as was proved."""
        code, spec = self.code, self.spec
        value = code.convert(current, "i32", "f32", lanes)
        if self.digits > 1:
            value = code.mul("f32", self._joined(value, c, lanes), self._scale(channel, c, lanes))
        else:
            unit = ir.Constant(code.type("f32"), 2.0**-spec.shift)
            value = code.mul("f32", value, code.splat(unit, "f32", lanes))
        if spec.bias == "none":
            return value
        return code.add("f32", value, self._bias(pixel, channel, c, lanes))

    def _joined(self, least: Value, c: Value, lanes: int) -> Value:
        """The numbers that have these digits, as real numbers; two sums are rounded."""
        code, total = self.code, None
        base = code.splat(ir.Constant(code.type("f32"), 256.0), "f32", lanes)
        for digit in reversed(range(1, self.digits)):
            place = code.index(c, digit * self.padded)
            part = code.convert(code.load(self.current, "i32", place, lanes), "i32", "f32", lanes)
            total = part if total is None else code.add("f32", code.mul("f32", total, base), part)
        return code.add("f32", code.mul("f32", total, base), least)

    def _scale(self, channel: Value, c: Value, lanes: int) -> Value:
        return self.code.load(self.code.arrays["scale"], "f32", self.code.index(channel, c), lanes)

    def finish(self, t: Value, pixel: Value, channel: Value) -> None:
        """Add the addends, update the neurons, and write the result of step t."""
        self._each(lambda c, lanes: self._finish(t, pixel, channel, c, lanes))

    def close(self, pixel: Value, channel: Value, more: Value) -> None:
        """Keep the potentials if `more` steps with input follow, else do those without input."""
        if self.population is None:
            return
        with self.code.builder.if_else(more) as (then, otherwise):
            with then:
                self._each(lambda c, n: self._keep(pixel, channel, c, n))
            with otherwise:
                if self.spec.wait:
                    self._rest(pixel, channel)

    def _rest(self, pixel: Value, channel: Value) -> None:
        """The steps after the window of the input; those before `wait` matter to a leak only."""
        code, wait = self.code, self.code.int(self.spec.wait)
        begin, end = code.timesteps, code.index(code.timesteps, wait)
        begin = code.builder.select(code.builder.icmp_signed("<", begin, wait), wait, begin)
        if self.spec.leaky:
            with code.loop(code.timesteps, begin) as t:
                self._each(lambda c, n: self._step(t, pixel, channel, c, n, None, False))
        with code.loop(begin, end) as t:
            self._each(lambda c, n: self._step(t, pixel, channel, c, n, None, True))

    def _each(self, body: Callable[[Value, int], None]) -> None:
        self.code.blocks(self.channels, LANES, body, unrolled=self.unrolled)

    def _place(self, pixel: Value, channel: Value, c: Value) -> Value:
        return self.code.index((pixel, self.spec.out_channels), channel, c)

    def _finish(self, t: Value, pixel: Value, channel: Value, c: Value, lanes: int) -> None:
        code, spec = self.code, self.spec
        place = self._place(pixel, channel, c)
        current = code.load(self.current, "i32", c, lanes)
        if spec.dtype == "f32":
            current = self._real(current, pixel, channel, c, lanes)
        current = self._with_addends(current, t, pixel, channel, c, lanes)
        if self.population is None:
            code.store(current, code.output, spec.dtype, code.index((t, spec.size), place))
            return
        wide = code.convert(current, spec.dtype, spec.state, lanes)
        self._update(t, pixel, channel, c, lanes, wide)

    def _with_addends(
        self, current: Value, t: Value, pixel: Value, channel: Value, c: Value, lanes: int
    ) -> Value:
        """The current of a step with its addends."""
        code, spec = self.code, self.spec
        place = self._place(pixel, channel, c)
        ports = zip(code.inputs[1:], spec.addends, spec.addend_constant, strict=True)
        for number, (pointer, dtype, constant) in enumerate(ports):
            where = code.index((code.step_of(t, constant), spec.size), place)
            x = code.convert(code.load(pointer, dtype, where, lanes), dtype, spec.dtype, lanes)
            if dtype == "i8":
                factor = code.arrays[f"factor{number}"]
                factors = code.load(factor, spec.dtype, code.index(channel, c), lanes)
                x = code.mul(spec.dtype, x, factors)
            current = code.add(spec.dtype, current, x)
        return current

    def _update(
        self, t: Value, pixel: Value, channel: Value, c: Value, lanes: int, current: Value
    ) -> None:
        """Update the neurons at step t; from step `wait` on they may fire."""
        if not self.spec.wait:
            self._step(t, pixel, channel, c, lanes, current, True)
            return
        fires = self.code.builder.icmp_signed(">=", t, self.code.int(self.spec.wait))
        with self.code.builder.if_else(fires) as branches:
            for branch, fire in zip(branches, (True, False), strict=True):
                with branch:
                    self._step(t, pixel, channel, c, lanes, current, fire)

    def _step(
        self,
        t: Value,
        pixel: Value,
        channel: Value,
        c: Value,
        lanes: int,
        current: Value | None,
        fire: bool,
    ) -> None:
        code, spec = self.code, self.spec
        before = self._potentials(pixel, channel, c, lanes)
        after, spike = self.dynamics.step(code, before, current, fire, lanes)
        code.store(after.u, self.u, spec.state, c)
        if not fire:
            return
        if self.total is not None:
            code.store(after.total, self.total, "i32", c)
        window = code.index(t, -spec.wait)
        out = code.index((window, spec.size), self._place(pixel, channel, c))
        code.store(spike, code.output, "i8", out)

    def _potentials(self, pixel: Value, channel: Value, c: Value, lanes: int) -> Potentials:
        code, spec = self.code, self.spec
        return Potentials(
            u=code.load(self.u, spec.state, c, lanes),
            threshold=self._parameter("threshold", pixel, channel, c, lanes),
            leak=self._parameter("leak", pixel, channel, c, lanes) if spec.leaky else None,
            total=None if self.total is None else code.load(self.total, "i32", c, lanes),
        )

    def _parameter(self, name: str, pixel: Value, channel: Value, c: Value, lanes: int) -> Value:
        code, spec = self.code, self.spec
        where = self._place(pixel, channel, c) if spec.every else code.index(channel, c)
        value = code.load(code.arrays[name], spec.dtype, where, lanes)
        return code.convert(value, spec.dtype, spec.state, lanes)

    def _initial(self, pixel: Value, channel: Value, c: Value, lanes: int) -> Value:
        return self._parameter("v_init", pixel, channel, c, lanes)

    def _store(self, u: Value, c: Value, lanes: int) -> None:
        code = self.code
        code.store(u, self.u, self.spec.state, c)
        if self.total is not None:
            code.store(code.zero("i32", lanes), self.total, "i32", c)

    def _restore(self, pixel: Value, channel: Value, c: Value, lanes: int) -> None:
        code, state = self.code, self.spec.state
        place = self._place(pixel, channel, c)
        code.store(code.load(self._kept, state, place, lanes), self.u, state, c)
        if self.total is not None:
            code.store(code.load(self._kept_total, "i32", place, lanes), self.total, "i32", c)

    def _keep(self, pixel: Value, channel: Value, c: Value, lanes: int) -> None:
        code, state = self.code, self.spec.state
        place = self._place(pixel, channel, c)
        code.store(code.load(self.u, state, c, lanes), self._kept, state, place)
        if self.total is not None:
            code.store(code.load(self.total, "i32", c, lanes), self._kept_total, "i32", place)
