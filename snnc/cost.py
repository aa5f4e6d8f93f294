"""The cost of an inference on a target's hardware: what backends tell, and from what counts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from snnc.target import Artifact, RunResult, json_member

COST = "cost.json"
"""Name, in the backend's folder, of the member with the cost that it expects; see `Costed`."""


@dataclass(frozen=True)
class Inference:
    """Mean counts of one inference.

    Attributes:
        timesteps: the window T.
        activity: the counters of the target, by node, as in `RunResult.stats["activity"]`.
        events: spikes of either sign over the window, by node, as in `RunResult.counts`.
    """

    timesteps: int
    activity: Mapping[str, Mapping[str, float]]
    events: Mapping[str, float]


def inference(run: RunResult) -> Inference:
    """The mean counts of a run that recorded them."""
    samples = len(run.output)
    activity = {
        node: {name: number / samples for name, number in counted.items()}
        for node, counted in run.stats.get("activity", {}).items()
    }
    events = {node: float(counts.sum()) / samples for node, counts in run.counts.items()}
    return Inference(run.timesteps, activity, events)


def pooled(runs: Sequence[Inference], samples: Sequence[int]) -> Inference:
    """The mean counts of runs of a network together, each of so many samples."""
    parts = [(run, number / sum(samples)) for run, number in zip(runs, samples, strict=True)]
    activity = {
        node: {
            name: sum(run.activity[node][name] * part for run, part in parts) for name in counted
        }
        for node, counted in runs[0].activity.items()
    }
    events = {node: sum(run.events[node] * part for run, part in parts) for node in runs[0].events}
    return Inference(runs[0].timesteps, activity, events)


@runtime_checkable
class Costed(Protocol):
    """A backend that tells the energy, time and area of an inference on its hardware.

    What it expects when it compiles, it writes as a member `<name>/cost.json`, of the same form.
    """

    def cost(self, artifact: Artifact, run: Inference) -> Mapping[str, Any] | None:
        """The cost of an inference with these counts, keys as in docs/report.md; None for none.

        Raises `ArtifactError`.
        """
        ...


def expected_cost(
    names: Collection[str], read: Callable[[str], bytes], target: str
) -> dict[str, Any] | None:
    """The cost of an inference as a target expected it, or None if it wrote none.

    Arguments and errors are those of `snnc.target.figures_of`.
    """
    return json_member(COST, names, read, target)
