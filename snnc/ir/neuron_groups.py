"""Groups of neurons that stand for one activation: K populations on one current, and their sum."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import numpy as np

from snnc.ir.graph import Graph
from snnc.ir.neuron import Neuron
from snnc.ir.node import Node
from snnc.ir.op import Op
from snnc.ir.pool import SumPool
from snnc.ir.rearrange import Concat, Reshape
from snnc.ir.walk import single_user_chain


@dataclass(frozen=True)
class NeuronGroup:
    """K populations with one current and one threshold.

    Attributes:
        members: the populations.
        chain: the nodes from their concatenation to the sum of their spikes.
    """

    members: tuple[str, ...]
    chain: tuple[str, ...]

    @property
    def total(self) -> str:
        """The node that holds the sum of their spikes, in the shape of a population."""
        return self.chain[-1]


def sum_of_group(shape: tuple[int, ...], copies: int) -> list[Op]:
    """The ops that add up K populations of `shape`, element by element."""
    if len(shape) == 1:
        axis, lead, rest = 0, 1, shape[0]
    else:
        axis, lead, rest = 1, shape[0], prod(shape[1:])
    windows = (((0, copies),), tuple((i, i + 1) for i in range(rest)))
    return [
        Concat(axis=axis),
        Reshape(shape=(lead, copies, rest)),
        SumPool(windows=windows),
        Reshape(shape=shape),
    ]


def neuron_groups(graph: Graph) -> Iterator[NeuronGroup]:
    """The groups of a graph, in its order."""
    for node in graph.nodes:
        if isinstance(node.op, Concat) and (chain := _chain_of_group(graph, node)):
            yield NeuronGroup(node.inputs, chain)


def _chain_of_group(graph: Graph, node: Node) -> tuple[str, ...]:
    """The nodes from the concatenation of a group to its sum; none if it is no group."""
    members = node.inputs
    first = graph.node(members[0])
    expected = sum_of_group(graph.type_of(first.name).shape, len(members))
    chain = single_user_chain(graph, node.name, Reshape, SumPool)[: len(expected)]
    if [graph.node(name).op for name in chain] != expected or len(set(members)) < len(members):
        return ()
    for member in members:
        op, alike = graph.node(member).op, graph.node(member).inputs == first.inputs
        alone = len(graph.users_of(member)) == 1
        if not (isinstance(op, Neuron) and isinstance(first.op, Neuron) and alike and alone):
            return ()
        if not np.array_equal(graph.array(op.threshold), graph.array(first.op.threshold)):
            return ()
    return chain
