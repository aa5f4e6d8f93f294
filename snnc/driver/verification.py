"""Verify: an artifact's target against the reference, spike for spike."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from snnc.analysis import Comparison
from snnc.analysis import compare as compare_programs
from snnc.artifact import ArtifactContent, ArtifactFile, open_artifact
from snnc.driver.artifacts import limited, open_program, window_to_run
from snnc.driver.inputs import open_batches, size_of
from snnc.errors import ArtifactError
from snnc.graph_members import GRAPH, read_graph
from snnc.ir import Encode, Graph
from snnc.options import Data
from snnc.pipeline import parse_one
from snnc.plugins import BACKENDS, Registry
from snnc.target import Backend, Program, why_inexact
from snnc.transform import Batches, Progress, silent

REFERENCE = "reference"
RANDOM_INPUTS = 16


def verify_artifact(
    path: str | Path,
    *,
    data: Data | None = None,
    timesteps: int | None = None,
    limit: int | None = None,
    seed: int = 0,
    progress: Progress = silent,
    log: logging.Logger | None = None,
) -> Comparison:
    """Compare the artifact's target with the reference, on its stored graph.

    Args:
        data: inputs; None for seeded random ones in the range of the encoder.
        limit: number of samples; None for all.

    Raises:
        ArtifactError: damaged (checksums are compared), or no program.
    """
    artifact = open_artifact(path)
    artifact.check()
    program = open_program(artifact)
    target = str(artifact.manifest["target"])
    backend = parse_one(target, Registry(BACKENDS))
    graph = promised_graph(artifact, backend)
    window = window_to_run(timesteps, program, graph)
    batches = _batches(data, graph, limit, seed, log)
    return compare_programs(
        program,
        _reference(graph),
        graph,
        batches,
        timesteps=window,
        target=target,
        legalize=str(artifact.manifest["info"].get("legalize") or ""),
        inexact=why_inexact(backend),
        seed=seed,
        progress=progress,
        total=size_of(batches),
    )


def _reference(graph: Graph) -> Program:
    return parse_one(REFERENCE, Registry(BACKENDS)).load(ArtifactContent(network=graph))


def _batches(
    data: Data | None, graph: Graph, limit: int | None, seed: int, log: logging.Logger | None
) -> Batches:
    """The first samples of `data`; random ones for None."""
    inputs = random_inputs(graph, RANDOM_INPUTS, seed) if data is None else data
    return limited(open_batches(inputs, "data", graph.type_of(graph.input).shape, log=log), limit)


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


def random_inputs(graph: Graph, count: int, seed: int) -> NDArray[np.float32]:
    """`count` samples, uniform over the range of the encoder; over [0, 1) if it has none."""
    low, high = 0.0, 1.0
    for node in graph:
        if isinstance(node.op, Encode) and node.op.scale is not None:
            low, high = node.op.lo * node.op.scale, node.op.hi * node.op.scale
    shape = (count, *graph.type_of(graph.input).shape)
    uniform = np.random.default_rng(seed).random(shape, dtype=np.float32)
    return (low + (high - low) * uniform).astype(np.float32)
