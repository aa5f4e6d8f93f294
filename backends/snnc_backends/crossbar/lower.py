"""Writing and reading the files of a mapped network."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from snnc.errors import ArtifactError, GraphError
from snnc.ir import Graph, verify
from snnc.ir.json import from_json, to_json
from snnc.target import FIGURES, Artifact
from snnc_backends.crossbar.chip import Chip
from snnc_backends.crossbar.figures import figures
from snnc_backends.crossbar.matrices import WeightMatrix, matrices
from snnc_backends.crossbar.tiling import Tile, tiles

FOLDER = "crossbar"
GRAPH = f"{FOLDER}/graph.json"
TENSORS = f"{FOLDER}/tensors.safetensors"
MAPPING = f"{FOLDER}/mapping.json"
CONDUCTANCES = f"{FOLDER}/conductances.safetensors"


def lower(graph: Graph, chip: Chip, rng: np.random.Generator) -> dict[str, bytes]:
    """All files: the integer graph, the mapping of its weights to tiles, conductances, figures.

    `graph.json` and `tensors.safetensors` are the legalised graph in the form of the artifact's
    own; `mapping.json` has every tile and the columns of a weight; `conductances.safetensors` holds
    per layer `NAME.conductance_us`, (groups, rows, physical columns), in microsiemens, with the
    programming errors of the device drawn from `rng`.
    """
    import safetensors.numpy

    layers = matrices(graph)
    placed = tiles(layers, chip)
    return {
        GRAPH: _json(to_json(graph)),
        TENSORS: safetensors.numpy.save(dict(graph.params)),
        MAPPING: _json(_mapping(placed, chip)),
        CONDUCTANCES: safetensors.numpy.save(_conductances(layers, chip, rng)),
        f"{FOLDER}/{FIGURES}": _json(figures(layers, placed, chip)),
    }


def read_graph(artifact: Artifact) -> Graph:
    """The graph that is run. Raises `ArtifactError`."""
    import safetensors
    import safetensors.numpy

    try:
        structure = json.loads(artifact.read(GRAPH))
        params: Mapping[str, Any] = safetensors.numpy.load(artifact.read(TENSORS))
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"{GRAPH} or {TENSORS} is damaged: {error}") from None
    if not isinstance(structure, dict):
        raise ArtifactError(f"{GRAPH} is not a JSON object")
    try:
        graph = from_json(structure, params)
        verify(graph)
    except GraphError as error:
        raise ArtifactError(f"{GRAPH}: {error.message}") from None
    return graph


def _mapping(placed: Sequence[Tile], chip: Chip) -> dict[str, Any]:
    return {
        "rows": chip.rows,
        "cols": chip.cols,
        "cell_bits": chip.cell_bits,
        "weight_bits": chip.weight_bits,
        "columns_of_a_weight": [column._asdict() for column in chip.columns],
        "tiles": [asdict(tile) for tile in placed],
    }


def _conductances(
    layers: Sequence[WeightMatrix], chip: Chip, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    return {
        f"{matrix.layer}.conductance_us": np.ascontiguousarray(
            chip.conductances_us(matrix.weights, rng)
        )
        for matrix in layers
    }


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
