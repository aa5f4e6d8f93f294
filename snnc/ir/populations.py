"""Populations and the layers that feed them, grouped by shared scale (docs/semantics.md, S19)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snnc.errors import GraphError
from snnc.ir.elementwise import Add, Scale
from snnc.ir.encode import Encode
from snnc.ir.endpoints import Readout
from snnc.ir.graph import Array, Graph
from snnc.ir.kinds import Maximum, Rearrange, Stateful, Weighted
from snnc.ir.neuron import AnyNeuron
from snnc.ir.node import Node
from snnc.ir.op import Op, broadcast_to_sample
from snnc.ir.pool import SumPool
from snnc.ir.types import Shape, Signal


@dataclass(frozen=True)
class WeightedInput:
    """A layer whose coefficients contribute to the input of a population.

    Attributes:
        name: a Conv, Linear or Scale node that takes events, or a Scale of `only_signs`.
        gain: factor on its result on the way to the population (from sum pools between).
        signs: whether it is a Scale of `only_signs`.
    """

    name: str
    gain: int
    signs: bool = False


@dataclass(frozen=True)
class Group:
    """Populations that share a scale because they share a contributor; usually a single one."""

    populations: tuple[str, ...]
    contributors: tuple[WeightedInput, ...]


def groups(graph: Graph) -> tuple[Group, ...]:
    """All populations of an snn graph by shared scale, in graph order.

    Raises:
        GraphError: a weighted layer takes a current; names the node and its line.
    """
    united: list[Group] = []
    for node in graph.nodes:
        if isinstance(node.op, Readout) or integrates(node.op):
            source = graph.inputs_of(node.name)[0]
            paths = tuple(_reaching(graph, source, 1))
            group = Group((node.name,), _merged(paths, sum))
            united = _united(united, group)
    return tuple(united)


def only_signs(graph: Graph, name: str) -> bool:
    """Whether a node is a Scale of a current with no factors but -1, 0 and 1.

    Its integers are those of the current, with a sign and a bias (S19).
    """
    op = graph.node(name).op
    if not isinstance(op, Scale):
        return False
    (source,) = graph.inputs_of(name)
    current = graph.type_of(source).signal is Signal.CURRENT
    return current and bool(np.isin(graph.array(op.factor), (-1, 0, 1)).all())


def integrates(op: Op) -> bool:
    """Whether an op is a population, which sums a current; other ops with a state take events."""
    return isinstance(op, Stateful) and op.integrates


def _united(existing: Sequence[Group], new: Group) -> list[Group]:
    """Add a group, merged with those that share a contributor with it."""
    names = {c.name for c in new.contributors}
    alike = [g for g in existing if names & {c.name for c in g.contributors}]
    others = [g for g in existing if g not in alike]
    joined = [*alike, new]
    contributors = _merged([c for g in joined for c in g.contributors], max)
    populations = tuple(p for g in joined for p in g.populations)
    return [*others, Group(populations, contributors)]


def _merged(
    layers: Sequence[WeightedInput], gain: Callable[[Sequence[int]], int]
) -> tuple[WeightedInput, ...]:
    """One entry per layer; `gain` combines the gains of its entries."""
    by_name: dict[str, list[WeightedInput]] = {}
    for layer in layers:
        by_name.setdefault(layer.name, []).append(layer)
    return tuple(
        WeightedInput(name, gain([c.gain for c in same]), same[0].signs)
        for name, same in by_name.items()
    )


def _reaching(graph: Graph, name: str, gain: int) -> Iterator[WeightedInput]:
    node = graph.node(name)
    sources = graph.inputs_of(name)
    if graph.type_of(name).signal is not Signal.CURRENT:
        raise GraphError(f"{name} at {node.loc} reaches a population without a weight")
    if only_signs(graph, name):
        yield WeightedInput(name, gain, signs=True)
    elif isinstance(node.op, Weighted | Scale):
        if graph.type_of(sources[0]).signal is Signal.CURRENT:
            raise GraphError(
                f"{name} ({node.op.mnemonic}) at {node.loc} takes the current of {sources[0]}, "
                "not spikes; its integers would have no bound",
                hint="put linear-bottlenecks before activations-to-neurons",
            )
        yield WeightedInput(name, gain)
        return
    if isinstance(node.op, SumPool):
        gain *= node.op.largest_weight()
    elif not isinstance(node.op, Add | Rearrange | Maximum | Scale):
        raise GraphError(f"{name} ({node.op.mnemonic}) at {node.loc} cannot be quantised")
    for source in sources:
        yield from _reaching(graph, source, gain)


def makes_events(node: Node) -> bool:
    """Whether events start at a node."""
    return isinstance(node.op, Encode) or integrates(node.op)


def spike_values(graph: Graph) -> dict[str, NDArray[np.float64]]:
    """Per population of neurons, the value of a spike in the units of the model (S20).

    threshold * unit: (), (C,) or of the sample's shape. Empty for an integer graph without units
    (files of format 1).
    """
    neurons = {node.name: node.op for node in graph if isinstance(node.op, AnyNeuron)}
    if graph.quantized and all(op.unit == 1 for op in neurons.values()):
        return {}
    return {
        name: scaled(graph.array(op.threshold), graph.array(op.unit), graph.type_of(name).shape)
        for name, op in neurons.items()
    }


def scaled(a: Array, b: Array, shape: Shape) -> NDArray[np.float64]:
    """The product of two parameters for a sample of `shape`, broadcast only if shapes differ."""
    wide = [np.asarray(value, np.float64) for value in (a, b)]
    if wide[0].ndim and wide[1].ndim and wide[0].shape != wide[1].shape:
        wide = [np.asarray(broadcast_to_sample(value, shape), np.float64) for value in wide]
    return np.asarray(wide[0] * wide[1])
