"""Observations for a report: which program, on which data, against which ANN."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.analysis import AnnStage, observe, spike_values
from snnc.artifact import ArtifactFile
from snnc.ir import Graph
from snnc.target import Program
from snnc.transform import Batches, Observer, Progress, silent

SPIKE_VALUES = "spike_values"
"""Key of an artifact's info: the real thresholds behind its integers."""


class RealThresholds:
    """An observer that keeps the thresholds of the last real-valued spiking graph.

    Integers are in units of a scale that the graph does not keep; what a spike stands for is only
    known before they are made.

    Args:
        other: another observer, which sees everything too.
    """

    def __init__(self, other: Observer | None = None) -> None:
        self._other = other
        self.values: dict[str, NDArray[np.generic]] = {}

    def __call__(self, number: int, name: str, graph: Graph) -> None:
        """Look at the graph after a pass."""
        self.values = spike_values(graph) or self.values
        if self._other is not None:
            self._other(number, name, graph)

    def info(self, graph: Graph) -> dict[str, Any]:
        """What an artifact of `graph` keeps of them: nothing if the graph itself has them."""
        if spike_values(graph):
            return {}
        small = {name: array.tolist() for name, array in self.values.items() if array.ndim <= 1}
        return {SPIKE_VALUES: small} if small else {}


def observed(
    program: Program,
    graph: Graph,
    data: Batches,
    kind: str,
    *,
    timesteps: int,
    ann: Graph | None,
    values: Mapping[str, NDArray[np.generic]],
    seed: int = 0,
    progress: Progress = silent,
) -> dict[str, Any]:
    """The report's key `observed`; `kind` says what the data is for.

    Args:
        ann: of stage `ann`, or None to compare with nothing.
        values: see `AnnStage.spike_values`.
    """
    stage = None if ann is None else AnnStage(ann, values)
    found = observe(
        program, graph, data, timesteps=timesteps, ann=stage, seed=seed, progress=progress
    )
    return {"data": kind, **found}


def values_of(artifact: ArtifactFile, graph: Graph) -> dict[str, NDArray[np.generic]]:
    """What a spike of each population of an artifact stands for, as far as it is known."""
    own = spike_values(graph)
    kept = artifact.manifest["info"].get(SPIKE_VALUES) or {}
    return own or {name: np.asarray(value, np.float64) for name, value in kept.items()}
