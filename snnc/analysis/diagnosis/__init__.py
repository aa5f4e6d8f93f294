"""Diagnosis: the layers in which a converted network loses accuracy, and the causes."""

from __future__ import annotations

from collections.abc import Collection

from snnc.analysis.diagnosis.measure import Networks, measure
from snnc.analysis.diagnosis.result import Cause, Diagnosis, Finding, LayerError, WindowError
from snnc.analysis.diagnosis.rules import findings
from snnc.errors import DataError
from snnc.ir import CountMaxPool, Graph
from snnc.transform import Batches, Progress, silent

__all__ = [
    "Cause",
    "Diagnosis",
    "Finding",
    "LayerError",
    "Networks",
    "WindowError",
    "diagnose_graphs",
]


def diagnose_graphs(
    snn: Graph,
    ann: Graph,
    model: Graph | None,
    data: Batches,
    timesteps: int,
    *,
    rounded: Graph | None = None,
    passes: Collection[str] = (),
    seed: int = 0,
    progress: Progress = silent,
    total: int | None = None,
) -> Diagnosis:
    """Compare a spiking graph with its ANN layer by layer; see `Networks` for the graphs.

    Args:
        data: batches of (x, y or None); labels are not used.
        timesteps: the window T.
        passes: names of the passes that made the spiking graph, which are not advised again.
        total: number of samples, for the progress bar.

    Raises:
        DataError: no samples, samples of a wrong shape, or a window below one step.
    """
    if timesteps < 1:
        raise DataError(f"a window of {timesteps} steps; it needs at least one")
    networks = Networks(snn, ann, model, rounded)
    measured = measure(networks, data, timesteps, seed=seed, progress=progress, total=total)
    return Diagnosis(
        timesteps=timesteps,
        samples=measured.samples,
        layers=tuple(measured.layers.values()),
        findings=findings(networks, measured, timesteps, passes),
        over_t=measured.over_t,
        rounded=measured.rounded,
        norms=measured.norms,
        stages=measured.stages,
        pools=measured.pools,
        count_pools=tuple(n for n in measured.pools if isinstance(snn.node(n).op, CountMaxPool)),
    )
