"""Encoders of the analog input of a spiking network, one class per code."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from snnc.encoding import Code, Direct, Latency, Poisson
from snnc.ir.op import Op, Params, Types, require
from snnc.ir.types import Signal, Stage, TensorType


@dataclass(frozen=True, kw_only=True)
class Encode(Op):
    """Base of the encoders (docs/semantics.md, S7, S21).

    The input is quantised to q = clip(rint(float32(x) * float32(1/scale)), lo, hi), which the code
    turns into events.
    """

    stages = frozenset({Stage.SNN})
    makes_events = True
    code_class: ClassVar[type[Code]]
    scale: float | None = None
    lo: int = 0
    hi: int = 255

    def code(self) -> Code | None:
        """The numpy encoder of a batch; None for an encoder that passes real values through."""
        if self.scale is None:
            return None
        return self.code_class(scale=self.scale, lo=self.lo, hi=self.hi)

    def infer(self, inputs: Types, params: Params) -> TensorType:
        (x,) = inputs
        require(x.signal is Signal.ANALOG, f"encodes an analog tensor, not {x.signal}")
        require(self.lo <= 0 < self.hi, f"range {self.lo}..{self.hi}")
        return self.encoded(x)

    def encoded(self, x: TensorType) -> TensorType:
        """Type of the events; by default spikes."""
        require(self.scale is not None and self.scale > 0, f"{self.mnemonic} needs a scale above 0")
        return TensorType(x.shape, Signal.SPIKE, 1, "int32", signed=self.lo < 0)


@dataclass(frozen=True, kw_only=True)
class EncodeDirect(Encode):
    """The same value at every step: x itself, a real CURRENT; with a scale the COUNT q."""

    mnemonic = "encode-direct"
    code_class = Direct

    def encoded(self, x: TensorType) -> TensorType:
        if self.scale is None:
            return replace(x, signal=Signal.CURRENT, constant_in_time=True)
        require(self.scale > 0, f"{self.mnemonic} needs a scale above 0")
        levels = max(self.hi, -self.lo)
        return TensorType(x.shape, Signal.COUNT, levels, "int32", True, self.lo < 0)


@dataclass(frozen=True, kw_only=True)
class EncodePoisson(Encode):
    """Fires with probability |q|/hi at every step, independently; the sign of q is kept."""

    mnemonic = "encode-poisson"
    code_class = Poisson


@dataclass(frozen=True, kw_only=True)
class EncodeLatency(Encode):
    """Fires once, at step floor((1 - |q|/hi) * (T-1) + 1/2); never when q = 0."""

    mnemonic = "encode-latency"
    code_class = Latency


OPS: tuple[type[Op], ...] = (EncodeDirect, EncodePoisson, EncodeLatency)
