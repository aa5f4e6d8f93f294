"""The cost of an inference on a target's own hardware, with the arithmetic proxy beside it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from snnc.artifact import ArtifactFile
from snnc.cost import Costed, Inference, expected_cost, inference, pooled
from snnc.ir import Graph
from snnc.pipeline import parse_one
from snnc.plugins import BACKENDS, Registry
from snnc.target import Record, RunResult

if TYPE_CHECKING:
    from snnc.analysis import Evaluation

PROXY = "arithmetic_45nm_proxy_pj"
"""The estimate of `snnc.analysis.energy`, which is part of no other figure."""


class RunCost:
    """The cost of an inference, from the counts of one batch after another."""

    def __init__(self, artifact: ArtifactFile, graph: Graph) -> None:
        self._artifact, self._graph = artifact, graph
        self._told = isinstance(_backend(artifact), Costed)
        self._runs, self._samples = list[Inference](), list[int]()

    def recorded(self, wanted: Record) -> Record:
        """What a run has to record for it, besides what is wanted."""
        return "counts" if self._told and wanted == "none" else wanted

    def add(self, run: RunResult) -> None:
        """Take the counts of a batch."""
        if self._told:
            self._runs.append(inference(run))
            self._samples.append(len(run.output))

    def stats(self) -> dict[str, Any]:
        """It as `cost`; nothing where the target does not tell it. Raises `ArtifactError`."""
        if not self._told:
            return {}
        run = pooled(self._runs, self._samples)
        cost = measured_cost(self._artifact, self._graph, run)
        return {} if cost is None else {"cost": cost}


def measured_cost(artifact: ArtifactFile, graph: Graph, run: Inference) -> dict[str, Any] | None:
    """The cost of an inference with the counts of a run; None for a target that tells none.

    Raises `ArtifactError`.
    """
    backend = _backend(artifact)
    if not isinstance(backend, Costed):
        return None
    return _with_proxy(backend.cost(artifact, run), graph)


def evaluated(evaluation: Evaluation) -> Inference:
    """The mean counts of an evaluation."""
    activity = {
        node: {key: number / evaluation.samples for key, number in counted.items()}
        for node, counted in evaluation.activity.items()
    }
    return Inference(evaluation.windows[-1].timesteps, activity, evaluation.events)


def _backend(artifact: ArtifactFile) -> Any:
    return parse_one(artifact.manifest["target"], Registry(BACKENDS))


def cost_of_compilation(
    names: Collection[str], read: Callable[[str], bytes], target: str, graph: Graph
) -> dict[str, Any] | None:
    """The cost that a target expects, or None; arguments as `snnc.cost.expected_cost`."""
    return _with_proxy(expected_cost(names, read, target), graph)


def _with_proxy(cost: Mapping[str, Any] | None, graph: Graph) -> dict[str, Any] | None:
    """A cost with the arithmetic proxy of every layer and of all, a figure of its own."""
    if cost is None:
        return None
    from snnc.analysis import energy_of_layers

    rates = {node.name: _rate(cost.get("events", {}), graph, node.name) for node in graph}
    proxy = energy_of_layers(graph, rates, cost["timesteps"])
    layers: dict[str, Any] = {
        node: {**row, PROXY: proxy[node]} if node in proxy else row
        for node, row in cost["layers"].items()
    }
    return {**cost, PROXY: sum(proxy.values()), "layers": layers}


def _rate(events: Mapping[str, float], graph: Graph, name: str) -> float:
    """Events of one element of a node in an inference."""
    return events.get(name, 0.0) / max(1, graph.type_of(name).size)
