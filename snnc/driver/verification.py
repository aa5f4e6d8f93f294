"""Verify: an artifact's target against the reference, spike for spike."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from snnc.analysis import Comparison, InputKind
from snnc.analysis import compare as compare_programs
from snnc.artifact import ArtifactFile, Samples, open_artifact
from snnc.driver.artifacts import limited
from snnc.driver.inputs import open_batches
from snnc.driver.programs import open_program
from snnc.driver.running import window_to_run
from snnc.driver.sampling import random_inputs, reference_program
from snnc.driver.threads import torch_threads
from snnc.errors import ArtifactError
from snnc.graph_members import GRAPH, read_graph
from snnc.ir import Graph
from snnc.options import Data
from snnc.pipeline import parse_one
from snnc.plugins import BACKENDS, Registry
from snnc.target import Backend, why_inexact
from snnc.transform import Batches, Progress, silent, size_of

RANDOM_INPUTS = 16


def verify_artifact(
    path: str | Path,
    *,
    data: Data | None = None,
    timesteps: int | None = None,
    limit: int | None = None,
    seed: int | None = None,
    threads: int | None = None,
    progress: Progress = silent,
    log: logging.Logger | None = None,
) -> Comparison:
    """Compare the artifact's target with the reference, on its stored graph.

    Args:
        data: inputs; None for those stored in the artifact, whose stored integers are then compared
            too; without any, seeded random ones in the range of the encoder.
        limit: number of samples; None for all.
        seed: of random inputs and spiking encoders; None for the stored one, or 0.
        threads: see `snnc.options.ThreadOptions`.

    Raises:
        ArtifactError: damaged (checksums are compared), or no program.
    """
    artifact = _intact(path)
    program = open_program(artifact, threads=threads)
    backend = parse_one(artifact.manifest["target"], Registry(BACKENDS))
    graph = promised_graph(artifact, backend)
    inputs = _inputs(artifact, graph, data, seed)
    batches = limited(inputs.batches(graph, log), limit)
    window = window_to_run(timesteps, program, graph, log)
    known: dict[str, Any] = {
        "timesteps": window,
        "stored": inputs.stored_for(window == program.timesteps, log),
        "seed": inputs.seed,
        "progress": progress,
        "total": size_of(batches),
    }
    with torch_threads(threads):
        compared = compare_programs(program, reference_program(graph), graph, batches, **known)
    return replace(compared, inputs=inputs.kind, **_about(artifact, backend))


def _intact(path: str | Path) -> ArtifactFile:
    artifact = open_artifact(path)
    artifact.check()
    return artifact


def _about(artifact: ArtifactFile, backend: Backend) -> dict[str, str]:
    """What a comparison says of the target."""
    legalize = str(artifact.manifest["info"].get("legalize") or "")
    target = str(artifact.manifest["target"])
    return {"target": target, "legalize": legalize, "inexact": why_inexact(backend)}


@dataclass(frozen=True)
class _Inputs:
    """What is run.

    Attributes:
        data: the inputs.
        kind: where they come from.
        seed: of spiking encoders.
        stored: what the artifact stores of them.
    """

    data: Data
    kind: InputKind
    seed: int
    stored: Samples | None = None

    def batches(self, graph: Graph, log: logging.Logger | None) -> Batches | None:
        """`data`, checked against the input of the graph. Raises `DataError`."""
        return open_batches(self.data, "data", graph.type_of(graph.input).shape, log=log)

    def stored_for(self, is_own_window: bool, log: logging.Logger | None) -> Samples | None:
        """What is stored, unless it is of another window or seed."""
        if self.stored is None or (is_own_window and self.seed == self.stored.seed):
            return self.stored
        if log is not None:
            log.info("another window or seed than stored: compared with the reference alone")
        return None


def _inputs(artifact: ArtifactFile, graph: Graph, data: Data | None, seed: int | None) -> _Inputs:
    """`data` if it is given, else the stored samples, else random inputs."""
    if data is not None:
        return _Inputs(data, "data", seed or 0)
    stored = artifact.samples()
    if stored is not None:
        return _Inputs(stored.x, "stored", stored.seed if seed is None else seed, stored)
    return _Inputs(random_inputs(graph, RANDOM_INPUTS, seed or 0), "random", seed or 0)


def promised_graph(artifact: ArtifactFile, backend: Backend) -> Graph:
    """The graph whose spikes the target promises: the stored one.

    In format 1 a target could store integers, made from a stored graph of real values, in its
    own folder; for such an artifact this is the integer graph. Raises `ArtifactError`.
    """
    stored = artifact.graph()
    if stored.quantized or f"{backend.name}/{GRAPH}" not in artifact.names():
        return stored
    try:
        own = read_graph(artifact, backend.name)
    except ArtifactError:
        return stored  # a target may call anything of its own graph.json
    return own if own.quantized else stored
