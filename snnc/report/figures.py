"""Static figures of a graph: its layers, their sizes, its latency."""

from __future__ import annotations

from typing import Any

from snnc.ir import AnyNeuron, CountMaxPool, Graph, Input, MaxPool, Node, Signal, Stage
from snnc.ir.walk import longest_path

REPORT_VERSION = 1
"""Version of the documents of `compile` and `eval`; increased when a key changes its meaning."""


def latency_timesteps(graph: Graph, timesteps: int) -> int:
    """Steps from the first input to the output: T plus every `wait` on the longest path."""
    waits = longest_path(graph, lambda node: node.op.wait if isinstance(node.op, AnyNeuron) else 0)
    return timesteps + max((waits[name] for name in graph.outputs), default=0)


def layers(graph: Graph) -> list[dict[str, Any]]:
    """One JSON-able row for every node but the input, in order."""
    return [_layer(graph, node) for node in graph if not isinstance(node.op, Input)]


def totals(graph: Graph) -> dict[str, int]:
    """Number of nodes, neurons and parameters (shared parameters count once)."""
    populations = [node.name for node in graph if isinstance(node.op, AnyNeuron)]
    return {
        "nodes": len(graph),
        "neurons": sum(graph.type_of(name).size for name in populations),
        "parameters": sum(array.size for array in graph.params.values()),
    }


def max_pools(graph: Graph) -> dict[str, int]:
    """Number of max pools of a spiking network by kind: "count" (S25), "or" (S4), of spikes."""
    kinds = {"count": CountMaxPool, "or": MaxPool}
    pooled = [n for n in graph if graph.stage is Stage.SNN and not _is_analog(graph, n)]
    found = {key: sum(isinstance(n.op, op) for n in pooled) for key, op in kinds.items()}
    return {key: number for key, number in found.items() if number}


def _is_analog(graph: Graph, node: Node) -> bool:
    return graph.type_of(node.name).signal is Signal.ANALOG


def _layer(graph: Graph, node: Node) -> dict[str, Any]:
    kind = graph.type_of(node.name)
    refs = {ref.name for ref in node.op.refs().values()}
    arrays = [graph.params[name] for name in sorted(refs)]
    row: dict[str, Any] = {
        "name": node.name,
        "op": node.op.mnemonic,
        "type": str(kind),
        "shape": list(kind.shape),
        "parameters": sum(array.size for array in arrays),
        "parameter_bytes": sum(array.nbytes for array in arrays),
        "location": None if node.loc.file is None else str(node.loc),
        "merged": list(node.origins),
    }
    if isinstance(node.op, AnyNeuron):
        threshold = graph.array(node.op.threshold)
        row["neurons"] = kind.size
        row["threshold"] = [threshold.min().item(), threshold.max().item()]
    if node.name in graph.stats:
        row["stats"] = dict(graph.stats[node.name])
    return row
