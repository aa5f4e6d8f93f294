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
from snnc_backends.crossbar.figures import figures
from snnc_backends.crossbar.matrices import matrices
from snnc_backends.crossbar.tiling import Tile, tiles

FOLDER = "crossbar"
MAPPING = f"{FOLDER}/mapping.json"


def lower(graph: Graph, chip: Chip, ctx: PassContext, adc_range: str) -> dict[str, bytes]:
    """All files: the mapping of an integer graph's weights to tiles, figures, converters' ranges.

    `mapping.json` has every tile and the columns of a weight. Levels and conductances of the cells
    follow from it and the weights of the stored graph, and are in no file.

    Raises:
        GraphError: the graph is not quantised.
    """
    if not graph.quantized:
        raise GraphError("a crossbar holds integers", hint="end the pipeline with quantize")
    layers = matrices(graph)
    placed = tiles(layers, chip)
    files = {
        MAPPING: _json(_mapping(placed, chip)),
        f"{FOLDER}/{FIGURES}": _json(figures(layers, placed, chip, graph)),
    }
    if chip.converter.bits is None:
        return files
    from snnc_backends.crossbar.ranges import MEMBER, chosen_ranges, written

    return {**files, MEMBER: written(chosen_ranges(graph, layers, chip, ctx, adc_range))}


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
