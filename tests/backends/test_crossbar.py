"""The ideal crossbar equals the reference, and counts the activity of its tiles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from snnc.errors import ArtifactError, GraphError, SpecError
from snnc.interp.program import ReferenceProgram
from snnc.ir import Conv, EncodeDirect, Graph, Input, Linear, Readout, Stage, TensorType
from snnc.pipeline import format_spec, parse_one
from snnc.plugins import BACKENDS, Registry
from snnc.target import figures_of
from snnc.testing import (
    Case,
    assert_backend_contract,
    assert_equal_runs,
    linear_layer,
    load_program,
    quantized_cases,
    random_graph,
    sample_inputs,
    snn_cases,
)
from snnc.transform import PassContext
from snnc_backends.crossbar import CrossbarBackend
from snnc_backends.crossbar.cells import CELLS
from snnc_backends.crossbar.mapping.matrices import matrices
from snnc_backends.crossbar.program import CrossbarProgram, load
from snnc_backends.crossbar.reading.physical import PhysicalProgram
from snnc_backends.crossbar.reading.reads import layer_tiles

SMALL_CELLS = CrossbarBackend(rows=7, cols=9, cell_bits=2)


def program(graph: Graph, backend: CrossbarBackend, timesteps: int = 6) -> CrossbarProgram:
    return CrossbarProgram(graph, timesteps, backend.chip())


def column_by_column(graph: Graph, backend: CrossbarBackend, timesteps: int) -> PhysicalProgram:
    return PhysicalProgram(graph, matrices(graph), timesteps, backend.chip())


@pytest.mark.parametrize("case", quantized_cases(), ids=lambda case: case.name)
def test_activity_is_that_of_the_columns(case: Case) -> None:
    if SMALL_CELLS.check(case.graph):
        pytest.skip("not for a crossbar")
    x = sample_inputs(case.graph, 3)
    ours = program(case.graph, SMALL_CELLS).run(x).stats["activity"]
    assert ours == column_by_column(case.graph, SMALL_CELLS, 6).run(x).stats["activity"]


def test_a_window_beyond_the_proof_is_computed_column_by_column() -> None:
    graph = linear_layer(np.full((2, 3), -127, np.int8), hi=2**16)
    theirs = ReferenceProgram(graph, 300).run(np.full((1, 3), 2.0**16, np.float32))
    ours = program(graph, CrossbarBackend(), 300).run(np.full((1, 3), 2.0**16, np.float32))
    assert_equal_runs(ours, theirs, "long")


@pytest.mark.parametrize("backend", [CrossbarBackend(), SMALL_CELLS], ids=format_spec)
def test_keeps_the_contract(backend: CrossbarBackend) -> None:
    cases = [case for case in quantized_cases() if not backend.check(case.graph)]
    assert {case.name for case in cases} >= {"residual-leak", "residual-wait", "grouped"}
    assert_backend_contract(backend, cases=cases)


@settings(max_examples=16, suppress_health_check=[HealthCheck.filter_too_much])
@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(1, 20),
    cols=st.integers(17, 40),
    cells=st.sampled_from(list(CELLS)),
    cell_bits=st.integers(1, 8),
    packing=st.sampled_from(["none", "groups"]),
    partial_sums=st.sampled_from(["digital", "analog"]),
    pruned=st.booleans(),
    timesteps=st.integers(1, 7),
)
def test_random_graphs_on_random_tiles_equal_the_reference(
    seed: int, timesteps: int, pruned: bool, **options: Any
) -> None:
    graph = random_graph(seed)
    if pruned:
        prune_rows(graph, seed)
    backend = CrossbarBackend(**options)
    assume(not backend.check(graph))
    x, prefixes = sample_inputs(graph, 3), tuple(range(1, timesteps))
    run: dict[str, Any] = {"record": "spikes", "seed": 3, "prefixes": prefixes}
    ours = program(graph, backend, timesteps).run(x, **run)
    columns = column_by_column(graph, backend, timesteps).run(x, **run)
    theirs = ReferenceProgram(graph, timesteps).run(x, **run)
    for each in (ours, columns):
        assert_equal_runs(each, theirs, f"seed {seed}")
        for t in prefixes:
            np.testing.assert_array_equal(each.stats["prefixes"][t], theirs.stats["prefixes"][t])
    assert ours.stats["activity"] == columns.stats["activity"]


def prune_rows(graph: Graph, seed: int) -> None:
    """Set a third of the rows of every matrix to zero."""
    rng = np.random.default_rng(seed)
    for node in list(graph.nodes):
        if isinstance(node.op, Conv | Linear):
            weight = np.array(graph.array(node.op.weight))
            rows = weight.reshape(node.op.matrices, len(weight) // node.op.matrices, -1)
            rows *= rng.random((len(rows), 1, rows.shape[2])) > 1 / 3
            graph.set_param(node.op.weight.name, weight)


def test_signed_integers_are_driven_bit_by_bit_in_two_phases() -> None:
    weights = np.array([[127, -127, 1], [-3, 0, 90]], np.int8)
    graph = linear_layer(weights, lo=-127, hi=127)
    x = np.array([[5, -6, 0], [127, -127, 127]], np.float32)
    result = program(graph, CrossbarBackend(rows=2), 3).run(x)
    np.testing.assert_array_equal(result.readout, 3 * (x @ weights.T).astype(np.int64))
    counted = result.stats["activity"]["fc"]
    # 2 row blocks, 14 phases, 2 samples, read once in the window
    assert counted["reads"] + counted["skipped_reads"] == 2 * 14 * 2
    assert counted["reads"] == (2 + 2) + (3 * 7)  # bits 5 = 101, 6 = 110; 127 in all seven
    assert counted["conversions"] == counted["reads"] * 2 * 4
    assert counted["rows_driven"] == 2 + 2 + 3 * 7


def test_silence_gives_nothing_and_is_not_read() -> None:
    graph = linear_layer(np.full((40, 5), 100, np.int8), hi=255)
    backend = CrossbarBackend(rows=2, cols=64)
    result = program(graph, backend).run(np.zeros((3, 5), np.float32))
    assert not result.readout.any()  # type: ignore[union-attr]
    tiles = 3 * 3  # row blocks of 2, column blocks of 16 outputs
    expected = {"reads": 0, "conversions": 0, "skipped_reads": 3 * 8 * tiles, "rows_driven": 0}
    expected["clipped"] = 0
    assert result.stats["activity"] == {"fc": expected}


def test_only_driven_row_blocks_are_read() -> None:
    graph = linear_layer(np.ones((20, 5), np.int8), hi=1)
    x = np.array([[1, 0, 0, 0, 0], [1, 1, 0, 0, 1]], np.float32)
    counted = program(graph, CrossbarBackend(rows=2, cols=64)).run(x).stats["activity"]["fc"]
    assert counted["reads"] == (1 + 2) * 2 and counted["skipped_reads"] == (2 + 1) * 2
    assert counted["conversions"] == (1 + 2) * 20 * 4 and counted["rows_driven"] == (1 + 3) * 2


def test_activity_does_not_depend_on_the_split_of_the_batch() -> None:
    graph = quantized_cases()[1].graph
    x = sample_inputs(graph, 4)
    activity = program(graph, SMALL_CELLS).run(x).stats["activity"]
    parts = [
        program(graph, SMALL_CELLS).run(samples).stats["activity"] for samples in (x[:1], x[1:])
    ]
    for node, counted in activity.items():
        assert counted == {key: sum(part[node][key] for part in parts) for key in counted}
        assert counted["reads"] > 0


@pytest.mark.parametrize(("hi", "exact"), [(1, "float32"), (255, "float32"), (2**16, "float64")])
def test_sums_are_kept_in_what_holds_them(hi: int, exact: str) -> None:
    graph = linear_layer(np.full((2, 300), -127, np.int8), hi=hi)
    chip = CrossbarBackend(cell_bits=8).chip()
    (matrix,) = matrices(graph)
    assert str(layer_tiles(graph, matrix, chip).dtype) == f"torch.{exact}"
    x = np.full((1, 300), hi, np.float32)
    result = PhysicalProgram(graph, [matrix], 1, chip).run(x)
    assert result.readout.tolist() == [[-127 * 300 * hi] * 2]  # type: ignore[union-attr]


def test_tiles_hold_integers_only() -> None:
    assert CrossbarBackend().quantizer == "quantize{bits=8}"
    assert CrossbarBackend(weight_bits=4).quantizer == "quantize{bits=4}"
    assert CrossbarBackend(weight_bits=16).quantizer == "quantize{bits=8}"
    real = next(case.graph for case in snn_cases() if case.name == "grouped")
    assert CrossbarBackend().check(real) == []
    with pytest.raises(GraphError, match="holds integers"):
        CrossbarBackend().lower(real, PassContext())


def test_what_cannot_be_mapped_is_named() -> None:
    graph = linear_layer(np.array([[127, -100]], np.int8), hi=255)
    (diagnostic,) = CrossbarBackend(weight_bits=4).check(graph)
    assert "fc (linear): weights up to 127 need 8 bits, the target has 4" in str(diagnostic)
    assert "weight-bits=8" in diagnostic.remedy
    chained = graph.clone()
    weight = chained.set_param("w2", np.ones((1, 1), np.int8))
    chained.insert_after("fc", "fc2", Linear(weight=weight))
    (diagnostic,) = CrossbarBackend().check(chained)
    assert diagnostic.node == "fc2" and "the current of fc" in diagnostic.reason
    assert "no outputs" in str(CrossbarBackend().check(Graph(Stage.SNN))[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("rows=0", "rows must be 1 to"),
        ("cols=3", "cols must be at least 4, the columns of one weight"),
        ("cell-bits=9", "cell-bits must be 1 to 8"),
        ("weight-bits=1", "weight-bits must be 2 to 16"),
        (
            "cells=single",
            "cells must be one of differential, two-sided, offset, unit-column, not 'single'",
        ),
        ("cells=unit-column cols=2", "cols must be at least 3, the columns of one weight"),
        ("packing=all", "one of none, groups, disjoint, time-multiplexed expected, not 'all'"),
        ("tiles=0", "tiles must be 1 or more, not 0"),
        ("cores=4", "cores need tiles-per-core"),
        ("replication=balanced", "replication needs tiles"),
        ("replication=balanced tiles=9 packing=time-multiplexed", "wait for each other"),
        ("device=flash", "unknown device 'flash'"),
        ("device=ideal{g-max=1}", "did you mean 'g-max-us'?"),
        ("device=ideal{g-max-us=0}", "device ideal: g-max-us must be positive"),
        ("adc-bits=0", "adc-bits must be ideal or 1 to 16, not 0"),
        ("adc-bits=17", "adc-bits must be ideal or 1 to 16, not 17"),
        ("adc-range=max", "one of data, worst expected"),
        ("adc-bits=none", "int|ideal expected"),
        ("rws=3", "did you mean 'rows'"),
    ],
)
def test_wrong_options(options: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_one(f"crossbar{{{options}}}", Registry(BACKENDS))
    assert message in f"{caught.value.message}; {caught.value.hint}"


def test_options_are_written_back() -> None:
    text = "crossbar{rows=64 cols=64 cell-bits=2}"
    assert format_spec(parse_one(text, Registry(BACKENDS))) == text
    assert format_spec(CrossbarBackend(adc_bits="ideal")) == "crossbar"
    assert parse_one("crossbar{device=ideal}", Registry(BACKENDS)) == CrossbarBackend()
    text = "crossbar{device=ideal{g-max-us=50}}"
    assert format_spec(parse_one(text, Registry(BACKENDS))) == text


class Files:
    """An artifact without a manifest."""

    def __init__(self, graph: Graph, files: Mapping[str, bytes]) -> None:
        self.stored, self.files, self.manifest = graph, dict(files), {}

    def read(self, name: str) -> bytes:
        if name not in self.files:
            raise ArtifactError(f"no member {name}")
        return self.files[name]

    def graph(self) -> Graph:
        return self.stored.clone()


def test_an_artifact_is_read_back_and_damage_is_refused(small: Any) -> None:
    graph = small()
    graph.meta["timesteps"] = 5
    backend = CrossbarBackend()
    files = backend.lower(graph, PassContext())
    assert files == backend.lower(graph, PassContext()), "the same bytes"
    assert load(Files(graph, files), backend.chip()).timesteps == 5
    with pytest.raises(ArtifactError, match="not readable JSON"):
        figures_of(["crossbar/figures.json"], lambda _: b"{", "crossbar{rows=3}")
    with pytest.raises(ArtifactError, match="no usable 'totals'"):
        figures_of(["crossbar/figures.json"], lambda _: b"{}", "crossbar")
    assert figures_of(["crossbar/figures.json"], lambda _: b"{", "cpu") is None


def test_a_stored_program_runs(small: Any) -> None:
    loaded = load_program(CrossbarBackend(), small(), 4)
    x = sample_inputs(small(), 2)
    expected = ReferenceProgram(small(), 4).run(x, record="spikes")
    assert_equal_runs(loaded.run(x, record="spikes"), expected, "small")


def test_windows_of_every_rank() -> None:
    rng = np.random.default_rng(1)
    for rank, size in ((1, (9,)), (2, (6, 5)), (3, (4, 5, 3))):
        graph = Graph(Stage.SNN)
        graph.add("x", Input(shape=(4, *size)))
        graph.add("encode", EncodeDirect(scale=1 / 15, hi=15), ["x"])
        weight = rng.integers(-7, 8, (6, 2, *(3, 2, 2)[:rank])).astype(np.int8)
        op = Conv(
            weight=graph.set_param("w", weight), groups=2,
            stride=(2, 1, 1)[:rank], dilation=(1, 2, 1)[:rank],
            padding=((1, 0), (0, 2), (1, 1))[:rank],
        )  # fmt: skip
        graph.add("conv", op, ["encode"])
        graph.add("out", Readout(), ["conv"])
        graph.outputs = ("out",)
        x = sample_inputs(graph, 3)
        backend = replace(SMALL_CELLS, weight_bits=4)
        ours = program(graph, backend).run(x, record="spikes")
        theirs = ReferenceProgram(graph, 6).run(x, record="spikes")
        columns = column_by_column(graph, backend, 6).run(x).stats["activity"]
        assert ours.stats["activity"] == columns
        assert_equal_runs(ours, theirs, f"rank {rank}")
        assert isinstance(graph.type_of("conv"), TensorType)
