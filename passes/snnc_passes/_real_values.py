"""Refusal of integer graphs by passes that need real values."""

from __future__ import annotations

import numpy as np

from snnc.errors import PassError
from snnc.ir import Graph


def refuse_integers(graph: Graph, name: str) -> None:
    """Raise `PassError` for a graph of integers; `name` is the pass that does not support it."""
    for node in graph.nodes:
        arrays = [graph.params[ref.name] for ref in node.op.refs().values()]
        if any(np.issubdtype(array.dtype, np.integer) for array in arrays):
            raise PassError(
                f"{node.name} at {node.loc} is quantised already",
                hint=f"put {name} before quantize",
            )
