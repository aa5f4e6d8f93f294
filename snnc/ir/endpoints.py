"""Input and readout: where values enter and leave a graph."""

from __future__ import annotations

from dataclasses import dataclass

from snnc.ir.op import Op, Params, Types, check_sample_param, require
from snnc.ir.types import Ref, Signal, Stage, TensorType
from snnc.memory import LONGEST_WINDOW


@dataclass(frozen=True, kw_only=True)
class Input(Op):
    """x: one sample of the graph's input, ANALOG, of the given shape."""

    mnemonic = "input"
    arity = 0
    shape: tuple[int, ...]

    def infer(self, inputs: Types, params: Params) -> TensorType:
        require(all(n > 0 for n in self.shape), f"an input of shape {self.shape}")
        return TensorType(self.shape, Signal.ANALOG)


@dataclass(frozen=True, kw_only=True)
class Readout(Op):
    """output = scale * (sum of x over its window) / T (S15); in a quantised graph the sum is int64.

    scale: a number, (C,), or of the sample's shape (float).
    start: the step of its window before which the sum is set back to 0: it is then the sum over
        the steps start … T-1, and the divisor is T - start; of at most `start` steps, all count.
    """

    mnemonic = "readout"
    stages = frozenset({Stage.SNN})
    scale: Ref | float = 1.0
    start: int = 0

    def stated(self) -> dict[str, object]:
        """All fields, `start` only if it is not 0: such a readout is written as in older files."""
        return {k: v for k, v in super().stated().items() if k != "start" or self.start}

    def infer(self, inputs: Types, params: Params) -> TensorType:
        (x,) = inputs
        require(x.signal is not Signal.ANALOG, "reads out spikes, counts or currents")
        check_sample_param("scale", self.scale, x.shape, params)
        require(
            0 <= self.start < LONGEST_WINDOW,
            f"reads from step {self.start} on, which is not from 0 to {LONGEST_WINDOW - 1}",
        )
        dtype = "int64" if x.quantized else "float32"
        return TensorType(x.shape, Signal.CURRENT, dtype=dtype)


OPS: tuple[type[Op], ...] = (Input, Readout)
