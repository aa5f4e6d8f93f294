"""Pruned networks: rows and outputs without weights take no cells, whatever shares the tiles."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from snnc.interp.program import ReferenceProgram
from snnc.ir import Conv, EncodeDirect, Graph, Input, Readout, Stage
from snnc.testing import assert_equal_runs
from snnc.transform import PassContext
from snnc_backends.crossbar import CrossbarBackend
from snnc_backends.crossbar.cells import CELLS
from snnc_backends.crossbar.lower import MAPPING
from snnc_backends.crossbar.mapping.mapping import layout, layout_of
from snnc_backends.crossbar.mapping.matrices import WeightMatrix, placed_matrices
from snnc_backends.crossbar.mapping.replication import Stage as Pipeline
from snnc_backends.crossbar.program import CrossbarProgram
from snnc_backends.crossbar.reading.physical import PhysicalProgram

PACKINGS = ["groups", "disjoint", "time-multiplexed"]


def conv(weight: NDArray[np.integer], groups: int = 1) -> Graph:
    """A convolution of ones and zeros on 4 x 4 pixels, with a bias."""
    graph = Graph(Stage.SNN)
    graph.add("x", Input(shape=(weight.shape[1] * groups, 4, 4)))
    graph.add("encode", EncodeDirect(scale=1.0, hi=1), ["x"])
    bias = np.arange(1, 1 + len(weight), dtype=np.int32)
    op = Conv(
        weight=graph.set_param("w", weight.astype(np.int8)),
        bias=graph.set_param("b", bias),
        groups=groups,
        padding=((1, 1), (1, 1)),
    )
    graph.add("conv", op, ["encode"])
    graph.add("out", Readout(), ["conv"])
    graph.outputs = ("out",)
    return graph


def pruned() -> Graph:
    """20 x 12 x 3 x 3 weights without 2 inputs, the tap (0, 2) and 3 outputs."""
    weight = np.random.default_rng(0).integers(1, 99, (20, 12, 3, 3))
    weight[:, [1, 5]] = weight[[0, 7, 19]] = 0
    weight[:, :, 0, 2] = 0
    return conv(weight)


def shape_of(rows: int, outputs: int, backend: CrossbarBackend) -> int:
    """Tiles of a matrix without zeros."""
    matrix = WeightMatrix("dense", np.ones((1, rows, outputs), np.int8))
    return layout_of([matrix], backend.chip(), {"dense": Pipeline("dense", 1, 1, 1)}).tiles


@pytest.mark.parametrize("packing", PACKINGS)
def test_tiles_of_rows_and_outputs_without_weights_are_free(packing: Any) -> None:
    graph, size = pruned(), {"rows": 40, "cols": 24}
    whole = CrossbarBackend(**size)
    assert layout(graph, whole.chip(), 1).tiles == 3 * 4, "108 rows, 20 outputs"
    notes = json.loads(whole.lower(graph, PassContext())["crossbar/figures.json"])["notes"]
    assert "28 rows and 3 outputs have no weight: packing=groups leaves them out" in notes
    backend = CrossbarBackend(**size, packing=packing)
    mapped = layout(graph, backend.chip(), 1)
    assert mapped.tiles == shape_of(80, 17, backend) <= 2 * 3
    assert sum(part.rows * part.cols for part in mapped.parts) == 80 * 17 * 4
    files = backend.lower(graph, PassContext(timesteps=1))
    mapping = json.loads(files[MAPPING])
    assert mapping["unplaced_outputs"] == {"conv": [0, 7, 19]}
    assert len(mapping["unplaced_rows"]["conv"][0]) == 28
    figures = json.loads(files["crossbar/figures.json"])
    row = figures["layers"]["conv"]
    assert not any("no weight" in note for note in figures["notes"])
    assert (row["unplaced_rows"], row["unplaced_outputs"]) == (28, 3)
    assert (row["matrix_rows"], row["matrix_cols"], row["split_formula_tiles"]) == (108, 20, 12)


@pytest.mark.parametrize("packing", PACKINGS)
def test_groups_without_weights_take_nothing_of_a_diagonal(packing: Any) -> None:
    weight = np.random.default_rng(0).integers(1, 99, (10, 1, 3, 3))
    graph = conv(weight, groups=10)
    backend = CrossbarBackend(rows=40, cols=16, packing=packing)
    assert layout(graph, backend.chip(), 1).tiles == 3
    weight[[0, 3, 4, 9]] = 0
    mapped = layout(conv(weight, groups=10), backend.chip(), 1)
    assert mapped.tiles == 2
    assert sum(part.rows for part in mapped.parts) == 6 * 9
    assert sum(part.cols for part in mapped.parts) == 6 * 4


@pytest.mark.parametrize("cells", CELLS)
@pytest.mark.parametrize("grouped", [False, True])
def test_pruned_layers_compute_what_they_did(cells: str, grouped: bool) -> None:
    weight = np.random.default_rng(1).integers(-99, 99, (12, 1, 3, 3))
    weight[[0, 3, 4, 11]] = 0
    graph = conv(weight, groups=12) if grouped else pruned()
    x = (np.random.default_rng(2).random((3, *graph.node("x").op.shape)) < 0.4).astype("f4")  # type: ignore[attr-defined]
    expected = ReferenceProgram(graph, 2).run(x)
    ideal = CrossbarBackend(rows=40, cols=24, packing="groups", cells=cells)
    run = CrossbarProgram(graph, 2, ideal.chip()).run(x)
    assert_equal_runs(run, expected, "ideal")
    backend = CrossbarBackend(rows=40, cols=24, packing="groups", cells=cells, adc_bits=16)
    chip = backend.chip()
    layers = placed_matrices(graph, chip)
    terms = len(chip.matrix(layers[0].outputs).terms)
    table = {"conv": np.full((-(-80 // 40), terms), 1.0)}  # a code is a level
    if grouped:
        table = {"conv": np.full((1, terms), 1.0)}
    for program in (
        CrossbarProgram(graph, 2, chip, table),
        PhysicalProgram(graph, layers, 2, chip, table),
    ):
        result = program.run(x)
        assert_equal_runs(result, expected, "converters")
        assert result.stats["activity"] == run.stats["activity"]
