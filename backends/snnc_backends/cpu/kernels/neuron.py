"""Integrate-and-fire neurons: all steps of a block of a population before the next block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from snnc.memory import LONGEST_WINDOW
from snnc.native.code import Value
from snnc_backends.cpu.kernels.base import (
    LARGEST,
    SHORTEST,
    Arrays,
    Kernel,
    Match,
    Port,
    Table,
    Work,
    one_of,
    positive,
    require,
)
from snnc_backends.cpu.kernels.code import Code
from snnc_backends.cpu.kernels.dynamics import LEAK_BITS, Dynamics, Potentials
from snnc_backends.cpu.layout import spread

if TYPE_CHECKING:
    from snnc_backends.cpu.site import Site

BLOCK = 1024
"""Neurons whose state is held on the stack at a time."""
NS_PER_UPDATE = 0.12
"""Of a potential, at one step."""


@dataclass(frozen=True, kw_only=True)
class Neuron(Kernel):
    """Integrate-and-fire neurons as in docs/semantics.md, S9 to S14.

    Parameters are per channel, or per neuron with positions=1.

    state: type of the potential, i32, i64 or f32; an integer leak is m of (m*u) >> 15 with a 64-bit
    product. The time loop is split into spans: with and without input, firing allowed or not.
    """

    name: ClassVar[str] = "neuron"
    shares: ClassVar[bool] = True
    two_sided: ClassVar[bool] = False
    rounds: ClassVar[bool] = False
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

    @classmethod
    def match(cls, site: Site) -> Match | None:
        if site.kind != "neuron" or cls is not _kernel_of(site):
            return None
        kernel, arrays, longest = population(site)
        return Match(kernel, arrays, site.sources, longest=longest)

    def cost(self, work: Work) -> float:
        """A potential that is updated at every step."""
        return self.output().size * (work.timesteps + self.wait) * NS_PER_UPDATE

    def inputs(self) -> tuple[Port, ...]:
        return (Port(self.source, self.positions * self.channels, self.constant),)

    def output(self) -> Port:
        return Port("i8", self.positions * self.channels, False)

    @property
    def dynamics(self) -> Dynamics:
        """What a neuron does at a step."""
        return Dynamics(self.state, self.reset, self.order, self.two_sided, self.rounds)

    @property
    def corrects(self) -> bool:
        """Whether spikes of -1 correct earlier ones, so that totals of spikes are kept."""
        return self.signed and not self.two_sided

    def arrays(self) -> dict[str, Table]:
        names = ("threshold", "v_init", *(("leak",) if self.leaky else ()))
        return {name: Table(self.source, self.channels) for name in names}

    def emit(self, code: Code) -> None:
        block = _Block(self, code)
        if self.channels <= BLOCK:
            group = min(self.positions, BLOCK // self.channels)
            block.repeat_parameters(group)
            size = self.positions * self.channels
            wide = group * self.channels
            begin, end = code.share(-(-size // wide))
            with code.loop(begin, end) as number:
                first = code.index((number, wide))
                rest = code.builder.sub(code.int(size), first)
                block.run(first, code.minimum(code.int(wide), rest))
            return
        blocks = -(-self.channels // BLOCK)
        with code.shared(self.positions, blocks) as (p, number):
            c = code.index((number, BLOCK))
            rest = code.builder.sub(code.int(self.channels), c)
            count = code.minimum(code.int(BLOCK), rest)
            block.read_parameters(c, count)
            block.run(code.index((p, self.channels), c), count)


@dataclass(frozen=True, kw_only=True)
class TwoSidedNeuron(Neuron):
    """Neurons that fire for potentials of either sign, as in docs/semantics.md, S29."""

    name: ClassVar[str] = "two-sided-neuron"
    two_sided: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.signed and self.order == "integrate-fire", "two-sided spikes are signed")


@dataclass(frozen=True, kw_only=True)
class RoundingNeuron(TwoSidedNeuron):
    """Two-sided neurons that fire beyond half their threshold, as in docs/semantics.md, S29."""

    name: ClassVar[str] = "rounding-neuron"
    rounds: ClassVar[bool] = True


def _kernel_of(site: Site) -> type[Neuron]:
    if not site.two_sided:
        return Neuron
    return RoundingNeuron if site.rounds else TwoSidedNeuron


def population(site: Site) -> tuple[Neuron, Arrays, int]:
    """The kernel of a population, its arrays, and the longest window proved for its potential."""
    op, x = site.op, site.inputs[0]
    leak = np.asarray(site.array(op.leak))
    arrays = {"threshold": site.array(op.threshold), "v_init": site.array(op.v_init)}
    leaky = bool(np.any(leak != 1))
    if leaky:
        units = np.rint(leak.astype(np.float64) * 2.0**LEAK_BITS)
        arrays["leak"] = units if x.quantized else leak
    positions, channels, arrays = spread(arrays, site.result.shape)
    state, longest = "f32", LARGEST
    if x.quantized:
        longest = site.longest_window
        state, longest = ("i64", LARGEST) if longest < SHORTEST else ("i32", longest)
    kernel = _kernel_of(site)(
        source=site.source_dtypes[0],
        state=state,
        positions=positions,
        channels=channels,
        leaky=leaky,
        reset=op.reset,
        order=op.order,
        wait=op.wait,
        signed=op.signed,
        constant=x.constant_in_time,
    )
    return kernel, arrays, longest


class _Block:
    """Code for up to `BLOCK` neurons: parameters, potential and spike totals on the stack."""

    def __init__(self, spec: Neuron, code: Code) -> None:
        self.spec, self.code = spec, code
        self.params = {name: code.local(spec.source, count=BLOCK) for name in spec.arrays()}
        self.u = code.local(spec.state, count=BLOCK)
        self.total = code.local("i32", count=BLOCK) if spec.corrects else None

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
        current = None
        if drive:
            row = code.step_of(step, spec.constant)
            current = code.load(code.inputs[0], spec.source, code.index((row, size), place))
            current = code.convert(current, spec.source, spec.state)
        before = Potentials(
            u=code.load(self.u, spec.state, i),
            threshold=self._param("threshold", i),
            leak=self._param("leak", i) if spec.leaky else None,
            total=None if self.total is None else code.load(self.total, "i32", i),
        )
        after, spike = spec.dynamics.step(code, before, current, fire)
        code.store(after.u, self.u, spec.state, i)
        if fire:
            out = code.index((step, size), (code.int(-spec.wait), size), place)
            code.store(spike, code.output, "i8", out)
            if self.total is not None:
                code.store(after.total, self.total, "i32", i)

    def _param(self, name: str, i: Value) -> Value:
        code, spec = self.code, self.spec
        value = code.load(self.params[name], spec.source, i)
        return code.convert(value, spec.source, spec.state)
