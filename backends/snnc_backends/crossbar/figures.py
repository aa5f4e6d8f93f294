"""Static figures of a mapped network: tiles, cells, utilisation, lower bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from math import prod
from typing import Any

from snnc.ir import CountMaxPool, Graph
from snnc_backends.crossbar.chip import Chip
from snnc_backends.crossbar.cost_files import CostFiles
from snnc_backends.crossbar.matrices import WeightMatrix
from snnc_backends.crossbar.tiling import Tile

NOTES = (
    "not modelled yet: read noise, drift and faults of cells, ADC resolution, wire resistance",
    "neurons, factors, pooling, biases and readouts are digital and take no tile",
)
COUNTERS = "max pools of spikes are digital counters beside the tiles"
COUNTED = ("counters", "comparisons")
"""Figures of `count_maxpools` that the totals have, too."""
GROUPED = "grouped convolutions take tiles of their own for every group: most of these are empty"


def figures(
    layers: Sequence[WeightMatrix],
    placed: Sequence[Tile],
    chip: Chip,
    graph: Graph,
    costed: CostFiles,
) -> dict[str, Any]:
    """The content of `crossbar/figures.json`, in the form that `snnc.target.Backend` defines.

    Per layer and in all (docs/crossbar.md): `cells_used` = rows * physical columns, both columns of
    a pair and weights that are zero included; `utilisation` = cells used / cells of the tiles;
    `area_bound_tiles` = ceil(cells used / cells of a tile); `count_maxpools`, the digital counters
    of max pools, if there are any; `placement`, the content of `placement.json`.
    """
    rows = {matrix.layer: _layer(matrix, placed, chip) for matrix in layers}
    used = sum(matrix.weights.size for matrix in layers) * len(chip.columns)
    pools = count_maxpools(graph)
    counted = {k: sum(p[k] for p in pools.values()) for k in COUNTED} if pools else {}
    grouped = [GROUPED] if any(matrix.groups > 1 for matrix in layers) else []
    return {
        "totals": {
            "tiles": len(placed),
            "split_formula_tiles": sum(row["split_formula_tiles"] for row in rows.values()),
            **_use(used, len(placed), chip),
            "weights": sum(matrix.weights.size for matrix in layers),
            **counted,
            **_placed(costed),
        },
        "layers": rows,
        "tiles": [asdict(tile) for tile in placed],
        "tile_shape": [chip.rows, chip.cols],
        **({"count_maxpools": pools} if pools else {}),
        **({} if costed.placement is None else {"placement": costed.placement}),
        "notes": [*NOTES, *costed.notes, *grouped, *([COUNTERS] if pools else [])],
    }


def _placed(costed: CostFiles) -> dict[str, Any]:
    """The totals of a placement: cores, hops, the greatest lower bound, the optimum if known."""
    found = costed.placement
    if found is None:
        return {}
    bound = max(number for name, number in found.items() if name.startswith("bound_"))
    totals = {"cores": len(found["cores"]), "hops": found["hops"], "hops_bound": bound}
    best = found["hops_optimum"]
    return totals if best is None else {**totals, "hops_optimum": best}


def count_maxpools(graph: Graph) -> dict[str, dict[str, int]]:
    """Per CountMaxPool with a state, the digital unit that it takes beside the tiles (S25).

    `counters`: one for every input and one for every window; `levels`: most a counter grows in a
    step, so that it has T * levels + 1 values; `comparisons`: of two counts, in one step.
    """
    units: dict[str, dict[str, int]] = {}
    for node in graph.nodes:
        kind = graph.type_of(node.name)
        if not isinstance(node.op, CountMaxPool) or kind.constant_in_time:
            continue
        inputs = graph.type_of(node.inputs[0]).size
        sizes = [sum(stop - start for start, stop in axis) for axis in node.op.windows]
        covered = kind.shape[0] * prod(sizes)
        units[node.name] = {
            "counters": inputs + kind.size,
            "levels": kind.levels,
            "comparisons": covered - kind.size,
        }
    return units


def _layer(matrix: WeightMatrix, placed: Sequence[Tile], chip: Chip) -> dict[str, int | float]:
    k = len(chip.columns)
    own = sum(tile.layer == matrix.layer for tile in placed)
    return {
        "groups": matrix.groups,
        "matrix_rows": matrix.rows,
        "matrix_cols": matrix.outputs,
        "physical_cols": matrix.outputs * k,
        "row_blocks": -(-matrix.rows // chip.rows),
        "column_blocks": -(-matrix.outputs // chip.outputs_per_tile),
        "tiles": own,
        "split_formula_tiles": split_formula(matrix, chip),
        **_use(matrix.weights.size * k, own, chip),
    }


def split_formula(matrix: WeightMatrix, chip: Chip) -> int:
    """groups * ceil(r / rows) * ceil(c / cols'), counted in cells.

    c = outputs * columns of a weight; cols' is cols rounded down to a multiple of these columns,
    since a weight is not cut in two: equal to cols for every power of two.
    """
    k = len(chip.columns)
    usable_cols = chip.cols // k * k
    return matrix.groups * -(-matrix.rows // chip.rows) * -(-matrix.outputs * k // usable_cols)


def _use(used: int, count: int, chip: Chip) -> dict[str, int | float]:
    cells = chip.rows * chip.cols
    return {
        "area_bound_tiles": -(-used // cells),
        "cells_used": used,
        "cells": count * cells,
        "utilisation": used / (count * cells) if count else 0.0,
    }
