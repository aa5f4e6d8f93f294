"""The figures of a mapped network: tiles, cells, utilisation, lower bounds, the pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from snnc.ir import Graph
from snnc_backends.crossbar.chip import Chip
from snnc_backends.crossbar.cost.files import CostFiles
from snnc_backends.crossbar.level_errors import level_error_note
from snnc_backends.crossbar.mapping.bounds import area_bound
from snnc_backends.crossbar.mapping.digital import count_maxpools, digital_units
from snnc_backends.crossbar.mapping.mapping import Layout
from snnc_backends.crossbar.mapping.matrices import WeightMatrix
from snnc_backends.crossbar.mapping.tiling import placed_rows

DIGITAL = "neurons, factors, pooling, biases and readouts are digital and take no tile"
COUNTERS = "max pools of spikes are digital counters beside the tiles"
COUNTED = ("counters", "comparisons")
"""Figures of `count_maxpools` that the totals have, too."""
GROUPED = (
    "grouped convolutions take tiles of their own for every group: most of these are empty; "
    "packing=groups puts groups together"
)


def figures(mapped: Layout, graph: Graph, costed: CostFiles) -> dict[str, Any]:
    """The content of `crossbar/figures.json`, in the form that `snnc.target.Backend` defines.

    Its keys are defined in docs/crossbar.md. Cells count with both columns of a pair, reference
    columns and weights that are zero; rows that are not placed do not.
    """
    chip, layers = mapped.chip, mapped.layers
    tiles = _tiles_of_layers(mapped)
    rows = {m.layer: _layer(m, mapped, len(tiles[m.layer])) for m in layers}
    pools = count_maxpools(graph)
    counted = {k: sum(p[k] for p in pools.values()) for k in COUNTED} if pools else {}
    alone = chip.packing == "none" and any(matrix.groups > 1 for matrix in layers)
    return {
        "totals": {
            "tiles": mapped.tiles,
            "split_formula_tiles": sum(row["split_formula_tiles"] for row in rows.values()),
            **_use(sum(_cells_used(m, mapped) for m in layers), mapped.tiles, chip),
            **{f"{name}_bound_tiles": bound for name, bound in mapped.bounds.items()},
            "weights": sum(m.groups * m.rows * m.all_outputs for m in layers),
            "period": mapped.period,
            **({"cores": max(mapped.cores, default=-1) + 1} if chip.cores.given else {}),
            **counted,
            **_placed_cores(costed),
        },
        "layers": rows,
        "tiles": _drawn(mapped),
        "tile_shape": [chip.rows, chip.cols],
        "digital": digital_units(graph),
        **({"count_maxpools": pools} if pools else {}),
        **({} if costed.placement is None else {"placement": costed.placement}),
        "notes": [
            DIGITAL,
            *level_error_note(chip),
            *costed.notes,
            *([GROUPED] if alone else []),
            *([] if chip.packing != "none" else _without_weights(layers)),
            *([COUNTERS] if pools else []),
        ],
    }


def _without_weights(layers: Sequence[WeightMatrix]) -> list[str]:
    """What takes cells without having a weight, where nothing is left out."""
    rows = sum(m.groups * m.rows - int(m.used_rows.sum()) for m in layers)
    outputs = sum(m.groups * (m.outputs - int(m.used_outputs.sum())) for m in layers)
    if not rows and not outputs:
        return []
    return [f"{rows} rows and {outputs} outputs have no weight: packing=groups leaves them out"]


def _placed_cores(costed: CostFiles) -> dict[str, Any]:
    """The totals of a placement: cores, hops, the greatest lower bound, the optimum if known."""
    found = costed.placement
    if found is None:
        return {}
    bound = max(number for name, number in found.items() if name.startswith("bound_"))
    totals = {"cores": len(found["cores"]), "hops": found["hops"], "hops_bound": bound}
    best = found["hops_optimum"]
    return totals if best is None else {**totals, "hops_optimum": best}


def _tiles_of_layers(mapped: Layout) -> dict[str, set[int]]:
    tiles: dict[str, set[int]] = {matrix.layer: set() for matrix in mapped.layers}
    for part, place in zip(mapped.parts, mapped.places, strict=True):
        tiles[part.layer].add(place.tile)
    return tiles


def _layer(matrix: WeightMatrix, mapped: Layout, own: int) -> dict[str, int | float]:
    chip, copies = mapped.chip, mapped.copies[matrix.layer]
    code, stage = chip.matrix(matrix.all_outputs), mapped.stages[matrix.layer]
    return {
        "groups": matrix.groups,
        "matrix_rows": matrix.rows,
        "matrix_cols": matrix.all_outputs,
        "physical_cols": code.physical,
        "row_blocks": -(-matrix.rows // chip.rows),
        "column_blocks": code.tiles,
        "tiles": own,
        "split_formula_tiles": split_formula(matrix, chip),
        **_use(_cells_used(matrix, mapped), own, chip),
        "unplaced_rows": matrix.groups * matrix.rows - _placed(matrix, chip),
        "unplaced_outputs": matrix.groups * len(matrix.left_out),
        "windows": stage.windows,
        "copies": copies,
        "period": stage.period(copies),
    }


def _placed(matrix: WeightMatrix, chip: Chip) -> int:
    return sum(map(len, placed_rows(matrix, chip)))


def _cells_used(matrix: WeightMatrix, mapped: Layout) -> int:
    """Of all copies: rows that are placed times physical columns, group by group."""
    columns = mapped.chip.matrix(matrix.outputs).physical
    return mapped.copies[matrix.layer] * _placed(matrix, mapped.chip) * columns


def split_formula(matrix: WeightMatrix, chip: Chip) -> int:
    """groups * ceil(r / rows) * ceil(c / cols'), counted in cells.

    c = outputs * columns of a weight; cols' is cols, less a reference column, rounded down to a
    multiple of these columns, since a weight is not cut in two: equal to cols for every power of
    two without a reference.
    """
    k = len(chip.code.columns)
    usable_cols = chip.outputs_per_tile * k
    return matrix.groups * -(-matrix.rows // chip.rows) * -(-matrix.all_outputs * k // usable_cols)


def _use(used: int, count: int, chip: Chip) -> dict[str, int | float]:
    cells = chip.rows * chip.cols
    return {
        "area_bound_tiles": area_bound(used, (chip.rows, chip.cols)),
        "cells_used": used,
        "cells": count * cells,
        "utilisation": used / (count * cells) if count else 0.0,
    }


def _drawn(mapped: Layout) -> list[dict[str, Any]]:
    """Every part, as `snnc.target.Backend` defines it; `top` and `left` where tiles are shared."""
    shared = mapped.chip.packing in ("disjoint", "time-multiplexed")
    return [
        {
            "tile": place.tile,
            "layer": part.layer,
            "rows": part.rows,
            "cols": part.cols,
            "first_row": part.first_row,
            "first_col": part.first_col,
            **({"top": place.top, "left": place.left} if shared else {}),
        }
        for part, place in zip(mapped.parts, mapped.places, strict=True)
    ]
