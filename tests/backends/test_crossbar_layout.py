"""Layouts: every weight of every copy once, tiles within limits, and the networks equal."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from snnc.errors import GraphError
from snnc.interp.program import ReferenceProgram
from snnc.ir import Conv, EncodeDirect, Graph, Input, Readout, Stage
from snnc.testing import (
    assert_backend_contract,
    linear_layer,
    load_program,
    quantized_cases,
    random_graph,
    sample_inputs,
)
from snnc.transform import PassContext
from snnc_backends.crossbar import CrossbarBackend
from snnc_backends.crossbar.cells import CELLS
from snnc_backends.crossbar.cores import DoesNotFit
from snnc_backends.crossbar.lower import MAPPING
from snnc_backends.crossbar.mapping.mapping import layout
from snnc_backends.crossbar.mapping.matrices import matrices, placed_matrices
from snnc_backends.crossbar.mapping.tiling import placed_rows

Json = dict[str, Any]
PACKINGS = ["none", "groups", "disjoint", "time-multiplexed"]


def files_of(graph: Graph, backend: CrossbarBackend) -> tuple[Json, Json]:
    """Mapping, its parts as dictionaries, and figures."""
    files = backend.lower(graph, PassContext(timesteps=3))
    mapping = json.loads(files[MAPPING])
    mapping["parts"] = [dict(zip(mapping["columns"], row, strict=True)) for row in mapping["parts"]]
    return mapping, json.loads(files["crossbar/figures.json"])


def cells_of_part(part: Json, placed: list[Any]) -> list[tuple[int, Any, slice, int, int]]:
    """Of each group of a part: (group, rows of the matrix, outputs, first row and column)."""
    top, left = part["top"], part["left"]
    found = []
    for group in range(part["group"], part["group"] + part["groups"]):
        rows = placed[group]
        if part["groups"] == 1:
            rows = rows[part["first_row"] : part["first_row"] + part["rows"]]
        outputs = slice(part["first_output"], part["first_output"] + part["outputs"])
        found.append((group, rows, outputs, top, left))
        own = range(part["group"], part["group"] + part["groups"])
        filled = sum(len(placed[each]) > 0 for each in own)
        top, left = top + len(rows), left + (part["cols"] // filled if len(rows) else 0)
    return found


def assert_holds_the_weights(graph: Graph, backend: CrossbarBackend) -> None:
    """Write levels where the mapping says; no cell is written twice; read the weights back."""
    chip = backend.chip()
    mapping, figures = files_of(graph, backend)
    parts, layers = mapping["parts"], placed_matrices(graph, chip)
    count = 1 + max((part["tile"] for part in parts), default=-1)
    assert count == figures["totals"]["tiles"] == len({part["tile"] for part in parts})
    tiles = np.full((count, chip.rows, chip.cols), -1)
    for writing in (True, False):
        for number, matrix in enumerate(layers):
            copies = mapping["copies"][number]
            whole = matrices(graph)[number].weights
            assert not np.delete(whole, matrix.places, 2).any()
            np.testing.assert_array_equal(whole[..., matrix.places], matrix.weights)
            if matrix.left_out:
                assert mapping["unplaced_outputs"][matrix.layer] == list(matrix.left_out)
            seen = np.zeros((copies, *matrix.weights.shape), int)
            for part in (part for part in parts if part["layer"] == number):
                placed = placed_rows(matrix, chip)
                for group, rows, outputs, top, left in cells_of_part(part, placed):
                    weights = matrix.weights[group][rows, outputs]
                    levels = chip.levels(weights)
                    high, wide = levels.shape
                    assert top + high <= chip.rows and left + wide <= chip.cols
                    cells = tiles[part["tile"], top : top + high, left : left + wide]
                    assert cells.shape == levels.shape
                    if writing:
                        assert (cells == -1).all(), "two weights in a cell"
                        cells[:] = levels
                    again = chip.matrix(weights.shape[1]).weights(cells)
                    np.testing.assert_array_equal(again, weights)
                    seen[part["copy"], group][rows, outputs] += 1
            left_out = (seen == 0) & (matrix.weights != 0)
            assert seen.max(initial=0) <= 1 and not left_out.any()
    assert (tiles >= 0).sum() == figures["totals"]["cells_used"]
    assert figures["totals"]["utilisation"] <= 1


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(2, 30),
    cols=st.integers(9, 40),
    cells=st.sampled_from(list(CELLS)),
    packing=st.sampled_from(PACKINGS),
    spare=st.none() | st.integers(0, 60),
)
def test_every_weight_of_every_copy_is_placed_once(
    seed: int, packing: str, spare: int | None, **options: Any
) -> None:
    graph = random_graph(seed)
    backend = CrossbarBackend(packing=packing, **options)  # type: ignore[arg-type]
    assume(not backend.check(graph))
    if spare is not None and packing != "time-multiplexed":
        single = CrossbarBackend(packing="none" if packing == "none" else "groups", **options)
        tiles = files_of(graph, single)[1]["totals"]["tiles"] + spare
        backend = CrossbarBackend(packing=packing, replication="balanced", tiles=tiles, **options)
    assert_holds_the_weights(graph, backend)


@pytest.mark.parametrize("packing", PACKINGS)
def test_pruned_rows_have_no_word_lines(packing: str) -> None:
    weights = np.random.default_rng(0).integers(1, 9, (6, 50)).astype(np.int8)
    weights[:, ::2] = 0
    graph = linear_layer(weights)
    backend = CrossbarBackend(rows=10, packing=packing)  # type: ignore[arg-type]
    mapping, figures = files_of(graph, backend)
    row = figures["layers"]["fc"]
    if packing == "none":
        assert mapping["unplaced_rows"] == {} and figures["totals"]["tiles"] == 5
        assert row["unplaced_rows"] == 0 and row["cells_used"] == 50 * 24
    else:
        assert mapping["unplaced_rows"] == {"fc": [list(range(0, 50, 2))]}
        assert row["unplaced_rows"] == 25 and row["cells_used"] == 25 * 24
        assert figures["totals"]["tiles"] == (1 if packing == "time-multiplexed" else 3)
    assert_holds_the_weights(graph, backend)
    x = np.ones((1, 50), np.float32)
    counted = load_program(backend, graph, 2).run(x).stats["activity"]["fc"]
    assert counted["rows_driven"] == (50 if packing == "none" else 25)


def test_a_layer_without_weights_takes_no_tile() -> None:
    graph = linear_layer(np.zeros((3, 4), np.int8))
    backend = CrossbarBackend(packing="groups", replication="balanced", tiles=3)
    assert files_of(graph, backend)[1]["totals"]["tiles"] == 0
    result = load_program(backend, graph, 2).run(np.ones((2, 4), np.float32))
    assert result.readout is not None and not result.readout.any()
    assert set(result.stats["activity"]["fc"].values()) == {0}


def depthwise(channels: int) -> Graph:
    """A depthwise convolution, 3 x 3, of spikes."""
    graph = Graph(Stage.SNN)
    graph.add("x", Input(shape=(channels, 5, 5)))
    graph.add("encode", EncodeDirect(scale=1.0, hi=1), ["x"])
    weight = np.arange(1, 9 * channels + 1).reshape(channels, 1, 3, 3) % 100 + 1
    op = Conv(
        weight=graph.set_param("w", weight.astype(np.int8)), groups=channels,
        padding=((1, 1), (1, 1)),
    )  # fmt: skip
    graph.add("conv", op, ["encode"])
    graph.add("out", Readout(), ["conv"])
    graph.outputs = ("out",)
    return graph


def test_groups_lie_on_the_diagonal_and_are_read_together() -> None:
    graph = depthwise(10)
    backend = CrossbarBackend(rows=40, cols=64, packing="groups")
    mapping, figures = files_of(graph, backend)
    shapes = [(p["group"], p["groups"], p["rows"], p["cols"]) for p in mapping["parts"]]
    assert shapes == [(0, 4, 36, 16), (4, 4, 36, 16), (8, 2, 18, 8)]
    assert figures["totals"]["tiles"] == 3 and figures["totals"]["split_formula_tiles"] == 10
    assert figures["totals"]["cells_used"] == 10 * 9 * 4
    x = np.zeros((1, 10, 5, 5), np.float32)
    x[0, [0, 3, 9], 2, 2] = 1
    counted = load_program(backend, graph, 1).run(x).stats["activity"]["conv"]
    assert counted["reads"] == 9 * 2, "channels 0 and 3 share a tile, at nine positions each"
    assert counted["conversions"] == 9 * (16 + 8) and counted["rows_driven"] == 9 * 3
    assert counted["reads"] + counted["skipped_reads"] == 25 * 3
    alone = CrossbarBackend(rows=40, cols=64)
    counted = load_program(alone, graph, 1).run(x).stats["activity"]["conv"]
    assert counted["reads"] == 9 * 3 and counted["conversions"] == 9 * 3 * 4


@pytest.mark.parametrize("packing", ["disjoint", "time-multiplexed"])
def test_packed_networks_equal_the_reference(packing: Any) -> None:
    backend = CrossbarBackend(rows=9, cols=24, packing=packing, cells="unit-column")
    cases = [case for case in quantized_cases()[:3] if not backend.check(case.graph)]
    assert_backend_contract(backend, cases=cases)


def test_what_layers_do_does_not_depend_on_what_shares_their_tiles() -> None:
    graph = quantized_cases()[0].graph
    x = sample_inputs(graph, 3)
    runs = [
        load_program(CrossbarBackend(packing=packing), graph, 4).run(x).stats["activity"]  # type: ignore[arg-type]
        for packing in PACKINGS[1:]
    ]
    assert runs[0] == runs[1] == runs[2]
    assert ReferenceProgram(graph, 4).run(x).output.any()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"tiles": 3}, "fc needs 4 tiles, 3 of the chip's 3 left (the network needs 4)"),
        ({"cores": 1, "tiles_per_core": 3}, "needs 4 tiles, 3 of the chip's 3"),
        ({"cores": 1, "axons_per_core": 200}, "the network takes 2 cores, the chip has 1"),
        ({"axons_per_core": 100}, "fc has a tile with 128 axons, a core has 100"),
        ({"synapses_per_core": 4000}, "fc has a tile with 4096 synapses, a core has 4000"),
    ],
)
def test_what_is_too_large_for_the_chip_is_named(options: Any, reason: str) -> None:
    graph = linear_layer(np.ones((64, 256), np.int8))
    backend = CrossbarBackend(**options)
    (diagnostic,) = backend.check(graph)
    with pytest.raises(DoesNotFit) as caught:
        layout(graph, backend.chip(), 1)
    assert reason in str(caught.value)
    assert diagnostic.node == "fc" and diagnostic.reason in str(caught.value)
    assert diagnostic.remedy in (
        "choose packing=time-multiplexed or a larger chip",
        "choose smaller tiles",
    )


def test_a_mapping_that_is_too_large_to_store_is_refused() -> None:
    graph = linear_layer(np.ones((300, 600), np.int8))
    (diagnostic,) = CrossbarBackend(rows=1, cols=4).check(graph)
    assert diagnostic.reason == "has 180000 of 180000 parts, 150000 are stored"
    assert diagnostic.remedy == "choose larger tiles"
    graph = depthwise(8)
    backend = CrossbarBackend(packing="groups", replication="balanced", tiles=10**9)
    assert files_of(graph, backend)[1]["totals"]["period"] == 1, "a window for each of 25 copies"
    with pytest.raises(GraphError, match="does not fit: fc has 180000"):
        CrossbarBackend(rows=1, cols=4).lower(
            linear_layer(np.ones((300, 600), np.int8)), PassContext()
        )


@pytest.mark.parametrize("packing", PACKINGS)
def test_cores_hold_what_they_may(packing: Any) -> None:
    graph = quantized_cases()[0].graph
    limits = {"tiles_per_core": 5, "axons_per_core": 40, "synapses_per_core": 150}
    backend = CrossbarBackend(rows=9, cols=24, packing=packing, **limits)
    mapping, figures = files_of(graph, backend)
    cores = mapping["core_of_tile"]
    assert len(cores) == figures["totals"]["tiles"]
    assert figures["totals"]["cores"] == 1 + max(cores)
    for core in range(max(cores) + 1):
        own = [part for part in mapping["parts"] if cores[part["tile"]] == core]
        lines = {(p["layer"], p["copy"], p["group"], p["first_row"]): p["rows"] for p in own}
        assert 0 < len({part["tile"] for part in own}) <= limits["tiles_per_core"]
        assert sum(lines.values()) <= limits["axons_per_core"]
        synapses = sum(part["rows"] * part["outputs"] for part in own)
        assert synapses <= limits["synapses_per_core"]
