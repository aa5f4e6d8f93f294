"""Elementwise operations: batch norm, activations, scale, sum."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from snnc.ir.op import (
    Op,
    Params,
    Types,
    array_of,
    check_sample_param,
    check_upper,
    linear_result,
    require,
)
from snnc.ir.types import Ref, Signal, Stage, TensorType


@dataclass(frozen=True, kw_only=True)
class BatchNorm(Op):
    """y[c] = (x[c] - mean[c]) / sqrt(variance[c] + eps) * weight[c] + bias[c]; all (C,)."""

    mnemonic = "batchnorm"
    stages = frozenset({Stage.ANN})
    mean: Ref
    variance: Ref
    weight: Ref | None = None
    bias: Ref | None = None
    eps: float = 1e-5

    def infer(self, inputs: Types, params: Params) -> TensorType:
        (x,) = inputs
        for name, ref in self.refs().items():
            per_channel = bool(x.shape) and params[ref.name].shape == x.shape[:1]
            require(per_channel, f"{name}: not one value per channel")
        variance = np.asarray(params[self.variance.name], np.float64)
        require(bool(np.all(variance + self.eps > 0)), "a variance that is not positive")
        return x


@dataclass(frozen=True, kw_only=True)
class Relu(Op):
    """y = min(max(x, 0), upper); with `levels` = L rounded: floor(y / upper * L + 1/2) * upper / L.

    upper: a number or (C,), positive; None for no bound (S26). levels: None for real values; with
        it, y is one of L + 1 values, as in the clip-floor-shift activation of Bu et al., "Optimal
        ANN-SNN Conversion for High-accuracy and Ultra-low-latency Spiking Neural Networks", 2022
        (S27).
    """

    mnemonic = "relu"
    stages = frozenset({Stage.ANN})
    upper: Ref | float | None = None
    levels: int | None = None

    def infer(self, inputs: Types, params: Params) -> TensorType:
        (x,) = inputs
        check_upper(self.upper, x.shape, params)
        if self.levels is not None:
            require(self.levels > 0, f"{self.levels} levels")
            require(self.upper is not None, "levels without an upper bound")
        return x


@dataclass(frozen=True, kw_only=True)
class Identity(Op):
    """y = x: a linear activation, which becomes a population of two-sided neurons (S29)."""

    mnemonic = "identity"
    stages = frozenset({Stage.ANN})
    keeps_sign = True

    def infer(self, inputs: Types, params: Params) -> TensorType:
        (x,) = inputs
        return x


@dataclass(frozen=True, kw_only=True)
class Scale(Op):
    """y = factor * x + bias; each a number, (C,) along the channels, or of the sample's shape.

    At stage `snn` a SPIKE or COUNT becomes a CURRENT: an identity shortcut is a Scale (S2), and a
    linear op on a current is legal (S6).
    """

    mnemonic = "scale"
    factor: Ref | float
    bias: Ref | None = None

    def infer(self, inputs: Types, params: Params) -> TensorType:
        (x,) = inputs
        check_sample_param("factor", self.factor, x.shape, params)
        check_sample_param("bias", self.bias, x.shape, params)
        return linear_result(x, x.shape, array_of(self.factor, params))


@dataclass(frozen=True, kw_only=True)
class Add(Op):
    """y = x_0 + x_1 + …; all of the same shape. At stage `snn`, CURRENTs only (S2)."""

    mnemonic = "add"
    keeps_sign = True
    arity = None

    def infer(self, inputs: Types, params: Params) -> TensorType:
        first = inputs[0]
        require(len({x.shape for x in inputs}) == 1, f"shapes {[x.shape for x in inputs]} differ")
        allowed = Signal.ANALOG if first.signal is Signal.ANALOG else Signal.CURRENT
        wrong = [str(x) for x in inputs if x.signal is not allowed]
        require(
            not wrong, f"adds {allowed}s only, not {', '.join(wrong)}; put a Scale before it (S2)"
        )
        require(len({x.dtype for x in inputs}) == 1, "adds integers to real values")
        return replace(first, constant_in_time=all(x.constant_in_time for x in inputs))


OPS: tuple[type[Op], ...] = (BatchNorm, Relu, Identity, Scale, Add)
