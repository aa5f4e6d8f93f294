"""Row blocks whose currents are added before one conversion."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from snnc.cost import inference
from snnc.errors import UsageError
from snnc.ir import Conv, EncodePoisson, Graph, Input, Readout, Stage
from snnc.pipeline import parse_one
from snnc.plugins import BACKENDS, Registry
from snnc.testing import linear_layer
from snnc.transform import PassContext
from snnc_backends.crossbar import CrossbarBackend
from snnc_backends.crossbar.cores import DoesNotFit
from snnc_backends.crossbar.cost.cost import CostModel
from snnc_backends.crossbar.cost.spike_rates import expected, uniform
from snnc_backends.crossbar.cost.technology_table import technology
from snnc_backends.crossbar.mapping.column_groups import column_group
from snnc_backends.crossbar.mapping.layer_shapes import layer_shapes
from snnc_backends.crossbar.mapping.mapping import layout
from snnc_backends.crossbar.mapping.matrices import matrices
from snnc_backends.crossbar.mapping.placed_parts import parts_of
from snnc_backends.crossbar.program import CrossbarProgram
from snnc_backends.crossbar.reading.physical import PhysicalProgram
from snnc_backends.crossbar.reading.ranges import chosen_ranges
from snnc_backends.crossbar.reading.tile_program import TileProgram

ANALOG: dict[str, Any] = {"rows": 16, "partial_sums": "analog"}


def layer(seed: int = 0) -> tuple[Graph, np.ndarray, np.ndarray]:
    """40 inputs, 9 outputs; weights and spikes of five samples, in the last no events."""
    rng = np.random.default_rng(seed)
    weights = rng.integers(-127, 128, (9, 40)).astype(np.int8)
    x = (rng.random((5, 40)) < 0.6).astype(np.float32)
    x[3, 16:] = 0
    x[4] = 0
    return linear_layer(weights), weights, x


@pytest.mark.parametrize("options", ["", "packing=groups", "cells=unit-column cols=12"])
def test_what_is_added_is_converted_once(options: str) -> None:
    graph, weights, x = layer()
    counted = {}
    for sums in ("digital", "analog"):
        chip = backend_of(f"rows=16 partial-sums={sums} {options}").chip()
        result = CrossbarProgram(graph, 1, chip).run(x)
        np.testing.assert_array_equal(result.readout, (x @ weights.T).astype(np.int64))
        counted[sums] = result.stats["activity"]["fc"]
    digital, analog = counted["digital"], counted["analog"]
    code = chip.matrix(9)
    assert digital["reads"] == 10 * code.tiles, "the last two samples drive one block and none"
    assert digital["conversions"] == 10 * code.physical
    assert analog["conversions"] == 4 * code.physical
    assert {**digital, "conversions": 0} == {**analog, "conversions": 0}


def backend_of(options: str) -> CrossbarBackend:
    backend = parse_one(f"crossbar{{{options}}}", Registry(BACKENDS))
    assert isinstance(backend, CrossbarBackend)
    return backend


@pytest.mark.parametrize("cells", ["differential", "two-sided"])
@pytest.mark.parametrize(("cell_bits", "adc_bits"), [(4, 4), (1, 5), (6, 8)])
def test_one_conversion_of_all_rows_is_the_closed_form(
    cells: str, cell_bits: int, adc_bits: int
) -> None:
    graph, weights, x = layer(adc_bits)
    backend = CrossbarBackend(cells=cells, cell_bits=cell_bits, adc_bits=adc_bits, **ANALOG)
    range_, top, full = 211.3 + adc_bits, (1 << adc_bits) - 1, (1 << cell_bits) - 1
    step = max(1.0, np.ceil(range_ * 1024 / top) / 1024)
    total, slices = np.zeros((5, 9)), -(-7 // cell_bits)
    for sign in (1, -1):
        for i in range(slices):
            size = np.abs(weights.astype(np.int64)) >> (i * cell_bits) & full
            digit = sign * np.sign(weights) * size
            level = (full + digit) // 2 if cells == "two-sided" else np.maximum(digit, 0)
            codes = np.minimum(np.rint(x @ level.T / step), top)
            total += sign * 2 ** (i * cell_bits) * codes * step
    ranges = {"fc": np.full((1, 2 * slices), range_)}
    for program in (
        CrossbarProgram(graph, 1, backend.chip(), ranges),
        PhysicalProgram(graph, matrices(graph), 1, backend.chip(), ranges),
    ):
        np.testing.assert_array_equal(program.run(x).readout, np.rint(total).astype(np.int64))


def test_ranges_grow_with_the_tiles_that_are_added() -> None:
    graph, weights, _ = layer()
    for source in ("worst", "data"):
        found = []
        for sums in ("digital", "analog"):
            backend = CrossbarBackend(rows=16, adc_bits=4, partial_sums=sums)  # type: ignore[arg-type]
            ctx = PassContext(timesteps=1, calibration=[(np.ones((2, 40), np.float32), None)])
            ranges = chosen_ranges(graph, matrices(graph), backend.chip(), ctx, source)["fc"]
            found.append(ranges)
        assert found[0].shape == (3, 4) and found[1].shape == (1, 4)
        if source == "worst":
            digit = np.maximum(weights.astype(np.int64), 0) & 15
            assert found[1][0, 0] == digit.sum(1).max()
            assert (found[1] > found[0].max(0)).all()


def cost_model(graph: Graph, backend: CrossbarBackend) -> CostModel:
    parts = parts_of(layout(graph, backend.chip(), 1))
    return CostModel(graph, backend.chip(), parts, technology("isaac-32nm"), backend.adc_bits)


def test_energy_and_bits_of_conversions_follow() -> None:
    graph, _, x = layer()
    costs = {}
    for sums in ("digital", "analog"):
        backend = CrossbarBackend(rows=16, partial_sums=sums)  # type: ignore[arg-type]
        run = inference(CrossbarProgram(graph, 1, backend.chip()).run(x, record="counts"))
        model = cost_model(graph, backend)
        costs[sums] = cost = model.cost(run, "measured")
        bits = (16 * 15 * (3 if sums == "analog" else 1)).bit_length()
        assert model.converter_bits == bits
        price = technology("isaac-32nm").of_bits("energy", bits)
        sample = technology("isaac-32nm").value("energy.sample")
        assert price is not None and sample is not None
        paid = cost["conversions"] * (price + sample)
        assert cost["components"]["converters_pj"] == pytest.approx(paid)
        possible = 36 if sums == "analog" else 3 * 36
        assert cost["conversions"] + cost["skipped_conversions"] == pytest.approx(possible)
        assert cost["bitserial_ann_conversions"] == 8 * possible
    assert costs["analog"]["conversions"] == 4 * 36 / 5
    assert costs["digital"]["conversions"] == 10 * 36 / 5
    assert any("analog partial sums" in note for note in costs["analog"]["notes"])


def convolution() -> Graph:
    """A grouped convolution of spikes: two groups of 27 rows."""
    graph = Graph(Stage.SNN)
    graph.add("x", Input(shape=(6, 9, 9)))
    graph.add("encode", EncodePoisson(scale=0.01, hi=100), ["x"])
    weight = np.random.default_rng(0).integers(1, 99, (8, 3, 3, 3)).astype(np.int8)
    graph.add("conv", Conv(weight=graph.set_param("w", weight), groups=2), ["encode"])
    graph.add("out", Readout(), ["conv"])
    graph.outputs = ("out",)
    return graph


@pytest.mark.parametrize("packing", ["none", "groups"])
def test_expected_conversions_are_those_of_independent_events(packing: Any) -> None:
    graph = convolution()
    backend = CrossbarBackend(rows=8, cols=20, packing=packing, partial_sums="analog")
    shapes = layer_shapes(graph, backend.chip(), parts_of(layout(graph, backend.chip(), 1)), 1)
    wanted = expected(graph, shapes, dict.fromkeys(uniform(graph), 0.02), 1).activity["conv"]
    x = np.full((400, 6, 9, 9), 0.02, np.float32)
    found = CrossbarProgram(graph, 1, backend.chip()).run(x).stats["activity"]["conv"]
    for key in ("reads", "conversions", "rows_driven"):
        assert wanted[key] == pytest.approx(found[key] / 400, rel=0.03)
    assert wanted["conversions"] == pytest.approx(49 * 2 * 16 * (1 - 0.98**27))


@pytest.mark.parametrize("options", [{"tiles_per_core": 7}, {"axons_per_core": 50}, {}])
def test_what_is_added_lies_in_one_core(options: dict[str, Any]) -> None:
    graph = convolution()
    backend = CrossbarBackend(
        rows=8, cols=8, partial_sums="analog", mesh="3x2", technology="isaac-32nm", **options
    )
    files = backend.lower(graph, PassContext(timesteps=1))
    placed = json.loads(files["crossbar/placement.json"])
    core_of = {tile: core["core"] for core in placed["cores"] for tile in core["tiles"]}
    parts = parts_of(layout(graph, backend.chip(), 1))
    assert set(core_of) == {each.tile for each in parts}
    cores: dict[Any, set[int]] = {}
    for each in parts:
        cores.setdefault(column_group(each.part), set()).add(core_of[each.tile])
    assert all(len(found) == 1 for found in cores.values())
    assert len(placed["cores"]) > 1 and placed["sum_packets"] == 0
    assert [core["core"] for core in placed["cores"]] == list(range(len(placed["cores"])))
    digital = CrossbarBackend(rows=8, cols=8, mesh="3x2", technology="isaac-32nm", **options)
    files = digital.lower(graph, PassContext(timesteps=1))
    assert json.loads(files["crossbar/placement.json"])["sum_packets"] > 0
    assert json.loads(files["crossbar/mapping.json"]).get("partial_sums") is None


def test_what_makes_no_sense_is_refused() -> None:
    for packing in ("disjoint", "time-multiplexed"):
        with pytest.raises(ValueError, match=f"packing must be none or groups, not {packing}"):
            CrossbarBackend(partial_sums="analog", packing=packing)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="partial-sums"):
        backend_of("partial-sums=optical")
    for limit, line in (
        ({"tiles_per_core": 2}, "fc adds the currents of 3 tiles, a core has 2"),
        ({"axons_per_core": 30}, "fc adds the currents of 3 tiles with 40 axons, a core has 30"),
    ):
        chip = CrossbarBackend(**ANALOG, **limit).chip()
        with pytest.raises(DoesNotFit, match=line):
            layout(layer()[0], chip, 1)


def test_column_sums_beyond_the_kernel_are_interpreted() -> None:
    weights = np.full((2, 9000), 127, np.int8)
    graph, x = linear_layer(weights), np.ones((1, 9000), np.float32)
    backend = backend_of(
        "rows=1000 cells=offset cell-bits=8 partial-sums=analog device=gaussian{sigma=1e-4}"
    )
    program = CrossbarProgram(graph, 1, backend.chip())
    assert isinstance(program._compiled, TileProgram) and not program._compiled.longest
    found = program.run(x).readout
    theirs = PhysicalProgram(graph, matrices(graph), 1, backend.chip()).run(x).readout
    np.testing.assert_array_equal(found, theirs)
    np.testing.assert_allclose(found, 9000 * 127, rtol=1e-3)
