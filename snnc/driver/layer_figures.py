"""Figures of every layer of a program, for a report."""

from __future__ import annotations

from typing import Any

from snnc.analysis import measure_layers
from snnc.ir import Graph
from snnc.target import Program
from snnc.transform import Batches, Progress, silent


def layer_figures(
    program: Program,
    graph: Graph,
    data: Batches,
    kind: str,
    *,
    timesteps: int,
    ann: Graph | None,
    seed: int = 0,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Rates and errors of each layer on the first samples: the report's key `observed`.

    Args:
        kind: what the data is for, e.g. "calibration".
        ann: of stage `ann`, or None to compare with nothing.
    """
    figures = measure_layers(
        program, graph, data, timesteps=timesteps, ann=ann, seed=seed, progress=progress
    )
    return {"data": kind, **figures}
