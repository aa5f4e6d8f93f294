"""A convolution of a spike train that is computed by events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod

import torch
from torch import Tensor

from snnc.interp.ops import Constant
from snnc.ir import AnyNeuron, Conv, Graph, Scale, SumPool
from snnc.training.event_conv import EventConv, has_event_code
from snnc_passes._spike_train import SpikeTrain

MOST_ADDITIONS = 0.4
"""Largest share of a convolution's products for which additions by events are faster."""
FEWEST_CHANNELS = 64
"""Fewest output channels for which they are."""
COUNTED = 64
"""Samples whose spikes tell the density of a train."""


@dataclass(frozen=True)
class Spikes:
    """Spikes of a population times `gain`, a number or (C,), summed over the windows of a pool."""

    population: str
    gain: Tensor
    pool: tuple[int, int] = (1, 1)


@dataclass(frozen=True)
class EventLayer:
    """A convolution, and the spike train before it."""

    train: SpikeTrain
    conv: EventConv

    def __call__(self, rows: slice, steps: slice) -> Tensor:
        """(T, n, *shape) values of some samples and steps."""
        return self.conv(self.train.events[:, rows], range(self.train.steps)[steps])


def event_layer(
    graph: Graph, name: str, constant: Constant, trains: Mapping[str, SpikeTrain]
) -> EventLayer | None:
    """A convolution as a layer of events; None if it is not one or its spikes are too many.

    Args:
        graph: an `snn` graph.
        name: a `Conv`.
        constant: gives the value of a parameter.
        trains: by population.
    """
    node = graph.node(name)
    op = node.op
    assert isinstance(op, Conv)
    weight, bias = constant(op.weight), None if op.bias is None else constant(op.bias)
    spikes = spikes_of(graph, node.inputs[0], constant)
    if spikes is None or not has_event_code(op, weight) or (bias is not None and bias.ndim != 1):
        return None
    train = trains[spikes.population]
    if not train.bits or train.gain is None or train.gain.numel() > weight.shape[1]:
        return None
    places = graph.type_of(name).shape[1:], graph.type_of(node.inputs[0]).shape[1:]
    share = train.density(COUNTED) * prod(spikes.pool) * _inside(op, weight.shape[2:], *places)
    if share > MOST_ADDITIONS or len(weight) < FEWEST_CHANNELS:
        return None
    gain = train.gain.flatten() * spikes.gain
    return EventLayer(train, EventConv.of(op, weight, bias, gain, spikes.pool))


def spikes_of(graph: Graph, name: str, constant: Constant) -> Spikes | None:
    """The value of a node as spikes of a population, if it is that.

    Args:
        graph: an `snn` graph.
        name: the node.
        constant: gives the value of a parameter.
    """
    node = graph.node(name)
    if isinstance(node.op, AnyNeuron):
        return Spikes(name, torch.ones(()))
    if not isinstance(node.op, Scale | SumPool):
        return None
    before = spikes_of(graph, node.inputs[0], constant)
    if before is None:
        return None
    if isinstance(node.op, Scale):
        factor = constant(node.op.factor)
        plain = node.op.bias is None and factor.ndim < 2
        return replace(before, gain=before.gain * factor) if plain else None
    pool = _tiles(node.op, graph.type_of(node.inputs[0]).shape[1:])
    return replace(before, pool=pool) if pool and before.pool == (1, 1) else None


def _tiles(op: SumPool, image: tuple[int, ...]) -> tuple[int, int] | None:
    """The size of windows that tile an image and are summed once; None for others."""
    if len(op.windows) != 2 or any(m != 1 for axis in op.multiplicities() for m in axis):
        return None
    down, across = (axis[0][1] - axis[0][0] for axis in op.windows)
    for axis, size, side in zip(op.windows, image, (down, across), strict=True):
        if tuple(axis) != tuple((i, i + side) for i in range(0, size, side)) or size % side:
            return None
    return down, across


def _inside(
    op: Conv, kernel: tuple[int, ...], result: tuple[int, ...], image: tuple[int, ...]
) -> float:
    """The share of a convolution's products that are not with its padding."""
    share = 1.0
    for axis, (side, places, size) in enumerate(zip(kernel, result, image, strict=True)):
        stride, dilation, before = op.stride[axis], op.dilation[axis], op.padding[axis][0]
        taps = [p * stride + k * dilation - before for p in range(places) for k in range(side)]
        share *= sum(0 <= place < size for place in taps) / len(taps)
    return share
