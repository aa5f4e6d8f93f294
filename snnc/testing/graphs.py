"""Small graphs of all ops, for the contracts and for tests of plugins."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.ir import (
    Encode,
    EncodeDirect,
    EncodeLatency,
    EncodePoisson,
    Graph,
    Input,
    Linear,
    Readout,
    Stage,
    Upsample,
)
from snnc.testing.builder import NetBuilder, Style
from snnc.testing.square_windows import windows

Topology = Callable[[NetBuilder], str]


@dataclass(frozen=True)
class Case:
    """A named graph; `ann` is the ANN of the same topology, with the same names and weights."""

    name: str
    graph: Graph
    ann: Graph | None = None

    def __str__(self) -> str:
        return self.name


def plain(net: NetBuilder) -> str:
    """Two padded convolutions with batch norm, average pooling, two linear layers."""
    x = net.conv("conv1", net.input, 4, bias="none")
    x = net.act("act1", net.norm("bn1", x))
    x = net.avgpool("pool1", x, windows(net.shape(x)[1:], 2, 2))
    x = net.act("act2", net.norm("bn2", net.conv("conv2", x, 6)), per_channel=True)
    x = net.act("act3", net.linear("fc1", x, 8))
    return net.linear("fc2", x, 5)


def residual(net: NetBuilder) -> str:
    """Two residual blocks: an identity shortcut, and a strided slice padded with channels."""
    first = net.act("act0", net.norm("bn0", net.conv("conv0", net.input, 4, bias="none")))
    x = net.act("act1", net.conv("conv1", first, 4))
    x = net.act("act2", net.add("add1", net.conv("conv2", x, 4), first))
    shortcut = net.pad_channels("pad", net.every_second("slice", x), 2, 2)
    x = net.act("act3", net.conv("conv3", x, 8, stride=2), per_channel=True)
    x = net.act("act4", net.add("add2", net.conv("conv4", x, 8), shortcut))
    size = net.shape(x)[1:]
    x = net.avgpool("pool", x, windows(size, size[0], size[0]))
    return net.linear("fc", x, 5)


def grouped(net: NetBuilder) -> str:
    """Grouped, dilated and depthwise convolutions, a bias map, max pooling, a permutation."""
    x = net.act("act1", net.conv("conv1", net.input, 4, groups=2, bias="map"), per_channel=True)
    x = net.maxpool("pool1", x, windows(net.shape(x)[1:], 3, 2, 1))
    x = net.act("act2", net.conv("conv2", x, 8, groups=4, dilation=2, padding=2))
    x = net.permute("permute", x, (2, 0, 1))
    return net.linear("fc", x, 5, bias="none")


def branches(net: NetBuilder) -> str:
    """A one-dimensional network: overlapping uneven pooling, concatenation, a three-way sum."""
    x = net.scale("normalize", net.input, np.linspace(0.5, 1.5, net.shape(net.input)[0]), bias=True)
    x = net.act("act0", net.conv("conv0", x, 4))
    left = net.act("act1", net.conv("conv1", x, 4, kernel=1, padding=0))
    right = net.act("act2", net.conv("conv2", x, 4, kernel=5, padding=2, bias="map"))
    both = net.concat("concat", left, right)
    pooled = net.avgpool("pool", both, windows(net.shape(both)[1:], 3, 2, 1))
    y = net.conv("conv3", pooled, 4, stride=2)
    z = net.conv("conv4", x, 4, stride=4, bias="none")
    w = net.every_second("slice2", net.every_second("slice1", right))
    return net.linear("fc", net.act("act3", net.add("add", y, z, w)), 5)


def enlarged(net: NetBuilder) -> str:
    """A map made small and large again by uneven factors, added to a shortcut around it."""
    first = net.act("act0", net.conv("conv0", net.input, 4), per_channel=True)
    x = net.act("act1", net.conv("conv1", first, 4, stride=2, bias="map"))
    rows, cols = net.shape(x)[1:]
    x = net.avgpool("pool", x, (*windows((rows,), 2, 2), *windows((cols,), 1, 1)))
    x = net.rearrange("upsample", Upsample(factors=(4, 2)), x)
    return net.linear("fc", net.act("act2", net.add("add", net.conv("conv2", x, 4), first)), 5)


def pooled(net: NetBuilder) -> str:
    """Maxima of counts: overlapping clipped windows, of a concatenation, of sums, of the input."""
    x = net.count_maxpool("pool0", net.input, windows(net.shape(net.input)[1:], 2, 1))
    left = net.act("act0", net.conv("conv0", x, 4), per_channel=True)
    right = net.act("act1", net.conv("conv1", x, 2, bias="map"))
    both = net.concat("concat", left, right)
    x = net.count_maxpool("pool1", both, windows(net.shape(both)[1:], 3, 2, 1))
    x = net.act("act2", net.conv("conv2", x, 4))
    if net.style is Style.QUANTIZED:
        x = net.sumpool("sums", x, windows(net.shape(x)[1:], 2, 1))
    size = net.shape(x)[1:]
    x = net.count_maxpool("pool2", x, windows(size, size[0], size[0]))
    return net.linear("fc", x, 5)


def saturating(net: NetBuilder) -> str:
    """Bounded activations, of one bound and of one per channel, before a maximum; a rounded one."""
    x = net.act("act0", net.conv("conv0", net.input, 4), bounded=True)
    x = net.count_maxpool("pool", x, windows(net.shape(x)[1:], 2, 2))
    x = net.act("act1", net.conv("conv1", x, 4), per_channel=True, bounded=True)
    x = net.act("act2", net.conv("conv2", x, 4), bounded=True, levels=None if net.lowered else 4)
    return net.linear("fc", x, 5)


def bottlenecks(net: NetBuilder) -> str:
    """Linear layers between expanding ones, and a sum of two; a maximum of two-sided spikes."""
    x = net.act("act0", net.conv("conv0", net.input, 4))
    first = net.conv("project1", x, 3, kernel=1, padding=0)
    x = net.conv("expand", net.linear_act("linear1", first, rounds=True), 6, kernel=1, padding=0)
    x = net.act("act1", net.conv("depthwise", net.act("act2", x), 6, groups=6), bounded=True)
    both = net.add("add", net.conv("project2", x, 3, kernel=1, padding=0), first)
    x = net.linear_act("linear2", both, rounds=False)
    x = net.count_maxpool("pool", x, windows(net.shape(x)[1:], 2, 2))
    return net.linear("fc", x, 5)


TOPOLOGIES: Mapping[str, tuple[Topology, tuple[int, ...]]] = {
    "plain": (plain, (2, 6, 6)),
    "residual": (residual, (2, 8, 8)),
    "grouped": (grouped, (2, 7, 7)),
    "branches": (branches, (3, 16)),
    "enlarged": (enlarged, (2, 8, 8)),
    "pooled": (pooled, (2, 8, 8)),
    "saturating": (saturating, (2, 6, 6)),
    "bottlenecks": (bottlenecks, (2, 6, 6)),
}
"""The topologies and the shape of one input sample of each."""

NEURONS: Mapping[str, Mapping[str, Any]] = {
    "leak": {"leak": 0.9},
    "reset-zero": {"reset": "zero"},
    "fire-integrate": {"order": "fire-integrate", "leak": 0.9},
    "fire-integrate-zero": {"order": "fire-integrate", "leak": 0.9, "reset": "zero"},
    "wait": {"wait": 3},
    "signed": {"signed": True},
}
"""Neuron options that differ from the defaults, by name."""


def build(
    topology: str,
    style: Style,
    *,
    seed: int = 0,
    neuron: Mapping[str, Any] | None = None,
    encode: type[Encode] = EncodeDirect,
    lowered: bool = False,
) -> Graph:
    """The graph of a topology; the options are those of `NetBuilder`."""
    write, shape = TOPOLOGIES[topology]
    net = NetBuilder(style, shape, seed, neuron=neuron, encode=encode, lowered=lowered)
    return net.finish(write(net))


def ann_cases(seed: int = 0) -> tuple[Case, ...]:
    """Every topology as an ANN, and again with only the ops that both stages have."""
    plain = (Case(name, build(name, Style.ANN, seed=seed)) for name in TOPOLOGIES)
    return (*plain, *lowered_ann_cases(seed))


def lowered_ann_cases(seed: int = 0) -> tuple[Case, ...]:
    """Every topology as an ANN in which only activations are left to replace."""
    return tuple(
        Case(f"{name}-lowered", build(name, Style.ANN, seed=seed, lowered=True))
        for name in TOPOLOGIES
    )


def snn_cases(seed: int = 0) -> tuple[Case, ...]:
    """Every topology as a spiking network with real parameters, and every kind of neuron.

    In those called `-lowered` all thresholds are 1, as after `activations-to-neurons`.
    """
    fresh = (
        Case(case.name, build(name, Style.SNN, seed=seed, lowered=True), case.graph)
        for name, case in zip(TOPOLOGIES, lowered_ann_cases(seed), strict=True)
    )
    return (*_spiking(Style.SNN, seed), *fresh)


def quantized_cases(seed: int = 0) -> tuple[Case, ...]:
    """Every topology with integer parameters, every kind of neuron, every encoder."""
    encoded = (
        Case(
            f"plain-{kind.code_class.name}",
            build("plain", Style.QUANTIZED, seed=seed, encode=kind),
        )
        for kind in (EncodePoisson, EncodeLatency)
    )
    return (*_spiking(Style.QUANTIZED, seed), *encoded)


def _spiking(style: Style, seed: int) -> Iterator[Case]:
    for name in TOPOLOGIES:
        ann = build(name, Style.ANN, seed=seed, lowered=True)
        yield Case(name, build(name, style, seed=seed), ann)
    for kind, options in NEURONS.items():
        name = "plain" if options.get("signed") else "residual"
        graph = build(name, style, seed=seed, neuron=options)
        yield Case(f"{name}-{kind}", graph, build(name, Style.ANN, seed=seed, lowered=True))


def sample_inputs(graph: Graph, count: int, seed: int = 0) -> NDArray[np.float32]:
    """`count` random inputs of `graph`, (N, *shape) float32 in [0, 1)."""
    shape = graph.type_of(graph.input).shape
    return np.random.default_rng(seed).random((count, *shape), dtype=np.float32)


def linear_layer(weights: NDArray[np.integer[Any]], *, lo: int = 0, hi: int = 1) -> Graph:
    """A Linear (K, C) of integers on the input, rounded to lo..hi, and a readout of its sums."""
    graph = Graph(Stage.SNN)
    graph.add("x", Input(shape=(weights.shape[1],)))
    graph.add("encode", EncodeDirect(scale=1.0, lo=lo, hi=hi), ["x"])
    graph.add("fc", Linear(weight=graph.set_param("w", weights)), ["encode"])
    graph.outputs = (graph.add("out", Readout(), ["fc"]),)
    return graph
