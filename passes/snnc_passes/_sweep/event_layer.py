"""A convolution or linear layer of a spike train that is computed by events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod

import torch
from torch import Tensor

from snnc.interp.ops import Constant
from snnc.ir import AnyNeuron, Conv, Graph, Linear, Reshape, Scale, SumPool
from snnc.training.event_conv import EventConv, has_event_code
from snnc_passes._sweep.spike_train import SpikeTrain

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
    """A layer of a sample of some shape, as a convolution, and the spike train before it."""

    train: SpikeTrain
    conv: EventConv
    shape: tuple[int, ...]

    def __call__(self, rows: slice, steps: slice) -> Tensor:
        """(T, n, *shape) values of some samples and steps."""
        events = self.train.events[:, rows]
        images = events if events.ndim == 5 else events[..., None, None]
        values = self.conv(images, range(self.train.steps)[steps])
        return values if len(self.shape) == 3 else values.flatten(2)


def event_layer(
    graph: Graph, name: str, constant: Constant, trains: Mapping[str, SpikeTrain]
) -> EventLayer | None:
    """A layer as one of events; None if it cannot be one or its spikes are too many.

    A `Linear` is a convolution of one position, with a kernel of the size of the image.

    Args:
        graph: an `snn` graph.
        name: a `Conv` or `Linear`.
        constant: gives the value of a parameter.
        trains: by population.
    """
    node, source = graph.node(name), _images(graph, name)
    op, weight = node.op, constant(node.op.refs()["weight"])
    assert isinstance(op, Conv | Linear)
    image = graph.type_of(source).shape
    if isinstance(op, Linear):
        weight = weight.reshape(-1, *(*image, 1, 1)[:3])
        op = Conv(weight=op.weight, bias=op.bias)
    spikes, bias = spikes_of(graph, source, constant), op.bias and constant(op.bias)
    if spikes is None or not has_event_code(op, weight) or (bias is not None and bias.ndim != 1):
        return None
    train = trains[spikes.population]
    if not train.bits or train.gain is None or train.gain.numel() > weight.shape[1]:
        return None
    shape = graph.type_of(name).shape
    places = (*shape, 1, 1)[1:3], (*image, 1, 1)[1:3]
    share = train.density(COUNTED) * prod(spikes.pool) * _inside(op, weight.shape[2:], *places)
    if share > MOST_ADDITIONS or len(weight) < FEWEST_CHANNELS:
        return None
    gain = train.gain.flatten() * spikes.gain
    return EventLayer(train, EventConv.of(op, weight, bias, gain, spikes.pool), shape)


def _images(graph: Graph, name: str) -> str:
    """The node that a layer reads; that of images of which a `Linear` reads all elements."""
    node = graph.node(name)
    (source,) = node.inputs
    before = graph.node(source)
    flat = isinstance(node.op, Linear) and isinstance(before.op, Reshape)
    return before.inputs[0] if flat and len(graph.type_of(before.inputs[0]).shape) == 3 else source


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
