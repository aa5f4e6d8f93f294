"""Writing and reading the files of a mapped network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from snnc.errors import GraphError
from snnc.graph_members import read_graph
from snnc.ir import Graph
from snnc.target import FIGURES, Artifact
from snnc.transform import PassContext
from snnc_backends.crossbar.chip import Chip
from snnc_backends.crossbar.cost_files import FOLDER, MAPPING, CostOptions, cost_files
from snnc_backends.crossbar.figures import figures
from snnc_backends.crossbar.matrices import matrices
from snnc_backends.crossbar.tiling import Tile, tiles


def lower(graph: Graph, chip: Chip, costs: CostOptions, ctx: PassContext) -> dict[str, bytes]:
    """All files: the mapping of an integer graph's weights to tiles, the figures, placement, cost.

    `mapping.json` has every tile and the columns of a weight. Levels and conductances of the cells
    follow from it and the weights of the stored graph, and are in no file.

    Raises:
        GraphError: the graph is not quantised.
        UsageError: a file of `costs` cannot be used.
    """
    if not graph.quantized:
        raise GraphError("a crossbar holds integers", hint="end the pipeline with quantize")
    layers = matrices(graph)
    placed = tiles(layers, chip)
    costed = cost_files(graph, chip, placed, costs, ctx)
    return {
        MAPPING: _json(_mapping(placed, chip)),
        f"{FOLDER}/{FIGURES}": _json(figures(layers, placed, chip, graph, costed)),
        **costed.files,
    }


def stored_graph(artifact: Artifact) -> Graph:
    """The graph that the tiles run. Raises `ArtifactError`.

    It is that of the artifact. In format 1 a network of real values was stored as it was, and
    the integers that were made of it in the folder of the target.
    """
    graph = artifact.graph()
    return graph if graph.quantized else read_graph(artifact, FOLDER)


def _mapping(placed: Sequence[Tile], chip: Chip) -> dict[str, Any]:
    return {
        "rows": chip.rows,
        "cols": chip.cols,
        "cell_bits": chip.cell_bits,
        "weight_bits": chip.weight_bits,
        "columns_of_a_weight": [column._asdict() for column in chip.columns],
        "tiles": [asdict(tile) for tile in placed],
    }


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
