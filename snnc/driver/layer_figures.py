"""Figures of every layer of a program, for a report, and the real thresholds they need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.analysis import AnnStage, measure_layers, spike_values
from snnc.ir import Graph
from snnc.target import Artifact, Program
from snnc.transform import AfterPass, Batches, Progress, silent

SPIKE_VALUES = "spike_values"
"""Key of an artifact's info: the real thresholds behind its integers."""


class RealThresholds:
    """Keeps the thresholds of the last real-valued spiking graph; called after each pass.

    An integer graph does not keep the scale of its integers. What a spike stands for is therefore
    read before the graph is quantised.

    Args:
        then: called after each pass too, or None.
    """

    def __init__(self, then: AfterPass | None = None) -> None:
        self._then = then
        self.values: dict[str, NDArray[np.generic]] = {}

    def __call__(self, number: int, name: str, graph: Graph) -> None:
        """Keep the thresholds of the graph that a pass gave, if they are real."""
        self.values = spike_values(graph) or self.values
        if self._then is not None:
            self._then(number, name, graph)

    def info(self, graph: Graph) -> dict[str, Any]:
        """The thresholds for an artifact's info; empty if `graph` itself is real-valued."""
        if spike_values(graph):
            return {}
        small = {name: array.tolist() for name, array in self.values.items() if array.ndim <= 1}
        return {SPIKE_VALUES: small} if small else {}


def layer_figures(
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
    """Rates and errors of each layer on the first samples: the report's key `observed`.

    Args:
        kind: what the data is for, e.g. "calibration".
        ann: of stage `ann`, or None to compare with nothing.
        values: see `AnnStage.spike_values`.
    """
    stage = None if ann is None else AnnStage(ann, values)
    figures = measure_layers(
        program, graph, data, timesteps=timesteps, ann=stage, seed=seed, progress=progress
    )
    return {"data": kind, **figures}


def values_of(artifact: Artifact, graph: Graph) -> dict[str, NDArray[np.generic]]:
    """What a spike of each population of an artifact stands for, as far as it is known."""
    own = spike_values(graph)
    kept = artifact.manifest["info"].get(SPIKE_VALUES) or {}
    return own or {name: np.asarray(value, np.float64) for name, value in kept.items()}
