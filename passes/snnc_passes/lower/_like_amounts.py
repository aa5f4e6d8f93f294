"""Layers of one integer scale take events that stand for amounts of like size."""

from __future__ import annotations

from collections.abc import Iterator

from snnc.ir import (
    Add,
    Concat,
    Graph,
    Identity,
    Input,
    Node,
    Pool,
    Rearrange,
    Relu,
    Scale,
    SumPool,
    Weighted,
)
from snnc.ir.walk import ancestors, descendants

MOVING = (Pool, Rearrange, Scale)
INPUT_LEVELS = 255
"""Largest integer of an encoded image."""
RATIO = 16
"""How many times as many events per step one of two layers may get; it loses log2 of it in bits."""

Edge = tuple[str, int]
"""A node and one of its ports."""


def activate_many_events(graph: Graph) -> int:
    """Put linear activations behind the input and large pools, where a scale also serves spikes.

    What is summed into one population, or concatenated before one layer, shares integers of one
    scale (S19). Up to 255 events of the input a step, or as many as a pool takes, stand for a small
    amount each, of which weights of few bits would be rounded to 0 beside those of a spike.

    Returns:
        The number of activations that were put in.
    """
    added = 0
    for node in graph.nodes:
        events = _events(graph)
        edges = {edge: events.get(_source(graph, edge), 0) for edge in _sharing(graph, node)}
        least = min((count for count in edges.values() if count), default=0)
        many = [edge for edge, count in edges.items() if count > RATIO * least]
        for user, port in many:
            source = _source(graph, (user, port))
            graph.insert_before(user, port, graph.fresh(f"{source}.spikes"), Identity())
        added += len(many)
    return added


def _source(graph: Graph, edge: Edge) -> str:
    name, port = edge
    return graph.inputs_of(name)[port]


def _events(graph: Graph) -> dict[str, int]:
    """Per node that holds events, the most of one step; nodes with currents are left out."""
    events: dict[str, int] = {}
    for node in graph.nodes:
        sources = [events.get(source, 0) for source in node.inputs]
        if isinstance(node.op, Input):
            events[node.name] = INPUT_LEVELS
        elif isinstance(node.op, Relu | Identity):
            events[node.name] = 1
        elif isinstance(node.op, MOVING) and all(sources):
            pooled = node.op.largest_weight() if isinstance(node.op, SumPool) else 1
            events[node.name] = max(sources) * pooled
    return events


def _sharing(graph: Graph, node: Node) -> list[Edge]:
    """Edges whose events are weighted in integers of one scale, as far as `node` says."""
    if isinstance(node.op, Concat) and _leads_to_layer(graph, node):
        return [(node.name, port) for port in range(len(node.inputs))]
    if isinstance(node.op, Relu | Identity):
        return list(_layers(graph, node.inputs[0]))
    return list(_layers(graph, node.name)) if node.name in graph.outputs else []


def _layers(graph: Graph, name: str) -> Iterator[Edge]:
    """The inputs of the weighted layers that are summed into the current `name`."""

    def sums(node: Node) -> bool:
        return isinstance(node.op, (Add, *MOVING))

    behind = ancestors(graph, name, until=lambda node: not sums(node))
    found = (*behind, name) if sums(graph.node(name)) else (name,)
    yield from ((each, 0) for each in found if isinstance(graph.node(each).op, Weighted))


def _leads_to_layer(graph: Graph, node: Node) -> bool:
    behind = descendants(graph, node.name, until=lambda n: not isinstance(n.op, MOVING))
    return any(isinstance(graph.node(name).op, Weighted) for name in behind)
