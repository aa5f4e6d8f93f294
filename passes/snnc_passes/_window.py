"""The window of a spiking graph, and the waits of its populations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from snnc.early_exit import EARLY_EXIT
from snnc.ir import AnyNeuron, Encode, Graph


def prefixes_are_runs(graph: Graph) -> bool:
    """Whether the first t steps of a run equal a run with a window of t."""
    ops: list[Any] = [node.op for node in graph.nodes]
    waits = any(isinstance(op, AnyNeuron) and op.wait for op in ops)
    return not waits and not any(isinstance(op, Encode) and not op.code_class.prefix for op in ops)


def longest_wait(graph: Graph) -> int:
    """The largest `wait` of all populations, 0 without populations."""
    return max((n.op.wait for n in graph.nodes if isinstance(n.op, AnyNeuron)), default=0)


def with_window(graph: Graph, timesteps: int, wait: int) -> Graph:
    """A copy for another window, in which populations wait at most `wait` steps."""
    twin = graph.clone()
    for node in twin.nodes:
        if isinstance(node.op, AnyNeuron) and node.op.wait > wait:
            twin.replace_op(node.name, replace(node.op, wait=wait))
    if timesteps != twin.meta.get("timesteps"):
        twin.meta["timesteps"] = timesteps
        twin.meta.pop(EARLY_EXIT, None)  # it was calibrated for another window
    return twin
