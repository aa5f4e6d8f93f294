"""The operations of the IR: frozen data, each with its equation and its shape inference.

Arrays are held by the graph; an op holds `Ref` names. `infer` is given the types of the inputs
and the parameters, and answers with the type of the result or raises `OpError` with a reason.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from snnc.ir.op import (
    EVENTS,
    Op,
    OpError,
    Params,
    Types,
    array_of,
    broadcast_to_sample,
    require,
)
from snnc.ir.rearrange import Concat, Pad, Permute, Reshape, Slice
from snnc.ir.types import Ref, Signal, Stage, TensorType, Windows


def _check_sample_param(
    what: str, value: Ref | float | None, shape: tuple[int, ...], p: Params
) -> None:
    if value is None:
        return
    try:
        broadcast_to_sample(array_of(value, p), shape)
    except OpError as error:
        raise OpError(f"{what}: {error}") from None


def _linear_result(x: TensorType, shape: tuple[int, ...], param: NDArray[np.generic]) -> TensorType:
    """ANALOG stays ANALOG; events and currents become CURRENT, integer when the weights are."""
    if x.signal is Signal.ANALOG:
        return TensorType(shape, Signal.ANALOG)
    integer = np.issubdtype(param.dtype, np.integer)
    require(
        x.signal in EVENTS or integer == x.quantized,
        f"{'integer' if integer else 'real'} parameters on an input of type {x}",
    )
    dtype = "int32" if integer else "float32"
    return TensorType(shape, Signal.CURRENT, dtype=dtype, constant_in_time=x.constant_in_time)


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
class Conv(Op):
    """y[o,i] = bias[o] + sum over c, k of weight[o,c,k] * x[first[o]+c, stride*i + dilation*k-pad].

    first[o] is the first input channel of the group of o.
    weight: (C_out, C_in/groups, *kernel). bias: (C_out,) or the full output shape (a bias map).
    padding: (before, after) per spatial axis; padded positions are zero (silence).
    """

    mnemonic = "conv"
    weight: Ref
    bias: Ref | None = None
    stride: tuple[int, ...] = (1, 1)
    padding: tuple[tuple[int, int], ...] = ((0, 0), (0, 0))
    dilation: tuple[int, ...] = (1, 1)
    groups: int = 1

    def infer(self, inputs: Types, params: Params) -> TensorType:
        (x,) = inputs
        weight = params[self.weight.name]
        rank = len(self.stride)
        require(len(x.shape) == rank + 1, f"a {rank}-d convolution of a sample of shape {x.shape}")
        require(weight.ndim == rank + 2, f"weight of shape {weight.shape} for rank {rank}")
        self._check_geometry(rank)
        c_in, c_out = weight.shape[1] * self.groups, weight.shape[0]
        require(x.shape[0] == c_in, f"weights for {c_in} channels on an input of {x.shape[0]}")
        require(c_out % self.groups == 0, f"{c_out} outputs in {self.groups} groups")
        shape = (c_out, *self._spatial(x.shape[1:], weight.shape[2:]))
        require(min(shape) > 0, f"no output left: input {x.shape}, kernel {weight.shape[2:]}")
        _check_sample_param("bias", self.bias, shape, params)
        return _linear_result(x, shape, weight)

    def _check_geometry(self, rank: int) -> None:
        counts = (len(self.padding), len(self.dilation))
        require(counts == (rank, rank), f"padding, dilation of {counts} axes for rank {rank}")
        positive = (*self.stride, *self.dilation, self.groups)
        require(min(positive) > 0, "a stride, dilation or number of groups that is not positive")
        require(all(min(p) >= 0 for p in self.padding), "negative padding; use a slice")

    def _spatial(self, size: tuple[int, ...], kernel: tuple[int, ...]) -> tuple[int, ...]:
        axes = zip(size, kernel, self.stride, self.padding, self.dilation, strict=True)
        return tuple((n + sum(p) - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in axes)


@dataclass(frozen=True, kw_only=True)
class Linear(Op):
    """y = weight x + bias. weight: (F_out, F_in); the sample has shape (F_in,)."""

    mnemonic = "linear"
    weight: Ref
    bias: Ref | None = None

    def infer(self, inputs: Types, params: Params) -> TensorType:
        (x,) = inputs
        weight = params[self.weight.name]
        require(weight.ndim == 2, f"weight of shape {weight.shape}")
        require(
            x.shape == (weight.shape[1],),
            f"weights for {weight.shape[1]} features on a sample of shape {x.shape}",
        )
        shape = (weight.shape[0],)
        _check_sample_param("bias", self.bias, shape, params)
        return _linear_result(x, shape, weight)


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
            one_each = bool(x.shape) and params[ref.name].shape == x.shape[:1]
            require(one_each, f"{name}: not one value per channel")
        variance = np.asarray(params[self.variance.name], np.float64)
        require(bool(np.all(variance + self.eps > 0)), "a variance that is not positive")
        return x


@dataclass(frozen=True, kw_only=True)
class Relu(Op):
    """y = max(x, 0)."""

    mnemonic = "relu"
    stages = frozenset({Stage.ANN})

    def infer(self, inputs: Types, params: Params) -> TensorType:
        return inputs[0]


@dataclass(frozen=True, kw_only=True)
class Scale(Op):
    """y = factor * x + bias; each a number, (C,) along the channels, or of the sample's shape.

    At stage `snn` a SPIKE or COUNT becomes a CURRENT (an identity shortcut is a Scale).
    """

    mnemonic = "scale"
    factor: Ref | float
    bias: Ref | None = None

    def infer(self, inputs: Types, params: Params) -> TensorType:
        (x,) = inputs
        _check_sample_param("factor", self.factor, x.shape, params)
        _check_sample_param("bias", self.bias, x.shape, params)
        return _linear_result(x, x.shape, array_of(self.factor, params))


@dataclass(frozen=True, kw_only=True)
class Add(Op):
    """y = x_0 + x_1 + …; all of one shape. At stage `snn`, CURRENTs only."""

    mnemonic = "add"
    arity = None

    def infer(self, inputs: Types, params: Params) -> TensorType:
        first = inputs[0]
        require(len({x.shape for x in inputs}) == 1, f"shapes {[x.shape for x in inputs]} differ")
        allowed = Signal.ANALOG if first.signal is Signal.ANALOG else Signal.CURRENT
        wrong = [str(x) for x in inputs if x.signal is not allowed]
        require(not wrong, f"adds {allowed}s only, not {', '.join(wrong)}; put a Scale before it")
        require(len({x.dtype for x in inputs}) == 1, "adds integers to real values")
        return replace(first, constant_in_time=all(x.constant_in_time for x in inputs))


def _pooled_shape(x: TensorType, windows: Windows) -> tuple[int, ...]:
    spatial = x.shape[1:]
    require(len(windows) == len(spatial), f"{len(windows)} window axes on a sample of {x.shape}")
    for size, axis in zip(spatial, windows, strict=True):
        require(bool(axis), "an axis without windows")
        bad = [w for w in axis if not 0 <= w[0] < w[1] <= size]
        require(not bad, f"window {bad[:1]} outside an axis of {size}")
    return (x.shape[0], *(len(axis) for axis in windows))


def _check_per_position(
    what: str, values: tuple[tuple[int, ...], ...], shape: tuple[int, ...]
) -> None:
    require(tuple(map(len, values)) == shape, f"{what} do not match the windows")
    require(all(v > 0 for axis in values for v in axis), f"{what} that are not positive")


@dataclass(frozen=True, kw_only=True)
class AvgPool(Op):
    """y[c,i,j] = sum of x[c] over window (i,j) / (divisors[0][i] * divisors[1][j]).

    windows: per spatial axis, the (start, stop) of each output position, clipped to the input, so
    that ordinary, padded, ceil-mode, adaptive and global average pooling are one op.
    """

    mnemonic = "avgpool"
    stages = frozenset({Stage.ANN})
    windows: Windows
    divisors: tuple[tuple[int, ...], ...]

    def infer(self, inputs: Types, params: Params) -> TensorType:
        (x,) = inputs
        shape = _pooled_shape(x, self.windows)
        _check_per_position("divisors", self.divisors, shape[1:])
        return replace(x, shape=shape)


@dataclass(frozen=True, kw_only=True)
class SumPool(Op):
    """y[c,i,j] = multiplicity[0][i] * multiplicity[1][j] * sum of x[c] over window (i,j).

    A SPIKE or COUNT becomes a COUNT; a CURRENT stays one. multiplicity: None means 1 everywhere.
    """

    mnemonic = "sumpool"
    windows: Windows
    multiplicity: tuple[tuple[int, ...], ...] | None = None

    def infer(self, inputs: Types, params: Params) -> TensorType:
        (x,) = inputs
        shape = _pooled_shape(x, self.windows)
        if self.multiplicity is not None:
            _check_per_position("multiplicity", self.multiplicity, shape[1:])
        if x.signal not in EVENTS:
            return replace(x, shape=shape)
        return replace(x, shape=shape, signal=Signal.COUNT, levels=x.levels * self.largest_weight())

    def largest_weight(self) -> int:
        """Largest number of times one output counts a single unit of input activity."""
        return prod(
            max((stop - start) * m for (start, stop), m in zip(axis, mult, strict=True))
            for axis, mult in zip(self.windows, self.multiplicities(), strict=True)
        )

    def multiplicities(self) -> tuple[tuple[int, ...], ...]:
        """`multiplicity` with the default written out."""
        return self.multiplicity or tuple((1,) * len(axis) for axis in self.windows)


@dataclass(frozen=True, kw_only=True)
class MaxPool(Op):
    """y[c,i,j] = max of x[c] over window (i,j). On spikes: one fires when any input fires.

    That is the maximum of each step, not of the rates; no pass puts it there unasked.
    """

    mnemonic = "maxpool"
    windows: Windows

    def infer(self, inputs: Types, params: Params) -> TensorType:
        (x,) = inputs
        require(x.signal is not Signal.CURRENT, "the maximum of a current; pool spikes instead")
        return replace(x, shape=_pooled_shape(x, self.windows))


@dataclass(frozen=True, kw_only=True)
class Encode(Op):
    """Turns the analog input into what a spiking network sees (docs/semantics.md, 2 and 4).

    direct: the same value at every step; a real CURRENT, or after quantisation the COUNT
    q = clip(rint(float32(x) * float32(1/scale)), lo, hi).
    poisson: q as above (q_max = hi), fires with probability |q|/q_max at every step, sign kept.
    latency: q as above, fires once, at step floor((1 - |q|/q_max) * (T-1) + 1/2); never when q=0.
    """

    mnemonic = "encode"
    stages = frozenset({Stage.SNN})
    mode: Literal["direct", "poisson", "latency"] = "direct"
    scale: float | None = None
    lo: int = 0
    hi: int = 255

    def infer(self, inputs: Types, params: Params) -> TensorType:
        (x,) = inputs
        require(x.signal is Signal.ANALOG, f"encodes an analog tensor, not {x.signal}")
        require(self.lo <= 0 < self.hi, f"range {self.lo}..{self.hi}")
        levels, signed = max(self.hi, -self.lo), self.lo < 0
        if self.mode == "direct" and self.scale is None:
            return replace(x, signal=Signal.CURRENT, constant_in_time=True)
        require(self.scale is not None and self.scale > 0, f"{self.mode} needs a positive scale")
        if self.mode == "direct":
            return TensorType(x.shape, Signal.COUNT, levels, "int32", True, signed)
        return TensorType(x.shape, Signal.SPIKE, 1, "int32", signed=signed)


@dataclass(frozen=True, kw_only=True)
class Neuron(Op):
    """A population of leaky integrate-and-fire neurons (docs/semantics.md, section 2).

    order "integrate-fire": p[t] = leak*u[t-1] + I[t];  s[t] = p[t] > threshold;
        u[t] = p[t] - threshold*s[t] (reset "subtract") or p[t]*(1 - s[t]) (reset "zero").
    order "fire-integrate": s[t] = u[t-1] > threshold;  u[t] = leak*u[t-1] + I[t] - threshold*s[t]
        (reset "zero": u[t] = leak*u[t-1]*(1 - s[t]) + I[t]).
    u[-1] = v_init. With `wait` = w it integrates from step 0 but may fire only in steps w..w+T-1;
    input and bias arrive in steps 0..T-1. `signed`: when the total of emitted spikes is positive
    and p < 0 (u < 0 in the second order), it emits -1 and adds the threshold back.
    threshold, leak, v_init: a number, (C,), or of the sample's shape.
    """

    mnemonic = "neuron"
    stages = frozenset({Stage.SNN})
    threshold: Ref | float = 1.0
    leak: Ref | float = 1.0
    reset: Literal["subtract", "zero"] = "subtract"
    v_init: Ref | float = 0.0
    order: Literal["integrate-fire", "fire-integrate"] = "integrate-fire"
    wait: int = 0
    signed: bool = False

    def infer(self, inputs: Types, params: Params) -> TensorType:
        (x,) = inputs
        require(x.signal is Signal.CURRENT, f"integrates a current, not {x}")
        for name in ("threshold", "leak", "v_init"):
            _check_sample_param(name, getattr(self, name), x.shape, params)
        threshold, leak, v_init = (
            np.asarray(array_of(value, params), np.float64)
            for value in (self.threshold, self.leak, self.v_init)
        )
        require(bool(np.all(threshold > 0)), "a threshold that is not positive")
        require(bool(np.all((leak >= 0) & (leak <= 1))), "a leak outside 0..1")
        require(self.wait >= 0, f"wait {self.wait}")
        if x.quantized:
            whole = all(np.array_equal(v, np.rint(v)) for v in (threshold, v_init))
            require(whole, "a threshold or v_init that is not whole on an integer current")
        require(not (self.signed and self.reset == "zero"), "signed spikes need reset=subtract")
        return TensorType(x.shape, Signal.SPIKE, 1, x.dtype, False, self.signed)


@dataclass(frozen=True, kw_only=True)
class Readout(Op):
    """output = scale * (sum of x over its window) / T; in a quantised graph the sum is int64.

    scale: a number, (C,), or of the sample's shape (float).
    """

    mnemonic = "readout"
    stages = frozenset({Stage.SNN})
    scale: Ref | float = 1.0

    def infer(self, inputs: Types, params: Params) -> TensorType:
        (x,) = inputs
        require(x.signal is not Signal.ANALOG, "reads out spikes, counts or currents")
        _check_sample_param("scale", self.scale, x.shape, params)
        dtype = "int64" if x.quantized else "float32"
        return TensorType(x.shape, Signal.CURRENT, dtype=dtype)


OPS: tuple[type[Op], ...] = (
    Input, Conv, Linear, BatchNorm, Relu, Scale, Add, AvgPool, SumPool, MaxPool,
    Reshape, Permute, Slice, Pad, Concat, Encode, Neuron, Readout,
)  # fmt: skip
