"""Properties of values of an `ann` graph: the raw input, and values that cannot be negative."""

from __future__ import annotations

import numpy as np

from snnc.ir import Graph, MaxPool, Rearrange, Relu, Scale
from snnc.ir.walk import single_user_chain


def before_encode(graph: Graph) -> tuple[str, ...]:
    """The nodes before the encoder: the input and the single-user chain up to its last max pool.

    Without a max pool in that chain it is the input alone.
    """
    chain = list(single_user_chain(graph, graph.input, Rearrange, MaxPool))
    while len(chain) > 1 and not isinstance(graph.node(chain[-1]).op, MaxPool):
        chain.pop()
    return tuple(chain)


def never_negative(graph: Graph) -> set[str]:
    """Names of the nodes of an `ann` graph whose values are nonnegative for every input."""
    nonnegative: set[str] = set()
    for node in graph.nodes:
        sources = graph.inputs_of(node.name)
        inherits = bool(sources) and all(source in nonnegative for source in sources)
        keeps = node.op.keeps_sign or (isinstance(node.op, Scale) and _positive(graph, node.op))
        if isinstance(node.op, Relu) or (keeps and inherits):
            nonnegative.add(node.name)
    return nonnegative


def _positive(graph: Graph, op: Scale) -> bool:
    values = [op.factor] if op.bias is None else [op.factor, op.bias]
    return all(bool(np.all(np.asarray(graph.array(value), np.float64) >= 0)) for value in values)
