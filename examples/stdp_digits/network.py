"""The network: its arrays, the machine code that simulates it, and the source of its inputs."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import columns
import numpy as np
import poisson
import simulation
from constants import PIXELS, Neurons, Presentation, Rule
from llvmlite import ir
from numpy.typing import NDArray

from snnc.native.jit import Library, host

Array = NDArray[np.generic]
STATE = ("theta", "v_e", "ge_e", "gi_e", "wait_e", "v_i", "ge_i", "wait_i", "trace")
"""What a network carries from one image to the next beside its weights."""
PRESENTATIONS = 2**18
"""The most presentations of one source of inputs."""
QUIET = 32
"""Silence at the end of an image is simulated for so many time constants of inhibition."""


@dataclass(frozen=True)
class Spikes:
    """Inputs that fire: `spikes`, i32, are those of step 0, 1, …; step t begins at `starts[t]`."""

    spikes: NDArray[np.int32]
    starts: NDArray[np.int32]

    @property
    def steps(self) -> int:
        """Number of steps."""
        return len(self.starts) - 1


class Network:
    """784 inputs, `count` excitatory neurons, and an inhibitory one for each.

    Args:
        count: excitatory neurons.
        rule: the learning rule.
        seed: of the initial weights.
        dtype: of weights, potentials and conductances: f32, or f64 to compare with other tools.
        neurons: constants of the neurons.

    Attributes:
        learned: (count, 784), the weights that the rule changes.
        weights: (784, count), what the network computes with: those kept, at their levels.
        plastic, kept: (count, 784) i8: weights that the rule may change, and that conduct.
        levels: distance and number of conductance levels; a number of 0 for none.
        direct: an update changes `weights` at once, too; otherwise `settle` does.
        state: the arrays `STATE`.
    """

    def __init__(
        self,
        count: int,
        rule: Rule,
        seed: int,
        dtype: str = "f32",
        neurons: Neurons | None = None,
    ) -> None:
        self.count, self.rule, self.dtype = count, rule, dtype
        self.neurons = neurons or Neurons()
        self._real = np.dtype(np.float32 if dtype == "f32" else np.float64)
        uniform = np.random.default_rng(seed).random((PIXELS, count))
        self.learned = np.ascontiguousarray((0.3 * (uniform + 0.01)).astype(self._real).T)
        self.weights = np.zeros((PIXELS, count), self._real)
        self.plastic = np.ones((count, PIXELS), np.int8)
        self.kept = np.ones((count, PIXELS), np.int8)
        self.levels = np.zeros(2, self._real)
        self.direct = True
        self.state = self._at_rest()
        self._log = np.zeros(1, np.int32)
        self._functions = self._compile()
        self._learners = np.arange(count, dtype=np.int32)

    def _at_rest(self) -> dict[str, Array]:
        m, n = self.neurons, self.count
        state: dict[str, Array] = {name: np.zeros(n, self._real) for name in STATE}
        state["theta"] = np.full(n, m.theta_start)
        state["v_e"] += m.rest_e
        state["v_i"] += m.rest_i
        state["wait_e"], state["wait_i"] = np.zeros(n, np.int32), np.zeros(n, np.int32)
        state["trace"] = np.zeros(PIXELS, self._real)
        return state

    def _compile(self) -> dict[str, Callable[..., None]]:
        module = ir.Module("stdp_digits")
        for name in ("learn", "test"):
            simulation.emit(
                module, name, self.count, self.neurons, self.rule, self.dtype, name == "learn"
            )
        columns.emit(module, self.count, self.rule.column_sum, self.dtype)
        simulated = len(simulation.ARRAYS), len(simulation.INTEGERS)
        settled = len(columns.ARRAYS), len(columns.INTEGERS)
        return compiled(module, {"learn": simulated, "test": simulated, "settle": settled})

    def normalise(self, everywhere: bool = False) -> None:
        """Give the columns that have learned since the last call their sum; set their `weights`.

        `everywhere` does so for all columns.
        """
        neurons = np.arange(self.count, dtype=np.int32) if everywhere else self._learners
        self._settle(neurons, True)
        self._learners = self._learners[:0]

    def conduct(self) -> None:
        """Set all `weights` from `learned`, `kept` and `levels`."""
        self._settle(np.arange(self.count, dtype=np.int32), False)

    def _settle(self, neurons: NDArray[np.int32], normalised: bool) -> None:
        arrays = (neurons, self.learned, self.kept, self.levels, self.weights)
        self._functions["settle"](*map(_address, arrays), len(neurons), normalised)

    def present(self, shown: Spikes, silence: int, learn: bool) -> NDArray[np.int32]:
        """Simulate: input spikes, then `silence` steps without.

        Returns the spikes of excitatory neurons, (spikes, 2): step and neuron.
        """
        short = min(silence, self.neurons.steps(QUIET * self.neurons.tau_gi))
        starts = np.append(shown.starts, np.full(short, shown.starts[-1], np.int32))
        steps = len(starts) - 1
        room = 1 + 2 * self.count * (steps // self.neurons.steps(self.neurons.refractory_e) + 1)
        if len(self._log) < room:
            self._log = np.zeros(room, np.int32)
        arrays = (
            *(self.weights, self.learned, self.plastic),
            *(self.state[name] for name in STATE),
            *(shown.spikes, starts, self._log),
        )
        function = self._functions["learn" if learn else "test"]
        function(*map(_address, arrays), steps, self.direct)
        self._rest(silence - short, learn)
        spikes = self._log[1 : 1 + 2 * self._log[0]].reshape(-1, 2).copy()
        if learn:
            self._learners = np.union1d(self._learners, spikes[:, 1])
        return spikes

    def _rest(self, steps: int, learn: bool) -> None:
        """Steps in which nothing fires and no conductance is left, at once."""
        if not steps:
            return
        m, state = self.neurons, self.state
        for name, rest, tau in (("v_e", m.rest_e, m.tau_e), ("v_i", m.rest_i, m.tau_i)):
            state[name][:] = rest + (state[name] - rest) * m.factor(tau) ** steps
        for name, tau in (("ge_e", m.tau_ge), ("gi_e", m.tau_gi), ("ge_i", m.tau_ge)):
            state[name] *= m.factor(tau) ** steps
        for name in ("wait_e", "wait_i"):
            np.maximum(state[name] - steps, 0, out=state[name])
        if learn:
            state["theta"] *= m.factor(m.theta_tau) ** steps
            state["trace"] *= m.factor(self.rule.tau) ** steps


class Poisson:
    """Input spikes of images: a function of the seed and of the number of the presentation."""

    def __init__(self, seed: Sequence[int], presentation: Presentation, dt: float) -> None:
        self._dt, self.steps = dt, round(presentation.shown / dt)
        rng = np.random.default_rng(tuple(seed))
        self._keys = rng.integers(2**32, size=(PRESENTATIONS, 2), dtype=np.uint32)
        self._spikes = np.empty(PIXELS * self.steps, np.int32)
        module = ir.Module("poisson")
        poisson.emit(module)
        counts = (len(poisson.ARRAYS), len(poisson.INTEGERS))
        self._draw = compiled(module, {"poisson": counts})["poisson"]

    def draw(self, image: NDArray[np.uint8], intensity: int, number: int) -> Spikes:
        """Spikes of presentation `number` of an image, (784,): pixel / 8 * intensity Hz."""
        pixels = np.flatnonzero(image)
        padded = -(-len(pixels) // poisson.LANES) * poisson.LANES
        places, thresholds = np.zeros(padded, np.int32), np.zeros(padded, np.uint32)
        places[: len(pixels)] = pixels
        chance = image[pixels] * (intensity * self._dt / 8000)
        thresholds[: len(pixels)] = np.minimum(chance, 1) * (2**32 - 1)
        starts = np.empty(self.steps + 1, np.int32)
        arrays = map(_address, (places, thresholds, self._spikes, starts))
        self._draw(*arrays, padded, *map(int, self._keys[number]), self.steps)
        return Spikes(self._spikes[: starts[-1]].copy(), starts)


def compiled(
    module: ir.Module, arguments: dict[str, tuple[int, int]]
) -> dict[str, Callable[..., None]]:
    """Functions of a module by name; `arguments` counts the pointers and integers of each."""
    library = Library(str(module), list(arguments), host(), None)
    kinds = {
        name: (ctypes.c_void_p,) * pointers + (ctypes.c_int64,) * integers
        for name, (pointers, integers) in arguments.items()
    }
    functions = {name: library.function(name, *kinds[name]) for name in arguments}
    return {name: _held(function, library) for name, function in functions.items()}


def _held(function: Callable[..., None], library: Library) -> Callable[..., None]:
    """The function, keeping the library it belongs to alive."""

    def call(*values: int) -> None:
        function(*values)

    call.library = library
    return call


def _address(array: Array) -> int:
    return array.ctypes.data
