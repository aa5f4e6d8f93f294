"""Mapping of weights to tiles: every weight once, no tile too large, and the figures."""

from __future__ import annotations

import json
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

import snnc
from snnc.device import levels_of
from snnc.ir import Conv, EncodeDirect, Graph, Input, Linear, Readout, Stage
from snnc.target import figures_of
from snnc.testing import (
    assert_exporter_contract,
    linear_layer,
    quantized_cases,
    random_graph,
    snn_cases,
)
from snnc.transform import PassContext
from snnc_backends.crossbar import CrossbarBackend
from snnc_backends.crossbar.cells import CELLS, MatrixCode
from snnc_backends.crossbar.devices.ideal import Ideal
from snnc_backends.crossbar.level_table import level_table
from snnc_backends.crossbar.lower import MAPPING
from snnc_backends.crossbar.mapping.matrices import matrices
from snnc_backends.crossbar.reading.ideal import IdealProgram
from snnc_backends.crossbar.reading.physical import PhysicalProgram
from snnc_backends.exporters.conductances import CONDUCTANCES, ConductancesExporter

TILES = [CrossbarBackend(), CrossbarBackend(rows=5, cols=19, cell_bits=3)]


def mapped(graph: Graph, backend: CrossbarBackend) -> tuple[dict[str, Any], dict[str, Any]]:
    """Mapping and figures."""
    files = backend.lower(graph, PassContext())
    figures = figures_of(files, files.__getitem__, "crossbar")
    assert figures is not None
    return json.loads(files[MAPPING]), figures


def conductances(graph: Graph, backend: CrossbarBackend, folder: Path) -> Any:
    """What is exported."""
    exporter = ConductancesExporter(cell_bits=backend.cell_bits)
    assert list(exporter.export(graph, folder)) == [CONDUCTANCES]
    return safetensors.numpy.load_file(folder / CONDUCTANCES)


def test_exports_of_conductances() -> None:
    assert_exporter_contract(ConductancesExporter(), cases=quantized_cases())
    real = next(case.graph for case in snn_cases() if case.name == "grouped")
    refused = [each for each in ConductancesExporter().check(real) if each.reason]
    assert {each.reason for each in refused} == {"cells hold integers"}
    narrow = ConductancesExporter(weight_bits=2).check(quantized_cases()[0].graph)
    assert any("bits, the target has 2" in each.reason for each in narrow)
    with pytest.raises(ValueError, match="cell-bits must be 1 to 8"):
        ConductancesExporter(cell_bits=9)


@given(
    seed=st.integers(0, 10_000),
    cells=st.sampled_from(list(CELLS)),
    weight_bits=st.integers(2, 16),
    cell_bits=st.integers(1, 8),
    per_tile=st.integers(1, 6),
)
def test_levels_hold_the_weights(
    seed: int, cells: str, weight_bits: int, cell_bits: int, per_tile: int
) -> None:
    largest = 2 ** (weight_bits - 1) - 1
    weights = np.random.default_rng(seed).integers(-largest, largest + 1, (2, 7, 5))
    code = MatrixCode(CELLS[cells](weight_bits, cell_bits), 5, per_tile)
    slices = code.code.slices
    table = level_table(Ideal().facts, slices, cell_bits, min(slices * cell_bits, weight_bits))
    levels = code.levels(weights, table)
    pair = cells in ("differential", "two-sided")
    halves, bits = (2, weight_bits - 1) if pair else (1, weight_bits)
    references = ceil(5 / per_tile) if cells == "unit-column" else 0
    assert len(code.code.columns) == halves * ceil(bits / cell_bits)
    assert levels.shape == (2, 7, code.physical)
    assert code.physical == 5 * len(code.code.columns) + references
    assert levels.max() < 2**cell_bits
    np.testing.assert_array_equal(code.weights(levels), weights)
    if cells == "differential":
        pairs = levels.reshape(2, 7, 5, 2, -1).any(-1)
        assert not pairs.all(-1).any(), "only one column of a pair conducts"
    if cells == "two-sided":
        sums = levels.reshape(2, 7, 5, 2, -1).astype(int).sum(3)
        assert set(sums.ravel()) <= {2**cell_bits - 1, 2**cell_bits - 2}


@pytest.mark.parametrize("cells", CELLS)
@pytest.mark.parametrize("cell_bits", range(1, 9))
def test_the_factor_of_a_weight_is_exactly_one(cells: str, cell_bits: int) -> None:
    """One driven row with every weight there is: the sums of the columns give the weights back."""
    weights = np.arange(-127, 128)[:, None]
    graph = linear_layer(weights.astype(np.int8))
    backend = CrossbarBackend(cells=cells, cell_bits=cell_bits, cols=40)
    chip = backend.chip()
    for program in (
        IdealProgram(graph, 1, chip),
        PhysicalProgram(graph, matrices(graph), 1, chip),
    ):
        readout = program.run(np.ones((1, 1), np.float32)).readout
        np.testing.assert_array_equal(readout, weights.T)


@pytest.mark.parametrize("backend", TILES, ids=["large", "small"])
@pytest.mark.parametrize("case", quantized_cases()[:4], ids=lambda case: case.name)
def test_every_weight_is_placed_once_and_can_be_read_back(
    case: Any, backend: CrossbarBackend, tmp_path: Path
) -> None:
    mapping, _ = mapped(case.graph, backend)
    exported = conductances(case.graph, backend, tmp_path)
    chip = backend.chip()
    k = len(mapping["columns_of_a_weight"])
    parts = [dict(zip(mapping["columns"], row, strict=True)) for row in mapping["parts"]]
    assert [part["tile"] for part in parts] == list(range(len(parts)))
    for number, matrix in enumerate(matrices(case.graph)):
        stored = exported[f"{matrix.layer}.conductance_us"]
        assert stored.shape == (matrix.groups, matrix.rows, matrix.outputs * k)
        assert mapping["layers"][number] == matrix.layer
        placed = np.zeros(stored.shape, int)
        for part in (part for part in parts if part["layer"] == number):
            assert 0 < part["rows"] <= backend.rows and 0 < part["cols"] <= backend.cols
            assert part["cols"] == k * part["outputs"]
            assert part["first_col"] == k * part["first_output"]
            rows = slice(part["first_row"], part["first_row"] + part["rows"])
            cols = slice(part["first_col"], part["first_col"] + part["cols"])
            placed[part["group"], rows, cols] += 1
        assert (placed == 1).all()
        levels = np.rint(levels_of(stored, chip.device.facts, chip.largest_level)).astype(int)
        op = case.graph.node(matrix.layer).op
        assert isinstance(op, Conv | Linear)
        weight = np.asarray(case.graph.array(op.weight))
        again = chip.matrix(matrix.outputs).weights(levels).transpose(0, 2, 1)
        np.testing.assert_array_equal(again.reshape(weight.shape), weight)


@given(seed=st.integers(0, 10_000), rows=st.integers(1, 40), cols=st.integers(6, 60))
def test_figures_follow_the_split_formula(seed: int, rows: int, cols: int) -> None:
    backend = CrossbarBackend(rows=rows, cols=cols, cell_bits=3)
    graph = random_graph(seed)
    _, figures = mapped(graph, backend)
    usable = cols // 6 * 6
    for matrix in matrices(graph):
        row = figures["layers"][matrix.layer]
        blocks = ceil(matrix.rows / rows) * ceil(6 * matrix.outputs / usable)
        assert row["tiles"] == row["split_formula_tiles"] == matrix.groups * blocks
        assert row["cells_used"] == 6 * matrix.weights.size
        assert row["area_bound_tiles"] <= row["tiles"]
    totals = figures["totals"]
    assert totals["tiles"] == len(figures["tiles"]) == totals["split_formula_tiles"]
    assert totals["area_bound_tiles"] == ceil(totals["cells_used"] / (rows * cols))
    used = sum(tile["rows"] * tile["cols"] for tile in figures["tiles"])
    assert used == totals["cells_used"]
    assert totals["utilisation"] == used / (totals["tiles"] * rows * cols) <= 1
    assert figures["tile_shape"] == [rows, cols]


def test_a_network_without_weights_takes_no_tile() -> None:
    graph = Graph(Stage.SNN)
    graph.add("x", Input(shape=(3,)))
    graph.add("encode", EncodeDirect(scale=1.0), ["x"])
    graph.add("out", Readout(), ["encode"])
    graph.outputs = ("out",)
    _, figures = mapped(graph, CrossbarBackend())
    assert figures["totals"]["tiles"] == figures["totals"]["utilisation"] == 0


def test_notes_say_what_is_missing() -> None:
    graph = quantized_cases()[0].graph
    _, figures = mapped(graph, CrossbarBackend())
    assert any("no technology: energy" in note for note in figures["notes"])
    assert not any("grouped" in note for note in figures["notes"])
    grouped = next(case.graph for case in quantized_cases() if case.name == "grouped")
    assert any("grouped" in note for note in mapped(grouped, CrossbarBackend())[1]["notes"])


def compiled(repository: Path, name: str, weights: Path, shape: tuple[int, ...], data: Any) -> Any:
    return snnc.compile(
        f"{repository / 'examples' / name}",
        weights=weights,
        input_shape=shape,
        target="crossbar",
        recipe="convert{bits=8}",
        calibration=data,
    ).report["hardware"]


def test_tiles_of_the_digits_network(repository: Path) -> None:
    weights = repository / "examples" / "digits" / "weights.safetensors"
    data = np.random.default_rng(0).random((8, 1, 8, 8), dtype=np.float32)
    figures = compiled(repository, "digits/net.py:build", weights, (1, 8, 8), data)
    shapes = {"conv1": (9, 16), "conv2": (144, 32), "fc1": (128, 64), "fc2": (64, 10)}
    tiles = {"conv1": 1, "conv2": 2, "fc1": 2, "fc2": 1}
    for name, (rows, outputs) in shapes.items():
        row = figures["layers"][name]
        assert (row["matrix_rows"], row["matrix_cols"]) == (rows, outputs)
        assert row["tiles"] == ceil(rows / 128) * ceil(4 * outputs / 128) == tiles[name]
    assert figures["totals"]["tiles"] == 6 and figures["totals"]["area_bound_tiles"] == 4


def test_tiles_of_resnet20(repository: Path, snnc_data: Path) -> None:
    weights = snnc_data / "models" / "cifar10-resnet20" / "weights.safetensors"
    data = np.random.default_rng(0).random((4, 3, 32, 32), dtype=np.float32)
    figures = compiled(repository, "resnet20/net.py:resnet20", weights, (3, 32, 32), data)
    # convolutions: inputs x outputs -> ceil(9 inputs / 128) * ceil(4 outputs / 128) tiles
    expected = {(27, 16): 1, (144, 16): 2, (144, 32): 2, (288, 32): 3, (288, 64): 6, (576, 64): 10}
    shapes = [(row["matrix_rows"], row["matrix_cols"]) for row in figures["layers"].values()]
    assert len(shapes) == 20 and shapes[-1] == (64, 10)
    for (rows, outputs), row in zip(shapes, figures["layers"].values(), strict=True):
        formula = ceil(rows / 128) * ceil(4 * outputs / 128)
        assert row["tiles"] == row["split_formula_tiles"] == formula
        assert formula == expected.get((rows, outputs), 1)
    assert figures["totals"]["tiles"] == 1 + 6 * 2 + 2 + 5 * 3 + 6 + 5 * 10 + 1 == 87
