"""Builds one topology as an ANN, as a spiking network, or as a quantised one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from math import lcm, prod
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from snnc.ir import (
    Add,
    AvgPool,
    BatchNorm,
    Concat,
    Conv,
    CountMaxPool,
    Encode,
    EncodeDirect,
    Graph,
    Identity,
    Input,
    Linear,
    MaxPool,
    Neuron,
    Op,
    Pad,
    Permute,
    Readout,
    Rearrange,
    Ref,
    Relu,
    Reshape,
    Scale,
    Signal,
    Slice,
    Stage,
    SumPool,
    TwoSidedNeuron,
    Windows,
)
from snnc.ir.neuron import LEAK_UNIT

WEIGHT_LIMIT = 127
Weighted = Conv | Linear | Scale


class Style(StrEnum):
    """The kind of graph that is built."""

    ANN = "ann"
    SNN = "snn"
    QUANTIZED = "quantized"


class NetBuilder:
    """Adds layers with random parameters to a graph; layer methods return the new node's name.

    Thresholds are scaled to the currents, so that neurons fire in some steps and not in all.

    Args:
        style: the kind of graph.
        shape: shape of one input sample, channels first.
        seed: parameters depend on it and on their names, not on the style: an ANN and the spiking
            network of the same topology share their weights.
        neuron: options of every `Neuron`: `leak`, `reset`, `order`, `wait`, `signed`.
        encode: the encoder behind the input.
        lowered: the graph just before (ANN) or just after activations are replaced by neurons: no
            batch norm, no average or max pooling, all thresholds 1.
    """

    def __init__(
        self,
        style: Style,
        shape: tuple[int, ...],
        seed: int,
        *,
        neuron: Mapping[str, Any] | None = None,
        encode: type[Encode] = EncodeDirect,
        lowered: bool = False,
    ) -> None:
        self.style, self.seed, self.lowered = style, seed, lowered
        self.neuron_options = dict(neuron or {})
        self.graph = Graph(Stage.ANN if style is Style.ANN else Stage.SNN)
        self._size: dict[str, float] = {}
        self.input = self._put("input", Input(shape=shape), (), 0.5)
        if style is not Style.ANN:
            self.input = self._encode(encode)

    # -- layers ----------------------------------------------------------------------------

    def conv(
        self,
        name: str,
        x: str,
        channels: int,
        *,
        kernel: int = 3,
        stride: int = 1,
        padding: int = 1,
        dilation: int = 1,
        groups: int = 1,
        bias: str = "channel",
    ) -> str:
        """A convolution over all spatial axes; `bias` is "none", "channel" or "map"."""
        shape = self.shape(x)
        rank = len(shape) - 1
        weight = self._weight(name, (channels, shape[0] // groups, *(kernel,) * rank))
        op = Conv(
            weight=weight,
            stride=(stride,) * rank,
            padding=((padding, padding),) * rank,
            dilation=(dilation,) * rank,
            groups=groups,
        )
        size = self._weighted_size(x, weight)
        out = op.infer([self.graph.type_of(x)], self.graph.params).shape
        return self._put(name, self._with_bias(op, name, size, out, bias), (x,), size)

    def linear(self, name: str, x: str, features: int, *, bias: str = "channel") -> str:
        """A fully connected layer; flattens `x` if necessary."""
        x = self.flatten(x)
        weight = self._weight(name, (features, *self.shape(x)))
        size = self._weighted_size(x, weight)
        op = self._with_bias(Linear(weight=weight), name, size, (features,), bias)
        return self._put(name, op, (x,), size)

    def norm(self, name: str, x: str) -> str:
        """Batch norm in an ANN; returns `x` in a spiking network, where it has been folded."""
        if self.style is not Style.ANN or self.lowered:
            return x
        channels, rng = self.shape(x)[0], self._rng(name)
        op = BatchNorm(
            mean=self._param(f"{name}.mean", rng.normal(0, 0.1, channels)),
            variance=self._param(f"{name}.variance", rng.uniform(0.5, 2.0, channels)),
            weight=self._param(f"{name}.weight", rng.uniform(0.5, 1.5, channels)),
            bias=self._param(f"{name}.bias", rng.normal(0, 0.1, channels)),
        )
        return self._put(name, op, (x,), self._size[x])

    def act(
        self,
        name: str,
        x: str,
        *,
        per_channel: bool = False,
        bounded: bool = False,
        levels: int | None = None,
    ) -> str:
        """A ReLU in an ANN, a population of neurons in a spiking network.

        `bounded`: with an upper bound, per channel or not; `levels`: rounded to so many levels.
        """
        size = self._size[x]
        upper = self._upper(name, x, size, per_channel) if bounded else None
        if self.style is Style.ANN:
            return self._put(name, Relu(upper=upper, levels=levels), (x,), size)
        if self.lowered:
            return self._put(name, Neuron(upper=upper, **self.neuron_options), (x,), size)
        threshold = np.full(self.shape(x)[:1] if per_channel else (), self._size[x])
        threshold = threshold * self._rng(name).uniform(0.7, 1.3, threshold.shape)
        options = dict(self.neuron_options)
        if self.style is Style.QUANTIZED:
            threshold = np.maximum(1, np.rint(threshold)).astype(np.int32)
            start = np.rint(threshold / 2).astype(np.int32)
            options["leak"] = round(options.get("leak", 1.0) * LEAK_UNIT) / LEAK_UNIT
        else:
            start = threshold / 2
        threshold_ref = self._param(f"{name}.threshold", threshold)
        options["v_init"] = self._param(f"{name}.v_init", start)
        if bounded:
            highest = threshold if levels else threshold * 2.0
            options["upper"] = self._param(f"{name}.upper", highest)
            options["fixed"] = levels is not None
        return self._put(name, Neuron(threshold=threshold_ref, **options), (x,), 0.5)

    def linear_act(self, name: str, x: str, *, rounds: bool) -> str:
        """A linear activation in an ANN, a population of two-sided neurons in a spiking network."""
        size = self._size[x]
        op = TwoSidedNeuron(wait=self.neuron_options.get("wait", 0), rounds=rounds)
        if self.style is Style.ANN or self.lowered:
            return self._put(name, Identity() if self.style is Style.ANN else op, (x,), size)
        threshold = size * self._rng(name).uniform(0.7, 1.3, self.shape(x)[:1])
        if self.style is Style.QUANTIZED:
            threshold = np.maximum(1, np.rint(threshold)).astype(np.int32)
        op = replace(op, threshold=self._param(f"{name}.threshold", threshold))
        return self._put(name, op, (x,), 0.5)

    def _upper(self, name: str, x: str, size: float, per_channel: bool) -> Ref | float:
        """A bound that some values exceed, and no threshold of 1."""
        high = max(1.5, size)
        if not per_channel:
            return high
        return self._param(f"{name}.upper", self._rng(name).uniform(1, high, self.shape(x)[:1]))

    def avgpool(self, name: str, x: str, wins: Windows) -> str:
        """Average pooling; in a spiking network a sum pool, then a scale unless quantised."""
        counts = tuple(tuple(stop - start for start, stop in axis) for axis in wins)
        if self.style is Style.ANN and not self.lowered:
            return self._put(name, AvgPool(windows=wins, divisors=counts), (x,), self._size[x])
        least = tuple(lcm(*axis) for axis in counts)
        multiplicity = tuple(
            tuple(common // n for n in axis) for common, axis in zip(least, counts, strict=True)
        )
        pooled = self.sumpool(name, x, wins, multiplicity)
        if self.style is Style.QUANTIZED:
            return pooled
        return self.scale(f"{name}_scale", pooled, 1.0 / prod(least))

    def sumpool(
        self,
        name: str,
        x: str,
        wins: Windows,
        multiplicity: tuple[tuple[int, ...], ...] | None = None,
    ) -> str:
        """Sum pooling."""
        op = SumPool(windows=wins, multiplicity=multiplicity)
        return self._put(name, op, (x,), self._size[x] * op.largest_weight())

    def maxpool(self, name: str, x: str, wins: Windows) -> str:
        """Max pooling (in a spiking network: of the spikes of each step); average if `lowered`."""
        if self.lowered:
            return self.avgpool(name, x, wins)
        return self._put(name, MaxPool(windows=wins), (x,), self._size[x])

    def count_maxpool(self, name: str, x: str, wins: Windows) -> str:
        """Max pooling; in a spiking network the maximum of the counts (S25)."""
        kind = MaxPool if self.style is Style.ANN else CountMaxPool
        return self._put(name, kind(windows=wins), (x,), self._size[x])

    def scale(
        self, name: str, x: str, factor: float | NDArray[np.generic], *, bias: bool = False
    ) -> str:
        """Multiply by a factor, (), (C,) or the sample's shape; at least 1 if quantised."""
        array = np.asarray(factor, np.float64)
        if self.style is Style.QUANTIZED:
            array = np.maximum(1, np.rint(np.abs(array))).astype(np.int32)
        size = self._size[x] * float(np.mean(np.abs(array)))
        plain, kind = Scale(factor=self._param(f"{name}.factor", array)), "map" if bias else "none"
        op = self._with_bias(plain, name, size, self.shape(x), kind)
        return self._put(name, op, (x,), size)

    def current(self, x: str, like: str) -> str:
        """`x` as a current of the size of `like`: events get a `Scale`."""
        if self.graph.type_of(x).signal not in (Signal.SPIKE, Signal.COUNT):
            return x
        factor = 1.0 if self.lowered else self._size[like] / self._size[x]
        return self.scale(self.graph.fresh(f"{x}_current"), x, factor)

    def add(self, name: str, *xs: str) -> str:
        """Sum; events are scaled to the size of the first term."""
        terms = [self.current(x, xs[0]) for x in xs]
        return self._put(name, Add(), terms, sum(self._size[x] for x in terms))

    def concat(self, name: str, *xs: str, axis: int = 0) -> str:
        """Concatenation."""
        return self.rearrange(name, Concat(axis=axis), *xs)

    def rearrange(self, name: str, op: Rearrange, *xs: str) -> str:
        """Any op that moves elements and changes none."""
        return self._put(name, op, xs, max(self._size[x] for x in xs))

    def every_second(self, name: str, x: str) -> str:
        """`x[:, ::2, ::2]`."""
        shape = self.shape(x)
        steps = (1,) + (2,) * (len(shape) - 1)
        op = Slice(starts=(0,) * len(shape), stops=shape, steps=steps)
        return self.rearrange(name, op, x)

    def pad_channels(self, name: str, x: str, before: int, after: int) -> str:
        """Zeros before and after the channels."""
        rest = ((0, 0),) * (len(self.shape(x)) - 1)
        return self.rearrange(name, Pad(padding=((before, after), *rest)), x)

    def permute(self, name: str, x: str, axes: tuple[int, ...]) -> str:
        """Axes in another order."""
        return self.rearrange(name, Permute(axes=axes), x)

    def flatten(self, x: str) -> str:
        """`x` as a vector."""
        shape = self.shape(x)
        if len(shape) == 1:
            return x
        return self.rearrange(self.graph.fresh(f"{x}_flat"), Reshape(shape=(prod(shape),)), x)

    def finish(self, x: str) -> Graph:
        """Make `x` the output, behind a `Readout` in a spiking network."""
        if self.style is not Style.ANN:
            scale: Ref | float = 1.0
            if self.style is Style.QUANTIZED:
                values = self._rng("readout").uniform(0.5, 1.5, self.shape(x)[0]) / self._size[x]
                scale = self.graph.set_param("readout.scale", values)
            x = self._put("readout", Readout(scale=scale), (x,), self._size[x])
        self.graph.outputs = (x,)
        return self.graph

    def shape(self, x: str) -> tuple[int, ...]:
        """Shape of one sample of `x`."""
        return self.graph.type_of(x).shape

    # -- parameters ------------------------------------------------------------------------

    def _put(self, name: str, op: Op, inputs: Sequence[str], size: float) -> str:
        self._size[name] = size
        return self.graph.add(name, op, inputs)

    def _encode(self, kind: type[Encode]) -> str:
        constant = kind.code_class.constant
        integer = self.style is Style.QUANTIZED or not constant
        op = kind(scale=1 / 255 if integer else None)
        size = 128.0 if integer and constant else 0.5
        return self._put("encode", op, ("input",), size)

    def _rng(self, name: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, crc32(name.encode())])

    def _param(self, name: str, array: NDArray[np.generic]) -> Ref:
        if not np.issubdtype(array.dtype, np.integer):
            array = array.astype(np.float32)
        return self.graph.set_param(name, array)

    def _weight(self, name: str, shape: tuple[int, ...]) -> Ref:
        if self.style is Style.QUANTIZED:
            values = self._rng(name).integers(-WEIGHT_LIMIT, WEIGHT_LIMIT + 1, shape)
            return self._param(f"{name}.weight", values.astype(np.int8))
        values = self._rng(name).normal(0, prod(shape[1:]) ** -0.5, shape)
        return self._param(f"{name}.weight", values)

    def _weighted_size(self, x: str, weight: Ref) -> float:
        values = self.graph.params[weight.name].astype(np.float64)
        root_mean_square = max(float(np.sqrt(np.mean(values**2))), 0.01)
        return self._size[x] * root_mean_square * prod(values.shape[1:]) ** 0.5

    def _with_bias(
        self, op: Weighted, name: str, size: float, shape: tuple[int, ...], kind: str
    ) -> Weighted:
        if kind == "none":
            return op
        bias = (
            self._rng(f"{name}.bias").normal(0.1, 0.3, shape if kind == "map" else shape[:1]) * size
        )
        if self.style is Style.QUANTIZED:
            bias = np.rint(bias).astype(np.int32)
        return replace(op, bias=self._param(f"{name}.bias", bias))
