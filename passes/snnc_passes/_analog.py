"""What an `ann` graph says about its values: which are the bare input, which cannot be negative."""

from __future__ import annotations

import numpy as np

from snnc.ir import Graph, MaxPool, Rearrange, Relu, Scale
from snnc.ir.walk import single_user_chain


def before_encode(graph: Graph) -> tuple[str, ...]:
    """The input and the one-user chain behind it up to its last max pool.

    These stay in front of the encoder; usually this is the input alone.
    """
    chain = list(single_user_chain(graph, graph.input, Rearrange, MaxPool))
    while len(chain) > 1 and not isinstance(graph.node(chain[-1]).op, MaxPool):
        chain.pop()
    return tuple(chain)


def never_negative(graph: Graph) -> set[str]:
    """Names of the nodes of an `ann` graph whose values cannot be negative, whatever the input."""
    found: set[str] = set()
    for node in graph.nodes:
        sources = graph.inputs_of(node.name)
        inherits = bool(sources) and all(source in found for source in sources)
        keeps = node.op.keeps_sign or (isinstance(node.op, Scale) and _positive(graph, node.op))
        if isinstance(node.op, Relu) or (keeps and inherits):
            found.add(node.name)
    return found


def _positive(graph: Graph, op: Scale) -> bool:
    values = [op.factor] if op.bias is None else [op.factor, op.bias]
    return all(bool(np.all(np.asarray(graph.array(value), np.float64) >= 0)) for value in values)
