"""Writing and reading the files of a mapped network."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

from snnc.errors import GraphError
from snnc.graph_members import read_graph
from snnc.ir import Graph
from snnc.target import FIGURES, Artifact
from snnc.transform import PassContext
from snnc_backends.crossbar.chip import Chip
from snnc_backends.crossbar.cores import DoesNotFit
from snnc_backends.crossbar.cost.files import FOLDER, MAPPING, CostOptions, cost_files
from snnc_backends.crossbar.figures import figures
from snnc_backends.crossbar.mapping.digital import digital_units
from snnc_backends.crossbar.mapping.mapping import Layout, layout
from snnc_backends.crossbar.mapping.tiling import Part, placed_rows


def lower(
    graph: Graph, chip: Chip, costs: CostOptions, ctx: PassContext, adc_range: str
) -> dict[str, bytes]:
    """All files: the mapping of an integer graph's weights to tiles, figures, converters' ranges,
    placement, cost.

    `mapping.json` has every part of a tile and the columns of a weight. Levels and conductances of
    the cells follow from it and the weights of the stored graph, and are in no file.

    Raises:
        GraphError: the graph is not quantised, or the chip is too small.
        UsageError: a file of `costs` cannot be used, or its mesh is too small.
    """
    if not graph.quantized:
        raise GraphError("a crossbar holds integers", hint="end the pipeline with quantize")
    try:
        mapped = layout(graph, chip, ctx.timesteps)
    except DoesNotFit as error:
        raise GraphError(f"the network does not fit: {error}") from None
    costed = cost_files(graph, mapped, costs, ctx)
    files = {
        MAPPING: _json(_mapping(mapped, graph)),
        f"{FOLDER}/{FIGURES}": _json(figures(mapped, graph, costed)),
        **costed.files,
    }
    if chip.converter.bits is None:
        return files
    from snnc_backends.crossbar.reading.ranges import MEMBER, chosen_ranges, written

    return {**files, MEMBER: written(chosen_ranges(graph, mapped.layers, chip, ctx, adc_range))}


def stored_graph(artifact: Artifact) -> Graph:
    """The graph that the tiles run. Raises `ArtifactError`.

    It is that of the artifact. In format 1 a network of real values was stored as it was, and
    the integers that were made of it in the folder of the target.
    """
    graph = artifact.graph()
    return graph if graph.quantized else read_graph(artifact, FOLDER)


def _mapping(mapped: Layout, graph: Graph) -> dict[str, Any]:
    """The parts as a table, which keeps the file small: a layer is its number in `layers`."""
    chip, numbers = mapped.chip, {m.layer: i for i, m in enumerate(mapped.layers)}
    facts, reference = chip.device.facts, chip.code.reference
    return {
        "rows": chip.rows,
        "cols": chip.cols,
        "cell_bits": chip.cell_bits,
        **({} if facts.levels_us is None else {"levels_us": facts.levels_us}),
        "weight_bits": chip.weight_bits,
        **({"partial_sums": chip.partial_sums} if chip.analog_sums else {}),
        "packing": chip.packing,
        "columns_of_a_weight": [column._asdict() for column in chip.code.columns],
        **({"two_sided": True} if chip.code.two_sided else {}),
        "shift": chip.code.shift,
        "reference_column": None if reference is None else reference._asdict(),
        "reference_level": chip.code.reference_level,
        "layers": list(numbers),
        "copies": [mapped.copies[layer] for layer in numbers],
        "unplaced_rows": _unplaced(mapped),
        "unplaced_outputs": {m.layer: list(m.left_out) for m in mapped.layers if m.left_out},
        "columns": ["tile", "top", "left", *(field.name for field in fields(Part))],
        "parts": [
            [*place, numbers[part.layer], *(getattr(part, name) for name in _NUMBERS)]
            for part, place in zip(mapped.parts, mapped.places, strict=True)
        ],
        "core_of_tile": list(mapped.cores),
        "digital": digital_units(graph),
    }


_NUMBERS = tuple(field.name for field in fields(Part) if field.name != "layer")


def _unplaced(mapped: Layout) -> dict[str, list[list[int]]]:
    """Per layer that has them, group by group, rows of the matrix that have no word line."""
    found: dict[str, list[list[int]]] = {}
    for matrix in mapped.layers:
        placed = placed_rows(matrix, mapped.chip)
        if sum(map(len, placed)) < matrix.groups * matrix.rows:
            every = range(matrix.rows)
            found[matrix.layer] = [sorted(set(every) - set(rows.tolist())) for rows in placed]
    return found


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
