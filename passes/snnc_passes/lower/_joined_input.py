"""Concatenations of the input of the network with activations, in front of a layer."""

from __future__ import annotations

from snnc.ir import Concat, Graph, Node, Pool, Rearrange, Scale
from snnc.ir.walk import ancestors

MOVING = (Pool, Rearrange, Scale)


def input_beside_others(graph: Graph, join: Node) -> list[int]:
    """The ports of a concatenation that hold the input, where others hold something else.

    The integers of the input and spikes stand for amounts of different size: a weight of few bits
    cannot serve both.
    """
    if not isinstance(join.op, Concat):
        return []
    held = [_makers(graph, source) for source in join.inputs]
    ports = [port for port, makers in enumerate(held) if makers == {graph.input}]
    return ports if len(ports) < len(held) else []


def _makers(graph: Graph, name: str) -> set[str]:
    """The nodes whose values a node holds, moved and scaled."""
    if not isinstance(graph.node(name).op, MOVING):
        return {name}
    found = ancestors(graph, name, until=lambda node: not isinstance(node.op, MOVING))
    return {maker for maker in found if not isinstance(graph.node(maker).op, MOVING)}
