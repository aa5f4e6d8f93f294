"""The report of a compilation, and the part of a report that describes an artifact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnc.analysis.diagnosis import Finding
from snnc.artifact import ArtifactContent, ArtifactFile
from snnc.driver.costing import cost_of_compilation
from snnc.driver.exactness import exactness_of
from snnc.driver.model_warnings import in_report
from snnc.ir import Graph
from snnc.pipeline import PipelineResult
from snnc.report import REPORT_VERSION, latency_timesteps, layers, max_pools, totals
from snnc.target import figures_of

if TYPE_CHECKING:
    from snnc.driver.job import Job

CARRIED = ("recipe", "legalize", "calibrated", "calibration", "synthetic")
"""Keys that an artifact's info has from its compilation."""


def compile_report(
    job: Job,
    result: PipelineResult,
    content: ArtifactContent,
    output: str | Path | None,
    seconds: Mapping[str, float],
    warnings: Sequence[Finding] = (),
) -> dict[str, Any]:
    """The report of a compilation, keys as in docs/report.md.

    Args:
        content: what the artifact holds.
        seconds: spent on each part.
    """
    info, window = content.info, window_of(result.graph, job.timesteps)
    return {
        "kind": "compile",
        "report_version": REPORT_VERSION,
        "model": str(job.source),
        "target": content.target,
        "recipe": info["recipe"],
        "pipeline": content.pipeline,
        "legalize": info["legalize"],
        "timesteps": window,
        "latency_timesteps": latency_timesteps(result.graph, window),
        "seed": job.seed,
        "calibrated": info["calibrated"],
        "calibration": info["calibration"],
        "synthetic": info.get("synthetic"),
        "warnings": in_report(warnings),
        "artifact": None if output is None else str(Path(output).resolve()),
        "distributions": dict(content.distributions),
        **totals(result.graph),
        "max_pools": max_pools(result.graph),
        "steps": [{**vars(step), "metrics": dict(step.metrics)} for step in result.steps],
        "seconds": dict(seconds),
        "layers": layers(result.graph),
        **_of_target(content, result.graph),
    }


def _of_target(content: ArtifactContent, graph: Graph) -> dict[str, Any]:
    """What the target tells: its static figures, the cost that it expects, its exactness."""
    own = (content.files, content.read, content.target or "")
    told = {
        "hardware": figures_of(*own),
        "cost": cost_of_compilation(*own, graph),
        "exactness": exactness_of(content.target, graph),
    }
    return {key: found for key, found in told.items() if found is not None}


def window_of(graph: Graph, most: int) -> int:
    """The window T of a compiled graph: `most`, unless a pass has chosen another."""
    return int(graph.meta.get("timesteps", most))


def details(artifact: ArtifactFile, graph: Graph) -> dict[str, Any]:
    """What a report on an artifact says about how it was made and what is in it."""
    info = artifact.manifest["info"]
    facts: dict[str, Any] = {key: info[key] for key in CARRIED if key in info}
    facts["pipeline"] = artifact.manifest["pipeline"]
    facts["distributions"] = artifact.manifest["distributions"]
    facts["parameters"] = totals(graph)["parameters"]
    facts["layers"] = layers(graph)
    target = artifact.manifest["target"] or ""
    hardware = figures_of(artifact.names(), artifact.read, target)
    return facts if hardware is None else {**facts, "hardware": hardware}
