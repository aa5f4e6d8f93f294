"""Populations of spiking neurons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

import numpy as np

from snnc.ir.kinds import Stateful
from snnc.ir.op import (
    Op,
    Params,
    Types,
    array_of,
    broadcast_to_sample,
    check_sample_param,
    check_upper,
    require,
)
from snnc.ir.types import Ref, Signal, Stage, TensorType
from snnc.memory import LONGEST_WINDOW

LEAK_UNIT = 1 << 15
"""A leak of integers is m / 2^15 (S19)."""
ROUNDING = 1e-6
"""Relative excess of a threshold over its bound that is rounding to float32."""


@dataclass(frozen=True, kw_only=True)
class Neuron(Stateful):
    """A population of leaky integrate-and-fire neurons (docs/semantics.md, S9 to S14).

    order "integrate-fire": p[t] = leak*u[t-1] + I[t];  s[t] = p[t] > threshold;
        u[t] = p[t] - threshold*s[t] (reset "subtract") or p[t]*(1 - s[t]) (reset "zero").
    order "fire-integrate": s[t] = u[t-1] > threshold;  u[t] = leak*u[t-1] + I[t] - threshold*s[t]
        (reset "zero": u[t] = leak*u[t-1]*(1 - s[t]) + I[t]).
    u[-1] = v_init. With `wait` = w it integrates from step 0 but may fire only in steps w..w+T-1;
    input and bias arrive in steps 0..T-1. `signed`: when the total of emitted spikes is positive
    and p < 0 (u < 0 in the second order), it emits -1 and adds the threshold back.
    threshold, leak, v_init: a number, (C,), or of the sample's shape.
    unit (S20): value of a potential of 1 in the units of the model, of the same shapes; the value
        of a spike is threshold * unit. 1 unless the parameters are integers.
    upper (S26): bound of the activation that the population stands for, which its threshold must
        not exceed: a number or (C,), in the units of the threshold; None for no bound.
    fixed (S27): whether threshold and v_init are those of the model, which are not fitted.
    """

    mnemonic = "neuron"
    makes_events = True
    stages = frozenset({Stage.SNN})
    threshold: Ref | float = 1.0
    leak: Ref | float = 1.0
    reset: Literal["subtract", "zero"] = "subtract"
    v_init: Ref | float = 0.0
    order: Literal["integrate-fire", "fire-integrate"] = "integrate-fire"
    wait: int = 0
    signed: bool = False
    unit: Ref | float = 1.0
    upper: Ref | float | None = None
    fixed: bool = False

    def infer(self, inputs: Types, params: Params) -> TensorType:
        (x,) = inputs
        _check_population(self, x, params)
        self._check_upper(x.shape, params)
        require(not (self.signed and self.reset == "zero"), "signed spikes need reset=subtract")
        return TensorType(x.shape, Signal.SPIKE, 1, x.dtype, False, self.signed)

    def _check_upper(self, shape: tuple[int, ...], params: Params) -> None:
        check_upper(self.upper, shape, params)
        if self.upper is None:
            return
        threshold, upper = (
            np.asarray(array_of(value, params), np.float64)
            for value in (self.threshold, self.upper)
        )
        wide, bound = (broadcast_to_sample(array, shape) for array in (threshold, upper))
        excess = np.divide(wide, bound, dtype=np.float64)
        require(
            bool(np.all(excess <= 1 + ROUNDING)),
            "a threshold above the upper bound of the activation (S26)",
        )


@dataclass(frozen=True, kw_only=True)
class TwoSidedNeuron(Stateful):
    """A population whose neurons fire for potentials of either sign (docs/semantics.md, S29).

    p[t] = leak*u[t-1] + I[t];  s[t] = 1 if p[t] > level, -1 if p[t] < -level, else 0;
    u[t] = p[t] - threshold*s[t]. It stands for a linear activation, such as that of a linear
    bottleneck, so the total of its spikes may be negative; that of a `signed` Neuron may not.
    threshold, leak, v_init, unit and wait are those of a `Neuron`.
    rounds: the level is threshold/2, so that the total of its spikes is the total of its input
        rounded to thresholds; else the level is the threshold, which cuts off towards 0.

    The class attributes have the values of the other fields of a `Neuron`.

    Source: ternary spikes, Guo et al., "Ternary Spike: Learning Ternary Spikes for Spiking Neural
    Networks", 2024, with the reset of S9.
    """

    mnemonic = "two-sided-neuron"
    makes_events = True
    stages = frozenset({Stage.SNN})
    reset: ClassVar[Literal["subtract"]] = "subtract"
    order: ClassVar[Literal["integrate-fire"]] = "integrate-fire"
    signed: ClassVar[bool] = True
    upper: ClassVar[None] = None
    fixed: ClassVar[bool] = False
    threshold: Ref | float = 1.0
    leak: Ref | float = 1.0
    v_init: Ref | float = 0.0
    wait: int = 0
    unit: Ref | float = 1.0
    rounds: bool = False

    def infer(self, inputs: Types, params: Params) -> TensorType:
        (x,) = inputs
        _check_population(self, x, params)
        return TensorType(x.shape, Signal.SPIKE, 1, x.dtype, False, signed=True)


AnyNeuron: TypeAlias = Neuron | TwoSidedNeuron
"""Populations of neurons, for `isinstance` and for annotations."""


def waits_for_input(op: AnyNeuron, timesteps: int) -> bool:
    """Whether a population has its whole input, of T steps, before it may fire.

    Its spikes then depend on the total of the input alone. In the order "integrate-fire" it may
    fire in the last step of its input.
    """
    return op.wait >= timesteps - (op.order == "integrate-fire")


def _check_population(op: AnyNeuron, x: TensorType, params: Params) -> None:
    """Raise `OpError` for an input or parameters that no population of neurons can have."""
    require(x.signal is Signal.CURRENT, f"integrates a current, not {x}")
    for name in ("threshold", "leak", "v_init", "unit"):
        check_sample_param(name, getattr(op, name), x.shape, params)
    threshold, leak, v_init, unit = (
        np.asarray(array_of(value, params), np.float64)
        for value in (op.threshold, op.leak, op.v_init, op.unit)
    )
    require(bool(np.all(threshold > 0)), "a threshold that is not positive")
    require(bool(np.all(unit > 0)), "a unit that is not positive")
    require(bool(np.all((leak >= 0) & (leak <= 1))), "a leak outside 0..1")
    require(0 <= op.wait <= LONGEST_WINDOW, f"wait {op.wait}, not 0 to {LONGEST_WINDOW}")
    if x.quantized:
        are_integers = all(np.array_equal(v, np.rint(v)) for v in (threshold, v_init))
        require(are_integers, "a threshold or v_init that is not whole on an integer current")


OPS: tuple[type[Op], ...] = (Neuron, TwoSidedNeuron)
