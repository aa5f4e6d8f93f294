"""What the cores of a mapped network send to each other, element by element.

A core that holds a row block needs the events of its rows. Of every event one packet goes to each
core that needs it and is not the event's own, however many tiles and layers need it there. Where
the row blocks of an output lie in several cores, sums are sent to the core of the first block;
where branches are added, they are sent to the core of the first one: of events the events, of a
current a packet per value and step. The encoded input is not sent from core to core, and copies of
a layer are taken to lie where the first one does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snnc.ir import Add, AnyNeuron, Graph, Node, Pool, Rearrange, Scale, Weighted
from snnc_backends.crossbar.mapping.layer_shapes import LayerShape
from snnc_backends.crossbar.mapping.tiling import Part

Numbers = NDArray[np.int32]
NOWHERE = -1
"""Core of the encoded input and of padding; number of what sends no events."""


class Spikes(NamedTuple):
    """Events that a core needs for a layer and has not got for another one.

    Attributes:
        layer: the weighted layer or sum of branches.
        target: the core.
        elements: (n,) numbers of the elements that fire.
        cores: (n,) from where, never `target`.
    """

    layer: str
    target: int
    elements: Numbers
    cores: Numbers


class Sums(NamedTuple):
    """Sums of a layer, or currents of a branch: `values` packets in each of `steps` steps."""

    layer: str
    core: int
    target: int
    values: int
    steps: int


class Fires(NamedTuple):
    """A node whose elements fire.

    Attributes:
        node: a population or a pool.
        first: number of its first element; the others follow, in row-major order.
        cores: (size,), where each of them lies.
        pooled: of a pool, numbers of the elements that it pools, in the shape of its input.
    """

    node: Node
    first: int
    cores: Numbers
    pooled: Numbers | None


Packets = Spikes | Sums | Fires


def packets(
    graph: Graph, shapes: Sequence[LayerShape], core_of: Mapping[int, int], timesteps: int
) -> Iterator[Packets]:
    """All that is sent, in graph order; a `Fires` is before what its elements send.

    Args:
        core_of: per tile its core, 0..cores-1.
    """
    walk = _Walk(graph, shapes, core_of, timesteps)
    for node in graph.nodes:
        yield from walk.visit(node)


class _Walk:
    """Per node and element, its core and its number; both of a sample.

    Nodes that feed several layers are numbered first: only of these is it kept who has them.
    """

    def __init__(
        self,
        graph: Graph,
        shapes: Sequence[LayerShape],
        core_of: Mapping[int, int],
        timesteps: int,
    ) -> None:
        self.graph, self.timesteps, self.core_of = graph, timesteps, core_of
        self.shapes = {shape.layer: shape for shape in shapes}
        self.cores = max(core_of.values(), default=-1) + 1
        self.core: dict[str, Numbers] = {}
        self.number: dict[str, Numbers] = {}
        needs = [n for node in graph.nodes for n in _needed(node)]
        uses = Counter(n for name in needs for n in _firing(graph, name))
        self.shared = {name for name, count in uses.items() if count > 1}
        self.few = sum(graph.type_of(name).size for name in self.shared)
        self.next = {True: 0, False: self.few}
        self.told: dict[int, NDArray[np.bool_]] = {}

    def visit(self, node: Node) -> Iterator[Packets]:
        op, kind = node.op, self.graph.type_of(node.name)
        number = _filled(NOWHERE, kind.shape)
        if isinstance(op, Weighted):
            shape = self.shapes[node.name]
            home = self._home(shape)
            yield from self._spikes(shape)
            yield from self._sums(shape, home)
            core = np.broadcast_to(home.reshape(-1, *(1 for _ in kind.shape[1:])), kind.shape)
        elif not node.inputs:
            core = _filled(NOWHERE, kind.shape)
        elif isinstance(op, Rearrange):
            core = op.move([self.core[n] for n in node.inputs], NOWHERE)
            number = op.move([self.number[n] for n in node.inputs], NOWHERE)
        elif isinstance(op, Pool):
            channels = self.core[node.inputs[0]].reshape(kind.shape[0], -1).max(1)
            core = np.broadcast_to(channels[:, *(None for _ in kind.shape[1:])], kind.shape)
        else:
            core = self.core[node.inputs[0]]
            if isinstance(op, Add):
                yield from self._branches(node)
            elif isinstance(op, Scale):
                number = self.number[node.inputs[0]]
        if fires(node):
            number = self._numbered(node)
            pooled = self.number[node.inputs[0]] if isinstance(op, Pool) else None
            yield Fires(node, int(number.flat[0]), core.reshape(-1), pooled)
        self.core[node.name], self.number[node.name] = core, number

    def _numbered(self, node: Node) -> Numbers:
        kind, shared = self.graph.type_of(node.name), node.name in self.shared
        first = self.next[shared]
        self.next[shared] += kind.size
        return np.arange(first, first + kind.size, dtype=np.int32).reshape(kind.shape)

    def _spikes(self, shape: LayerShape) -> Iterator[Spikes]:
        taps = int(np.prod(shape.matrix.kernel)) if shape.matrix.kernel else 1
        channels = shape.matrix.groups * (shape.matrix.rows // taps)
        needed: dict[int, NDArray[np.bool_]] = {}
        for each in shape.parts:
            rows = needed.setdefault(self.core_of[each.tile], np.zeros(channels, bool))
            rows[_rows(shape, each.part) // taps] = True
        core = self.core[shape.source].reshape(channels, -1)
        number = self.number[shape.source].reshape(channels, -1)
        for target, rows in sorted(needed.items()):
            own, wanted = core[rows].reshape(-1), number[rows].reshape(-1)
            sent = (own != target) & (own != NOWHERE)
            elements, cores = wanted[sent], own[sent]
            new = self._new(target, elements)
            if new.any():
                yield Spikes(shape.layer, target, elements[new], cores[new])

    def _new(self, target: int, elements: Numbers) -> NDArray[np.bool_]:
        """Which of the elements the core `target` has not got for another layer."""
        low = elements < self.few
        if not low.any():
            return ~low
        told = self.told.setdefault(target, np.zeros(self.few, bool))
        new = ~low
        new[low] = ~told[elements[low]]
        told[elements[low]] = True
        return new

    def _home(self, shape: LayerShape) -> Numbers:
        """Per output channel, the core of the first row block."""
        home = np.full(shape.matrix.groups * shape.matrix.all_outputs, NOWHERE, np.int32)
        for each in sorted(shape.parts, key=lambda p: (-p.part.first_row, -p.tile)):
            home[_outputs(shape, each.part)] = self.core_of[each.tile]
        return home

    def _sums(self, shape: LayerShape, home: Numbers) -> Iterator[Sums]:
        """From every other core with row blocks of an output, one sum a step and position."""
        sent: set[tuple[int, int, int]] = set()
        for each in shape.parts:
            outputs = _outputs(shape, each.part)
            first = int(outputs[0])
            own, target = self.core_of[each.tile], int(home[first])
            if own == target or (own, target, first) in sent:
                continue
            sent.add((own, target, first))
            yield Sums(shape.layer, own, target, len(outputs) * shape.positions, shape.steps)

    def _branches(self, node: Node) -> Iterator[Spikes | Sums]:
        """All branches of a sum to the core of the first one."""
        target = self.core[node.inputs[0]].reshape(-1)
        for name in node.inputs[1:]:
            core, number = self.core[name].reshape(-1), self.number[name].reshape(-1)
            moved = (core != target) & (core != NOWHERE) & (target != NOWHERE)
            fired, flowed = moved & (number != NOWHERE), moved & (number == NOWHERE)
            for other in np.unique(target[fired]).tolist():
                sent = fired & (target == other)
                sent[sent] = self._new(other, number[sent])
                yield Spikes(node.name, other, number[sent], core[sent])
            steps = 1 if self.graph.type_of(name).constant_in_time else self.timesteps
            pairs = Counter(zip(core[flowed].tolist(), target[flowed].tolist(), strict=True))
            for (own, other), values in pairs.items():
                yield Sums(node.name, own, other, values, steps)


def fires(node: Node) -> bool:
    """Whether the elements of a node send events; pools of currents do not send them anywhere."""
    return isinstance(node.op, AnyNeuron | Pool)


def _needed(node: Node) -> tuple[str, ...]:
    """The inputs whose events are sent to the core of a node."""
    if isinstance(node.op, Weighted):
        return node.inputs
    return node.inputs[1:] if isinstance(node.op, Add) else ()


def _firing(graph: Graph, name: str) -> set[str]:
    """The nodes whose events `name` is a rearrangement of, with factors or without."""
    node = graph.node(name)
    if isinstance(node.op, Rearrange | Scale):
        return set().union(*(_firing(graph, source) for source in node.inputs))
    return {name} if fires(node) else set()


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


def _filled(value: int, shape: tuple[int, ...]) -> NDArray[Any]:
    """An array of one value, which takes no memory."""
    return np.broadcast_to(np.asarray(value, np.int32), shape)
