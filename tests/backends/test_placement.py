"""Cores on a mesh: packets, hops, bounds, the search beside the optimum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from snnc.errors import UsageError
from snnc.ir import (
    Add,
    Concat,
    Conv,
    EncodeDirect,
    Graph,
    Input,
    Neuron,
    Readout,
    Scale,
    Stage,
    Weighted,
)
from snnc.ir.walk import nearest_before
from snnc.testing import random_graph
from snnc_backends.crossbar import CrossbarBackend
from snnc_backends.crossbar.linear_assignment import linear_assignment
from snnc_backends.crossbar.mapping.layer_shapes import layer_shapes
from snnc_backends.crossbar.mapping.mapping import layout
from snnc_backends.crossbar.mapping.placed_parts import parts_of
from snnc_backends.crossbar.placement.assignment import hops
from snnc_backends.crossbar.placement.exchanges import Exchanges
from snnc_backends.crossbar.placement.lower_bounds import bounds
from snnc_backends.crossbar.placement.mesh import Mesh
from snnc_backends.crossbar.placement.optimum import optimum
from snnc_backends.crossbar.placement.placement import cores_of, from_json, place, to_json
from snnc_backends.crossbar.placement.search import search
from snnc_backends.crossbar.placement.traffic import Traffic, traffic

SMALL = CrossbarBackend(rows=7, cols=9, cell_bits=2, weight_bits=8)


def random_flow(rng: np.random.Generator, cores: int) -> Any:
    flow = rng.integers(0, 100, (cores, cores)) * (rng.random((cores, cores)) < 0.4)
    np.fill_diagonal(flow, 0)
    return flow.astype(np.float64)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10**6), cores=st.integers(2, 9))
def test_the_search_is_within_five_per_cent_of_the_optimum(seed: int, cores: int) -> None:
    rng = np.random.default_rng(seed)
    mesh = Mesh(3, 3 if cores > 6 else 2)
    distance = mesh.distances
    flow = random_flow(rng, cores)
    start = np.arange(cores)
    found = search(flow, distance, start, np.random.default_rng(0))
    best = optimum(flow, mesh, found)
    assert best is not None and len(set(found.tolist())) == cores
    least = hops(flow, distance, best)
    assert least <= hops(flow, distance, found) <= max(1.05 * least, least + 1e-9)
    for name, bound in bounds(flow, distance).items():
        assert bound <= least + 1e-6, name
    again = search(flow, distance, start, np.random.default_rng(0))
    assert found.tolist() == again.tolist()


def test_bounds_grow_and_the_search_is_no_worse_than_its_start() -> None:
    rng = np.random.default_rng(3)
    mesh = Mesh(5, 4)
    flow = random_flow(rng, 18)
    found = bounds(flow, mesh.distances)
    assert found["flow"] <= found["degree"] <= found["gilmore_lawler"]
    start = mesh.along(18)
    sites = search(flow, mesh.distances, start, rng)
    cost = hops(flow, mesh.distances, sites)
    assert found["gilmore_lawler"] <= cost < 0.9 * hops(flow, mesh.distances, start)
    assert len(set(sites.tolist())) == 18 and sites.max() < 20


def test_the_search_of_many_cores_keeps_its_own_books() -> None:
    rng = np.random.default_rng(5)
    mesh = Mesh(6, 4)
    chain = np.zeros((22, 22))
    chain[np.arange(21), np.arange(1, 22)] = 10
    shuffled = rng.permutation(24)[:22]
    sites = search(chain, mesh.distances, shuffled, rng)
    assert hops(chain, mesh.distances, sites) < 0.4 * hops(chain, mesh.distances, shuffled)
    ordered = search(chain, mesh.distances, mesh.along(22), rng)
    assert hops(chain, mesh.distances, ordered) == 210, "a snake is best"


def test_what_an_exchange_changes_is_the_difference_of_the_costs() -> None:
    rng = np.random.default_rng(6)
    mesh = Mesh(4, 3)
    flow = random_flow(rng, 9)
    state = Exchanges(flow, mesh.distances, mesh.along(9))
    for _ in range(30):
        a, b = int(rng.integers(9)), int(rng.integers(12))
        change = float(state.changes_of(np.array([a]), np.array([b]))[0])
        if b < 9 and a != b:
            assert state.changes()[min(a, b), max(a, b)] == pytest.approx(change)
        before = state.cost
        state.exchange(a, b)
        assert state.cost == pytest.approx(before + change)
        assert state.cost == pytest.approx(hops(flow, mesh.distances, state.sites))


def test_a_core_with_many_partners_pays_for_them() -> None:
    """One core sends to 24 others: its nearest sites are the bound, and the optimum."""
    mesh = Mesh(5, 5)
    star = np.zeros((25, 25))
    star[0, 1:] = 7
    found = bounds(star, mesh.distances)
    least = 7 * float(np.sort(mesh.distances[12])[1:].sum())
    assert found["degree"] == pytest.approx(least, rel=1e-3) and found["degree"] <= least
    sites = search(star, mesh.distances, mesh.along(25), np.random.default_rng(0))
    assert hops(star, mesh.distances, sites) == least


@given(seed=st.integers(0, 10**6), rows=st.integers(1, 5), more=st.integers(0, 2))
def test_linear_assignment_is_the_least_sum(seed: int, rows: int, more: int) -> None:
    cost = np.random.default_rng(seed).integers(-20, 50, (rows, rows + more)).astype(np.float64)
    least = min(
        sum(cost[row, column] for row, column in enumerate(order))
        for order in permutations(range(rows + more), rows)
    )
    found = linear_assignment(cost)
    assert len(set(found.tolist())) == rows
    assert cost[np.arange(rows), found].sum() == pytest.approx(least)


@pytest.mark.parametrize(("columns", "rows", "cores"), [(3, 2, 6), (4, 2, 5), (3, 3, 5)])
def test_the_optimum_is_that_of_all_arrangements(columns: int, rows: int, cores: int) -> None:
    mesh = Mesh(columns, rows)
    flow = random_flow(np.random.default_rng(columns), cores)
    known = mesh.along(cores)
    found = optimum(flow, mesh, known)
    least = min(
        hops(flow, mesh.distances, np.array(sites))
        for sites in permutations(range(mesh.sites), cores)
    )
    assert found is not None and hops(flow, mesh.distances, found) == least


def test_the_optimum_of_many_cores_is_not_looked_for() -> None:
    assert optimum(np.ones((10, 10)), Mesh(5, 2), np.arange(10)) is None


def test_links_carry_what_passes_them() -> None:
    mesh = Mesh(3, 2)
    flow = np.zeros((3, 3))
    flow[0, 1], flow[1, 2] = 5, 2
    sites = np.array([0, 5, 3])  # (0,0) -> (2,1) along the row first; (2,1) -> (0,1)
    across, down = mesh.loads(flow, sites)
    assert across.tolist() == [[5, 5], [2, 2]] and down.tolist() == [[0, 0, 5]]
    assert across.sum() + down.sum() == hops(flow, mesh.distances, sites)


def placed(
    graph: Graph, events: dict[str, float], mesh: Mesh, backend: CrossbarBackend = SMALL
) -> tuple[Traffic, dict[int, int]]:
    mapped = layout(graph, backend.chip(), 4)
    core_of = cores_of(mapped, mesh)
    shapes = layer_shapes(graph, mapped.chip, parts_of(mapped), 4)
    return traffic(graph, shapes, core_of, events, 4), core_of


def spikes_one_by_one(graph: Graph, core_of: dict[int, int], events: dict[str, float]) -> float:
    """Packets of the spikes that feed a Linear directly, element by element."""
    parts = parts_of(layout(graph, SMALL.chip(), 4))
    total = 0.0
    for node in graph.nodes:
        if not isinstance(node.op, Weighted) or len(graph.type_of(node.name).shape) != 1:
            continue
        (source,) = node.inputs
        if not isinstance(graph.node(source).op, Neuron):
            continue
        (layer,) = nearest_before(graph, source, Weighted)
        for element in range(graph.type_of(source).size):
            home = next(
                core_of[place.tile] for p, place in parts
                if p.layer == layer and p.first_row == 0
                and p.first_output <= element < p.first_output + p.outputs
            )  # fmt: skip
            needing = {
                core_of[place.tile] for p, place in parts
                if p.layer == node.name and p.first_row <= element < p.first_row + p.rows
            }  # fmt: skip
            total += len(needing - {home}) * events[source] / graph.type_of(source).size
    return total


def test_a_spike_is_one_packet_for_every_other_core_that_needs_it(
    chain: Callable[..., Graph],
) -> None:
    graph = chain((6, 40, 30, 5))
    events = {"act1": 77.0, "act2": 31.0}
    packets, core_of = placed(graph, events, Mesh(4, 4))
    assert packets.cores == 16
    assert packets.spikes == pytest.approx(spikes_one_by_one(graph, core_of, events))
    assert packets.spikes > 0 and packets.sums > 0
    assert packets.total.sum() == pytest.approx(packets.spikes + packets.sums)
    assert not packets.total.diagonal().any()
    alone, _ = placed(graph, events, Mesh(1, 1))
    assert alone.cores == 1 and not alone.total.any()


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_random_graphs_are_placed(seed: int) -> None:
    graph = random_graph(seed)
    assume(not SMALL.check(graph))
    events = {node.name: 10.0 for node in graph.nodes if isinstance(node.op, Neuron)}
    mesh = Mesh(3, 2)
    packets, core_of = placed(graph, events, mesh)
    found = place(mesh, core_of, packets, seed=1)
    stored = to_json(found, packets, "made up")
    assert sorted(t for core in stored["cores"] for t in core["tiles"]) == sorted(core_of)
    assert stored["hops"] == pytest.approx(hops(packets.total, mesh.distances, found.sites))
    assert stored["hops"] <= stored["hops_in_tile_order"]
    assert max(v for k, v in stored.items() if k.startswith("bound_")) <= stored["hops"] + 1e-6
    again = from_json(stored)
    assert again.core_of == core_of and again.hops(packets) == found.hops(packets)


def test_the_cores_of_a_machine_are_kept(chain: Callable[..., Graph]) -> None:
    graph = chain((6, 40, 30, 5))
    machine = replace(SMALL, tiles_per_core=3)
    packets, core_of = placed(graph, {"act1": 5.0, "act2": 5.0}, Mesh(10, 9), machine)
    assert core_of == {tile: tile // 3 for tile in core_of}
    assert packets.cores == -(-len(core_of) // 3)
    with pytest.raises(UsageError, match="mesh 2x2 has 4 sites, the network takes"):
        placed(graph, {}, Mesh(2, 2), machine)


@pytest.mark.parametrize("packing", ["groups", "disjoint", "time-multiplexed"])
def test_rows_that_are_not_placed_need_no_packets(packing: Any) -> None:
    """Two layers of which the second has weights for one channel only."""
    graph = Graph(Stage.SNN)
    graph.add("x", Input(shape=(2, 4, 4)))
    graph.add("encode", EncodeDirect(scale=1.0, hi=1), ["x"])
    first = graph.set_param("w", np.ones((6, 2, 1, 1), np.int8))
    graph.add("one", Conv(weight=first), ["encode"])
    graph.add("act", Neuron(threshold=3), ["one"])
    second = np.zeros((4, 6, 1, 1), np.int8)
    second[:, 5] = 1
    graph.add("two", Conv(weight=graph.set_param("v", second)), ["act"])
    graph.add("out", Readout(), ["two"])
    graph.outputs = ("out",)
    backend = replace(SMALL, packing=packing, rows=2, cols=16)
    packets, core_of = placed(graph, {"act": 60.0}, Mesh(4, 4), backend)
    columns = {core for core in core_of.values() if packets.layers["two"][:, core].any()}
    assert packets.spikes == 10 * len(columns), "a sixth of the spikes is of channel 5"
    everything, _ = placed(graph, {"act": 60.0}, Mesh(4, 4), replace(backend, packing="none"))
    assert everything.spikes > 3 * packets.spikes


def test_a_spike_that_two_layers_need_is_one_packet() -> None:
    """Directly, and behind a concatenation with a population that only one of them needs."""
    graph = Graph(Stage.SNN)
    graph.add("x", Input(shape=(2, 4, 4)))
    graph.add("encode", EncodeDirect(scale=1.0, hi=1), ["x"])

    def conv(name: str, source: str, inputs: int) -> str:
        weight = graph.set_param(f"{name}.w", np.ones((2, inputs, 1, 1), np.int8))
        return graph.add(name, Conv(weight=weight), [source])

    graph.add("a", Neuron(threshold=3), [conv("one", "encode", 2)])
    graph.add("b", Neuron(threshold=3), [conv("two", "a", 2)])
    graph.add("both", Concat(), ["a", "b"])
    conv("three", "a", 2)
    conv("four", "both", 4)
    graph.add("sum", Add(), ["three", "four"])
    graph.add("out", Readout(), ["sum"])
    graph.outputs = ("out",)
    events = {"a": 32.0, "b": 64.0}

    mapped = layout(graph, CrossbarBackend().chip(), 4)
    shapes = layer_shapes(graph, mapped.chip, parts_of(mapped), 4)
    assert all(len(shape.parts) == 1 for shape in shapes)

    def sent(**cores: int) -> Traffic:
        core_of = {shape.parts[0].tile: cores[shape.layer] for shape in shapes}
        return traffic(graph, shapes, core_of, events, 4)

    apart = sent(one=0, two=1, three=2, four=3)
    assert apart.spikes == 3 * 32 + 64, "a to three cores, b to one"
    together = sent(one=0, two=1, three=2, four=2)
    assert together.layers["three"][0, 2] == 32 and together.layers["four"][0, 2] == 0
    assert together.layers["four"][1, 2] == 64
    assert together.spikes == 2 * 32 + 64
    assert sent(one=0, two=0, three=0, four=0).spikes == 0


def test_spikes_that_are_added_to_a_current_are_sent_as_spikes() -> None:
    graph = Graph(Stage.SNN)
    graph.add("x", Input(shape=(2, 4, 4)))
    graph.add("encode", EncodeDirect(scale=1.0, hi=1), ["x"])
    for name, source in (("one", "encode"), ("two", "a"), ("three", "a")):
        weight = graph.set_param(f"{name}.w", np.ones((2, 2, 1, 1), np.int8))
        graph.add(name, Conv(weight=weight), [source])
        if name == "one":
            graph.add("a", Neuron(threshold=3), ["one"])
    graph.add("scaled", Scale(factor=np.int32(3)), ["a"])
    graph.add("sum", Add(), ["two", "scaled", "three"])
    graph.add("out", Readout(), ["sum"])
    graph.outputs = ("out",)
    mapped = layout(graph, CrossbarBackend().chip(), 4)
    shapes = layer_shapes(graph, mapped.chip, parts_of(mapped), 4)
    tile = {shape.layer: shape.parts[0].tile for shape in shapes}

    def sent(one: int, two: int, three: int) -> Traffic:
        core_of = {tile["one"]: one, tile["two"]: two, tile["three"]: three}
        return traffic(graph, shapes, core_of, {"a": 32.0}, 4)

    apart = sent(0, 1, 2)
    assert apart.spikes == 2 * 32, "to two, which has them for the sum as well, and to three"
    assert apart.sums == 32 * 4 and apart.layers["sum"][2, 1] == 32 * 4
    assert sent(0, 0, 0).total.sum() == 0
