"""Packets between the cores of a mapped network.

A core that holds a row block needs the events of its rows. Of every spike one packet goes to each
core that needs it and is not the spike's own, however many tiles need it there. Where the row
blocks of an output lie in several cores, sums are sent to the core of the first block; where
branches are added, currents are sent to the core of the first one: a packet per value and step.
The encoded input is not sent from core to core, and copies of a layer are taken to lie where the
first one does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.ir import Add, AnyNeuron, CountMaxPool, Encode, Graph, Node, Pool, Rearrange, Weighted
from snnc_backends.crossbar.mapping.layer_shapes import LayerShape
from snnc_backends.crossbar.mapping.tiling import Part

NOWHERE = -1
"""Core of the encoded input, and of padding."""


@dataclass(frozen=True)
class Traffic:
    """Packets of an inference.

    Attributes:
        layers: per weighted layer and sum of branches, (cores, cores): packets sent to it, from the
            core of the row to that of the column. The diagonal is zero.
        spikes, sums: packets that carry a spike; those that carry a sum or a current.
    """

    cores: int
    layers: Mapping[str, NDArray[np.float64]]
    spikes: float
    sums: float

    @property
    def total(self) -> NDArray[np.float64]:
        """(cores, cores), of all layers."""
        return sum(self.layers.values(), np.zeros((self.cores, self.cores)))


def traffic(
    graph: Graph,
    shapes: Sequence[LayerShape],
    core_of: Mapping[int, int],
    events: Mapping[str, float],
    timesteps: int,
) -> Traffic:
    """The packets of an inference.

    Args:
        core_of: per tile its core, 0..cores-1.
        events: per population, spiking encoder and pool of counts, its events in an inference.
    """
    return _Counted(graph, shapes, core_of, events, timesteps).traffic()


class _Counted:
    """The packets while the graph is walked; per node the core and the events of every element."""

    def __init__(
        self,
        graph: Graph,
        shapes: Sequence[LayerShape],
        core_of: Mapping[int, int],
        events: Mapping[str, float],
        timesteps: int,
    ) -> None:
        self.graph, self.events, self.timesteps, self.core_of = graph, events, timesteps, core_of
        self.shapes = {shape.layer: shape for shape in shapes}
        self.cores = max(core_of.values(), default=-1) + 1
        self.core: dict[str, NDArray[np.int64]] = {}
        self.fired: dict[str, NDArray[np.float64]] = {}
        self.layers: dict[str, NDArray[np.float64]] = {}
        self.spikes = self.sums = 0.0

    def traffic(self) -> Traffic:
        for node in self.graph.nodes:
            self._visit(node)
        return Traffic(self.cores, self.layers, self.spikes, self.sums)

    def _visit(self, node: Node) -> None:
        op, kind = node.op, self.graph.type_of(node.name)
        if isinstance(op, Weighted):
            core, fired = self._weighted(node), _filled(0.0, kind.shape)
        elif not node.inputs:
            core, fired = _filled(NOWHERE, kind.shape), _filled(0.0, kind.shape)
        elif isinstance(op, Rearrange):
            core = op.move([self.core[n] for n in node.inputs], NOWHERE)
            fired = op.move([self.fired[n] for n in node.inputs], 0)
        elif isinstance(op, Pool):
            core, fired = self._pooled(node)
        else:
            if isinstance(op, Add):
                self._gather(node)
            core, fired = self.core[node.inputs[0]], self.fired[node.inputs[0]]
        if isinstance(op, AnyNeuron | Encode | CountMaxPool):
            mean = self.events.get(node.name, 0.0) / max(1, kind.size)
            fired = _filled(mean, kind.shape)
        self.core[node.name], self.fired[node.name] = core, fired

    def _pooled(self, node: Node) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """At a core of the channel's elements, with the mean events of the channel."""
        (source,) = node.inputs
        shape = self.graph.type_of(node.name).shape
        spatial = tuple(range(1, len(shape)))
        core = self.core[source].reshape(shape[0], -1).max(1)
        mean = self.fired[source].mean(axis=spatial)
        ratio = self.fired[source].size / max(1, int(np.prod(shape)))
        widen = (slice(None), *(None for _ in spatial))
        return (
            np.broadcast_to(core[widen], shape),
            np.broadcast_to((mean * ratio)[widen], shape),
        )

    def _flow(self, name: str) -> NDArray[np.float64]:
        return self.layers.setdefault(name, np.zeros((self.cores, self.cores)))

    def _weighted(self, node: Node) -> NDArray[np.int64]:
        """Send the spikes and the partial sums of a layer; the cores of its results."""
        shape = self.shapes[node.name]
        flow = self._flow(node.name)
        taps = int(np.prod(shape.matrix.kernel)) if shape.matrix.kernel else 1
        channels = shape.matrix.groups * (shape.matrix.rows // taps)
        needed = np.zeros((self.cores, channels), bool)
        for each in shape.parts:
            needed[self.core_of[each.tile], _rows(shape, each.part) // taps] = True
        core = self.core[shape.source].reshape(channels, -1)
        fired = self.fired[shape.source].reshape(channels, -1)
        self.spikes += _send(flow, core, fired, needed)
        home = self._home(shape)
        self._send_sums(flow, shape, home)
        result = self.graph.type_of(node.name).shape
        return np.broadcast_to(home.reshape(-1, *(1 for _ in result[1:])), result)

    def _home(self, shape: LayerShape) -> NDArray[np.int64]:
        """Per output channel, the core of the first row block."""
        home = np.full(shape.matrix.groups * shape.matrix.all_outputs, NOWHERE)
        for each in sorted(shape.parts, key=lambda p: (-p.part.first_row, -p.tile)):
            home[_outputs(shape, each.part)] = self.core_of[each.tile]
        return home

    def _send_sums(
        self, flow: NDArray[np.float64], shape: LayerShape, home: NDArray[np.int64]
    ) -> None:
        """From every other core with row blocks of an output, one sum a step and position."""
        sent: set[tuple[int, int, int]] = set()
        for each in shape.parts:
            outputs = _outputs(shape, each.part)
            first = int(outputs[0])
            own, target = self.core_of[each.tile], int(home[first])
            if own == target or (own, target, first) in sent:
                continue
            sent.add((own, target, first))
            packets = float(len(outputs) * shape.positions * shape.steps)
            flow[own, target] += packets
            self.sums += packets

    def _gather(self, node: Node) -> None:
        """Send the currents of all branches of a sum to the core of the first one."""
        flow = self._flow(node.name)
        target = self.core[node.inputs[0]].ravel()
        for name in node.inputs[1:]:
            source = self.core[name].ravel()
            steps = 1 if self.graph.type_of(name).constant_in_time else self.timesteps
            moved = (source != target) & (source != NOWHERE) & (target != NOWHERE)
            np.add.at(flow, (source[moved], target[moved]), float(steps))
            self.sums += float(moved.sum()) * steps


def _rows(shape: LayerShape, part: Part) -> NDArray[np.int64]:
    """The rows of all groups' matrices, one group behind the other, that lie in a part."""
    if part.groups == 1:
        own = shape.rows_of[part.group][part.first_row : part.first_row + part.rows]
        return own + part.group * shape.matrix.rows
    groups = range(part.group, part.group + part.groups)
    return np.concatenate([shape.rows_of[g] + g * shape.matrix.rows for g in groups])


def _outputs(shape: LayerShape, part: Part) -> NDArray[np.int64]:
    """The channels of the result that a part has columns of."""
    matrix = shape.matrix
    own = matrix.places[part.first_output : part.first_output + part.outputs]
    groups = np.arange(part.group, part.group + part.groups)[:, None]
    return (groups * matrix.all_outputs + own).ravel()


def _filled(value: float, shape: tuple[int, ...]) -> NDArray[Any]:
    """An array of one value, which takes no memory."""
    return np.broadcast_to(np.asarray(value), shape)


def _send(
    flow: NDArray[np.float64],
    core: NDArray[np.int64],
    fired: NDArray[np.float64],
    needed: NDArray[np.bool_],
) -> float:
    """Add one packet per event and core that needs it, but the event's own; how many.

    Args:
        core, fired: (channels, elements of a channel): of each element its core and its events.
        needed: (cores, channels).
    """
    before = flow.sum()
    for source in np.unique(core[core != NOWHERE]):
        sent = needed @ np.where(core == source, fired, 0.0).sum(1)
        sent[source] = 0
        flow[source] += sent
    return float(flow.sum() - before)
