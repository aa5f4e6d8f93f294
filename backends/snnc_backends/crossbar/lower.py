"""Writing and reading the files of a mapped network."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from snnc.device import levels_of
from snnc.errors import ArtifactError, GraphError
from snnc.graph_members import read_graph
from snnc.ir import Graph
from snnc.target import FIGURES, Artifact
from snnc_backends.crossbar.cells import weights_of
from snnc_backends.crossbar.chip import Chip
from snnc_backends.crossbar.figures import figures
from snnc_backends.crossbar.matrices import WeightMatrix, matrices
from snnc_backends.crossbar.tiling import Tile, tiles

FOLDER = "crossbar"
MAPPING = f"{FOLDER}/mapping.json"
CONDUCTANCES = f"{FOLDER}/conductances.safetensors"
LEVEL_TOLERANCE = 1e-3
"""How far, in levels, an ideal cell may be off its level: float32 keeps 7 digits."""


def lower(graph: Graph, chip: Chip, rng: np.random.Generator) -> dict[str, bytes]:
    """All files: the mapping of an integer graph's weights to tiles, conductances, figures.

    `mapping.json` has every tile and the columns of a weight; `conductances.safetensors` holds
    per layer `NAME.conductance_us`, (groups, rows, physical columns), in microsiemens, with the
    programming errors of the device drawn from `rng`.

    Raises:
        GraphError: the graph is not quantised.
    """
    import safetensors.numpy

    if not graph.quantized:
        raise GraphError("a crossbar holds integers", hint="end the pipeline with quantize")
    layers = matrices(graph)
    placed = tiles(layers, chip)
    return {
        MAPPING: _json(_mapping(placed, chip)),
        CONDUCTANCES: safetensors.numpy.save(_conductances(layers, chip, rng)),
        f"{FOLDER}/{FIGURES}": _json(figures(layers, placed, chip, graph)),
    }


def stored_graph(artifact: Artifact) -> Graph:
    """The graph that the tiles run. Raises `ArtifactError`.

    It is that of the artifact. In format 1 a network of real values was stored as it was, and
    the integers that were made of it in the folder of the target.
    """
    graph = artifact.graph()
    return graph if graph.quantized else read_graph(artifact, FOLDER)


def programmed(artifact: Artifact, graph: Graph, chip: Chip) -> tuple[WeightMatrix, ...]:
    """The weight matrices of a graph, with the weights that the stored conductances stand for.

    Raises:
        ArtifactError: a layer has none, of another shape, or a cell is on none of its levels.
    """
    import safetensors
    import safetensors.numpy

    try:
        cells: Mapping[str, Any] = safetensors.numpy.load(artifact.read(CONDUCTANCES))
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"{CONDUCTANCES} is damaged: {error}") from None
    return tuple(_as_stored(each, cells, chip) for each in matrices(graph))


def _as_stored(matrix: WeightMatrix, cells: Mapping[str, Any], chip: Chip) -> WeightMatrix:
    """The matrix with the weights of its cells."""
    name = f"{matrix.layer}.conductance_us"
    found = cells.get(name)
    expected = (*matrix.weights.shape[:2], matrix.outputs * len(chip.columns))
    if found is None or found.shape != expected:
        shape = "is missing" if found is None else f"has shape {found.shape}, not {expected}"
        raise ArtifactError(f"{CONDUCTANCES}: {name} {shape}")
    levels = levels_of(found, chip.device.facts, chip.largest_level)
    whole = np.rint(levels)
    near = np.abs(levels - whole) <= LEVEL_TOLERANCE
    if not (near & (whole >= 0) & (whole <= chip.largest_level)).all():
        raise ArtifactError(f"{CONDUCTANCES}: a cell of {name} is on no level: damaged")
    weights = weights_of(whole.astype(np.int64), chip.columns)
    return replace(matrix, weights=weights)


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
