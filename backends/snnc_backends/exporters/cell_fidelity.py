"""What the cells of a crossbar can hold of a network."""

from __future__ import annotations

import numpy as np

from snnc.exporter import Fidelity, NodeFidelity
from snnc.ir import Graph, Node, Weighted
from snnc.target import Diagnostic
from snnc_backends.crossbar import CrossbarBackend


def cell_fidelity(graph: Graph, target: CrossbarBackend) -> list[NodeFidelity]:
    """Per node: weighted layers need integers that fit; what has no weights takes no cells."""
    problems = {each.node: each for each in target.check(graph)}
    return [_fidelity(graph, node, problems.get(node.name)) for node in graph.nodes]


def _fidelity(graph: Graph, node: Node, problem: Diagnostic | None) -> NodeFidelity:
    place = (node.op.mnemonic, node.name, node.loc)
    if isinstance(node.op, Weighted):
        if not np.issubdtype(graph.array(node.op.weight).dtype, np.integer):
            remedy = "end the pipeline with quantize"
            return NodeFidelity(*place, Fidelity.REFUSED, "cells hold integers", remedy)
        if problem is not None:
            return NodeFidelity(*place, Fidelity.REFUSED, problem.reason, problem.remedy)
    return NodeFidelity(*place, Fidelity.EXACT)
