"""The cost of an inference on a target's own hardware, with the arithmetic proxy beside it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from snnc.analysis import Evaluation, energy_of_layers
from snnc.artifact import ArtifactFile
from snnc.cost import Costed, Inference, expected_cost
from snnc.ir import Graph
from snnc.pipeline import parse_one
from snnc.plugins import BACKENDS, Registry

PROXY = "arithmetic_45nm_proxy_pj"
"""The estimate of `snnc.analysis.energy`, which is part of no other figure."""


def measured_cost(
    artifact: ArtifactFile, graph: Graph, evaluation: Evaluation
) -> dict[str, Any] | None:
    """The cost of an inference with the counts of a run; None for a target that tells none.

    Raises `ArtifactError`.
    """
    backend = parse_one(artifact.manifest["target"], Registry(BACKENDS))
    if not isinstance(backend, Costed):
        return None
    activity = {
        node: {key: number / evaluation.samples for key, number in counted.items()}
        for node, counted in evaluation.activity.items()
    }
    run = Inference(evaluation.windows[-1].timesteps, activity, evaluation.events)
    return _with_proxy(backend.cost(artifact, run), graph)


def cost_of_compilation(
    names: Collection[str], read: Callable[[str], bytes], target: str, graph: Graph
) -> dict[str, Any] | None:
    """The cost that a target expects, or None; arguments as `snnc.cost.expected_cost`."""
    return _with_proxy(expected_cost(names, read, target), graph)


def _with_proxy(cost: Mapping[str, Any] | None, graph: Graph) -> dict[str, Any] | None:
    """A cost with the arithmetic proxy of every layer and of all, a figure of its own."""
    if cost is None:
        return None
    rates = {node.name: _rate(cost.get("events", {}), graph, node.name) for node in graph}
    proxy = energy_of_layers(graph, rates)
    layers: dict[str, Any] = {
        node: {**row, PROXY: proxy[node]} if node in proxy else row
        for node, row in cost["layers"].items()
    }
    return {**cost, PROXY: sum(proxy.values()), "layers": layers}


def _rate(events: Mapping[str, float], graph: Graph, name: str) -> float:
    """Events of one element of a node in an inference."""
    return events.get(name, 0.0) / max(1, graph.type_of(name).size)
