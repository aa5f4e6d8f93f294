"""The cost of an inference: counts times the table, times along the graph, yardsticks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from snnc.cost import Inference, inference
from snnc.ir import (
    Add,
    Conv,
    EncodePoisson,
    Graph,
    Input,
    Neuron,
    Readout,
    Stage,
    TwoSidedNeuron,
)
from snnc.testing import random_graph
from snnc_backends.crossbar import CrossbarBackend
from snnc_backends.crossbar.cost.cost import CostModel
from snnc_backends.crossbar.cost.spike_rates import expected, uniform
from snnc_backends.crossbar.cost.technology_table import Entry, technology
from snnc_backends.crossbar.mapping.layer_shapes import layer_shapes
from snnc_backends.crossbar.mapping.mapping import layout
from snnc_backends.crossbar.mapping.placed_parts import PlacedPart, parts_of
from snnc_backends.crossbar.program import CrossbarProgram

TABLE = technology("isaac-32nm")


def model(graph: Graph, backend: CrossbarBackend) -> CostModel:
    return CostModel(graph, backend.chip(), parts(graph, backend), TABLE, backend.adc_bits)


def parts(graph: Graph, backend: CrossbarBackend) -> list[PlacedPart]:
    return parts_of(layout(graph, backend.chip(), 4))


def shapes_of(graph: Graph, backend: CrossbarBackend, timesteps: int) -> Any:
    return layer_shapes(graph, backend.chip(), parts(graph, backend), timesteps)


def measured(graph: Graph, backend: CrossbarBackend, timesteps: int, x: Any) -> Inference:
    program = CrossbarProgram(graph, timesteps, backend.chip())
    return inference(program.run(x, record="counts"))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), rows=st.integers(2, 20), rate=st.floats(0, 1))
def test_energy_is_the_sum_of_counts_times_the_table(seed: int, rows: int, rate: float) -> None:
    graph = random_graph(seed)
    backend = CrossbarBackend(rows=rows, cols=24, cell_bits=3)
    assume(not backend.check(graph))
    shapes = shapes_of(graph, backend, 4)
    run = expected(graph, shapes, dict.fromkeys(uniform(graph), rate), 4)
    cost = model(graph, backend).cost(run, "made up")
    price = {e["name"]: e["value"] for e in cost["table"]}
    bits = (rows * 7).bit_length()
    price["energy.conversion"] = TABLE.of_bits("energy", bits)
    sums = {
        node: sum(number * price[f"energy.{event}"] for event, number in events.items())
        for node, events in cost["counts"].items()
    }
    assert {n: row["energy_pj"] for n, row in cost["layers"].items()} == pytest.approx(sums)
    moving = cost["dynamic_energy_pj"] + cost["input_output_energy_pj"]
    assert moving == pytest.approx(sum(sums.values()))
    assert cost["energy_pj"] == pytest.approx(moving + cost["static_energy_pj"])
    assert sum(cost["components"].values()) == pytest.approx(cost["dynamic_energy_pj"])
    for node, counted in run.activity.items():
        assert cost["counts"][node]["conversion"] == counted["conversions"]
        assert cost["counts"][node]["row"] == counted["rows_driven"]


def test_what_a_layer_costs_counted_by_hand(chain: Callable[..., Graph]) -> None:
    graph = chain((5, 20, 3))
    backend = CrossbarBackend(rows=2, cols=64)  # 4 columns a weight: 3 row blocks, 2 column blocks
    x = np.array([[1, 0, 0, 0, 0]], np.float32)  # 255: one row in all of 8 phases
    cost = model(graph, backend).cost(measured(graph, backend, 4, x), "measured")
    counts = cost["counts"]
    assert counts["fc1"] == {
        "row": 8 * 2, "cell": 8 * 80, "sample": 8 * 80, "conversion": 8 * 80, "shift_add": 8 * 80,
        "buffer_bit": 8 * (5 + 5),
    }  # fmt: skip
    assert counts["encode"] == {"multiplication": 5, "link_bit": 5 * 8}
    assert counts["act1"] == {"membrane_access": 2 * 20 * 4, "neuron_update": 20 * 4}
    assert counts["out"] == {"membrane_access": 2 * 3 * 4, "addition": 12, "link_bit": 96}
    # all neurons fire at every step: 20 rows in 10 blocks, 12 columns, 4 steps
    assert counts["fc2"]["row"] == 20 * 4 and counts["fc2"]["conversion"] == 10 * 12 * 4
    assert counts["fc2"]["cell"] == 20 * 12 * 4
    assert cost["skipped_conversions"] == 2 * 8 * 80
    assert cost["programming_writes"] == (5 * 20 + 20 * 3) * 4
    ann = cost["bitserial_ann_conversions"]
    assert ann == 8 * 3 * 80 + 8 * 10 * 12
    assert cost["conversions_vs_bitserial_ann"] == (8 * 80 + 10 * 12 * 4) / ann


def test_two_sided_neurons_cost_what_one_sided_neurons_cost(chain: Callable[..., Graph]) -> None:
    graph = chain((5, 20, 3))
    backend = CrossbarBackend(rows=8, cols=64)
    rates = dict.fromkeys(uniform(graph), 0.2)
    costs = [_expected_cost(graph, backend, rates)]
    graph.replace_op("act1", TwoSidedNeuron(threshold=3, wait=0))
    assert uniform(graph).keys() == rates.keys()
    costs.append(_expected_cost(graph, backend, rates))
    own = [cost["counts"]["act1"] for cost in costs]
    assert own[0] == own[1] != {}
    assert costs[0]["area_um2"] == costs[1]["area_um2"]
    assert costs[0]["energy_pj"] < costs[1]["energy_pj"], "negative events have their own phase"


def _expected_cost(graph: Graph, backend: CrossbarBackend, rates: Mapping[str, float]) -> Any:
    run = expected(graph, shapes_of(graph, backend, 4), rates, 4)
    return model(graph, backend).cost(run, "made up")


def packed_convolution() -> Graph:
    """A depthwise convolution of 12 channels, whose groups can share tiles."""
    graph = Graph(Stage.SNN)
    graph.add("x", Input(shape=(12, 5, 5)))
    graph.add("encode", EncodePoisson(scale=1.0, hi=1), ["x"])
    weight = graph.set_param("w", np.ones((12, 1, 3, 3), np.int8))
    graph.add("conv", Conv(weight=weight, groups=12), ["encode"])
    graph.add("act", Neuron(threshold=3), ["conv"])
    wide = graph.set_param("v", np.ones((6, 12, 3, 3), np.int8))
    graph.add("last", Conv(weight=wide), ["act"])
    graph.add("out", Readout(), ["last"])
    graph.outputs = ("out",)
    return graph


@pytest.mark.parametrize("packing", ["none", "groups", "disjoint", "time-multiplexed"])
@pytest.mark.parametrize("cells", ["differential", "unit-column"])
def test_every_driven_row_reads_the_columns_of_its_tile(packing: Any, cells: str) -> None:
    graph = packed_convolution()
    backend = CrossbarBackend(rows=64, cols=64, packing=packing, cells=cells)
    x = np.ones((1, 12, 5, 5), np.float32)
    run = measured(graph, backend, 3, x)
    cost = model(graph, backend).cost(run, "measured")
    for shape in shapes_of(graph, backend, 3):
        events = cost["counts"][shape.layer]
        assert events["row"] == run.activity[shape.layer]["rows_driven"]
        cells_used = sum(each.part.rows * each.part.cols for each in shape.parts)
        assert events["cell"] == pytest.approx(cells_used * shape.drives), "every row is driven"
        assert events["conversion"] == sum(each.part.cols for each in shape.parts) * shape.drives
    ann = cost["bitserial_ann_conversions"]
    assert cost["conversions"] == ann * 3 / 8, "spikes of 3 steps beside 8 bits"
    conv, last = (each.step_ns for each in map(Row, cost["layers"].values()) if each.step_ns)
    shared = packing == "time-multiplexed"
    assert cost["step_ns"] == (conv + last if shared else max(conv, last))
    assert cost["critical_path_ns"] == conv + last


class Row:
    """A layer of a cost."""

    def __init__(self, row: Mapping[str, float]) -> None:
        self.step_ns = row.get("step_ns", 0.0)


def test_copies_share_the_positions() -> None:
    graph = packed_convolution()
    single = model(graph, CrossbarBackend(packing="groups")).cost(Inference(3, {}, {}), "")
    backend = CrossbarBackend(packing="groups", replication="balanced", tiles=6)
    copied = model(graph, backend).cost(Inference(3, {}, {}), "")
    assert copied["step_ns"] < single["step_ns"] / 2
    assert copied["area_um2"] > single["area_um2"]
    assert copied["bitserial_ann_conversions"] == single["bitserial_ann_conversions"]


def test_silence_costs_no_read(chain: Callable[..., Graph]) -> None:
    graph = chain((5, 20, 3))
    run = measured(graph, CrossbarBackend(rows=2), 4, np.zeros((2, 5), np.float32))
    cost = model(graph, CrossbarBackend(rows=2)).cost(run, "measured")
    assert cost["components"]["array_pj"] == cost["components"]["converters_pj"] == 0
    assert cost["components"]["neurons_pj"] > 0 and cost["conversions"] == 0


def with_entries(changed: Mapping[str, float | None]) -> Any:
    entries = dict(TABLE.entries)
    for name, value in changed.items():
        del entries[name]
        if value is not None:
            entries[name] = Entry(name, value, 32, "made up")
    return replace(TABLE, entries=entries)


def test_an_entry_changes_its_component_only_and_a_missing_one_is_said(
    chain: Callable[..., Graph],
) -> None:
    graph = chain((5, 20, 3))
    run = Inference(4, {"fc1": {"conversions": 7, "rows_driven": 5}, "fc2": {}}, {})
    whole = model(graph, CrossbarBackend())
    before = whole.cost(run, "measured")
    dearer = with_entries({"energy.row": 2 * TABLE.entries["energy.row"].value})
    after = replace(whole, technology=dearer).cost(run, "measured")
    rows = 5 * TABLE.entries["energy.row"].value
    assert after["energy_pj"] - before["energy_pj"] == pytest.approx(rows)
    assert after["components"]["array_pj"] == pytest.approx(before["components"]["array_pj"] + rows)
    missing = replace(whole, technology=with_entries({"energy.row": None, "time.read": None}))
    found = missing.cost(run, "measured")
    assert any("energy of row: not in the table" in note for note in found["notes"])
    assert "latency_ns" not in found and found["static_energy_pj"] == 0
    assert any("no time.read" in note for note in found["notes"])
    assert found["dynamic_energy_pj"] == pytest.approx(before["dynamic_energy_pj"] - rows)


@pytest.mark.parametrize(("bits", "pj"), [(3, 0.79), (6, 1.20), (10, 2.38), (12, 2.38 * 4)])
def test_a_conversion_is_paid_by_its_bits(
    chain: Callable[..., Graph], bits: int, pj: float
) -> None:
    run = Inference(4, {"fc1": {"conversions": 1000}}, {})
    cost = model(chain((5, 20, 3)), CrossbarBackend(adc_bits=bits)).cost(run, "")
    sample = TABLE.entries["energy.sample"].value
    assert cost["components"]["converters_pj"] == pytest.approx(1000 * (pj + sample))
    assert any("extrapolated" in note for note in cost["notes"]) == (bits > 10)


def test_times_of_a_chain(chain: Callable[..., Graph]) -> None:
    # 8 phases of 100 ns, once; then 100 ns for each of two layers and step
    cost = model(chain((4, 4, 4, 4)), CrossbarBackend()).cost(Inference(5, {}, {}), "measured")
    assert cost["critical_path_ns"] == 1000 and cost["step_ns"] == 100
    assert cost["latency_ns"] == 1000 + 4 * 100
    assert cost["sequential_latency_ns"] == 1000 + 4 * 200
    assert cost["pipeline_period_ns"] == max(5 * 100, 800)
    waits = model(chain((4, 4, 4, 4), wait=3), CrossbarBackend())
    assert waits.cost(Inference(5, {}, {}), "")["latency_ns"] == 1000 + (4 + 2 * 3) * 100


def test_parallel_branches_take_the_time_of_the_longer_one() -> None:
    graph = Graph(Stage.SNN)
    graph.add("x", Input(shape=(2, 4, 4)))
    graph.add("encode", EncodePoisson(scale=1.0, hi=1), ["x"])
    weight = graph.set_param("w", np.ones((2, 2, 3, 3), np.int8))
    narrow = graph.set_param("v", np.ones((2, 2, 1, 1), np.int8))
    graph.add("long", Conv(weight=weight, padding=((1, 1), (1, 1))), ["encode"])
    graph.add("act", Neuron(threshold=3), ["long"])
    graph.add("longer", Conv(weight=weight, padding=((1, 1), (1, 1))), ["act"])
    graph.add("short", Conv(weight=narrow), ["encode"])
    graph.add("sum", Add(), ["longer", "short"])
    graph.add("out", Readout(), ["sum"])
    graph.outputs = ("out",)
    cost = model(graph, CrossbarBackend()).cost(Inference(3, {}, {}), "")
    assert cost["critical_path_ns"] == 2 * 16 * 100 and cost["step_ns"] == 1600
    slow = with_entries({"time.conversion": 50})  # 8 columns: 400 ns
    found = replace(model(graph, CrossbarBackend()), technology=slow).cost(Inference(3, {}, {}), "")
    assert found["step_ns"] == 16 * 400
    two = replace(slow, converters_per_tile=4)
    found = replace(model(graph, CrossbarBackend()), technology=two).cost(Inference(3, {}, {}), "")
    assert found["step_ns"] == 16 * 100


def test_rates_give_the_counts_of_independent_spikes() -> None:
    graph = Graph(Stage.SNN)
    graph.add("x", Input(shape=(6, 9, 9)))
    graph.add("encode", EncodePoisson(scale=1 / 15, hi=15), ["x"])
    weight = graph.set_param("w", np.ones((10, 6, 3, 3), np.int8))
    graph.add("conv", Conv(weight=weight, padding=((1, 1), (1, 1)), stride=(2, 1)), ["encode"])
    graph.add("out", Readout(), ["conv"])
    graph.outputs = ("out",)
    backend = CrossbarBackend(rows=7, cols=16)
    x = np.full((20, 6, 9, 9), 3 / 15, np.float32)
    found = measured(graph, backend, 10, x)
    rate = found.events["encode"] / (6 * 9 * 9 * 10)
    assert rate == pytest.approx(3 / 15, rel=0.05)
    shapes = shapes_of(graph, backend, 10)
    guessed = expected(graph, shapes, {"encode": rate}, 10).activity["conv"]
    for name, number in guessed.items():
        assert found.activity["conv"][name] == pytest.approx(number, rel=0.05), name
    total = guessed["reads"] + guessed["skipped_reads"]
    assert total == found.activity["conv"]["reads"] + found.activity["conv"]["skipped_reads"]
