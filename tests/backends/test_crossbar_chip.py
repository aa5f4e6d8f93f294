"""Chips that are not ideal: compiled code equals the interpreter, and both the closed forms."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from snnc.device import DeviceFacts
from snnc.errors import ArtifactError
from snnc.interp.program import ReferenceProgram
from snnc.ir import Graph
from snnc.pipeline import parse_one
from snnc.plugins import BACKENDS, Registry
from snnc.testing import (
    assert_backend_contract,
    assert_equal_runs,
    linear_layer,
    quantized_cases,
    random_graph,
    sample_inputs,
)
from snnc.transform import PassContext
from snnc_backends.crossbar import CrossbarBackend
from snnc_backends.crossbar.mapping.matrices import matrices
from snnc_backends.crossbar.program import CrossbarProgram, load
from snnc_backends.crossbar.reading.physical import PhysicalProgram
from snnc_backends.crossbar.reading.ranges import MEMBER, chosen_ranges
from snnc_backends.crossbar.reading.tile_program import TileProgram

GROUPED = next(case.graph for case in quantized_cases() if case.name == "grouped")
CHIPS = (
    (random_graph(8), "rows=7 cols=9 cell-bits=2 device=pcm{seconds=1000} wire-ohm=20 adc-bits=3"),
    (random_graph(7), "device=rram-milo adc-bits=6 compensation=layer stuck-on=0.01 stuck-off=0.1"),
    (random_graph(0), "device=pcm cells=unit-column cols=20 rows=9 compensation=column"),
    (random_graph(0), "device=level-list{us=[1 3 4 90 92]} cell-bits=2 rows=9 compensation=column"),
    (
        GROUPED,
        "device=pcm replication=balanced tiles=90 packing=groups rows=30 wire-ohm=9 adc-bits=5",
    ),
    (GROUPED, "replication=balanced tiles=99 packing=groups rows=30 stuck-on=0.1 remap=true"),
    (GROUPED, "device=gaussian cells=offset packing=groups rows=40"),
)


def chip_of(options: str) -> CrossbarBackend:
    backend = parse_one(f"crossbar{{{options}}}", Registry(BACKENDS))
    assert isinstance(backend, CrossbarBackend)
    return backend


def ranges(graph: Graph, backend: CrossbarBackend, x: NDArray[np.float32], source: str = "data"):
    if backend.adc_bits == "ideal":
        return None
    ctx = PassContext(timesteps=5, calibration=[(x, None)])
    return chosen_ranges(graph, matrices(graph), backend.chip(), ctx, source)


@pytest.mark.parametrize(("graph", "options"), CHIPS, ids=[text for _, text in CHIPS])
def test_compiled_and_interpreted_chips_are_equal(graph: Graph, options: str) -> None:
    backend = chip_of(options)
    assert not backend.check(graph)
    x, ids = sample_inputs(graph, 3), np.array([5, 0, 9])
    found = ranges(graph, backend, x)
    compiled = CrossbarProgram(graph, 5, backend.chip(), found)
    assert isinstance(compiled._compiled, TileProgram)
    run: dict[str, Any] = {"record": "spikes", "sample_ids": ids, "prefixes": (2,)}
    ours = compiled.run(x, **run)
    theirs = PhysicalProgram(graph, matrices(graph), 5, backend.chip(), found).run(x, **run)
    assert_equal_runs(ours, theirs, options)
    assert ours.stats["activity"] == theirs.stats["activity"]
    np.testing.assert_array_equal(ours.stats["prefixes"][2], theirs.stats["prefixes"][2])
    alone = compiled.run(x[1:], sample_ids=ids[1:])
    np.testing.assert_array_equal(alone.output, ours.output[1:])


def test_keeps_the_contract_of_inexact_targets() -> None:
    cases = quantized_cases()[:2]
    assert_backend_contract(chip_of("device=pcm adc-bits=6"), cases=cases, tolerance=0.6)


def test_codes_enough_for_every_level_are_ideal() -> None:
    graph = quantized_cases()[1].graph
    x = sample_inputs(graph, 3)
    for source in ("data", "worst"):
        backend = CrossbarBackend(adc_bits=12, rows=16)
        found = ranges(graph, backend, x, source)
        ours = CrossbarProgram(graph, 6, backend.chip(), found).run(x, record="spikes")
        assert_equal_runs(ours, ReferenceProgram(graph, 6).run(x, record="spikes"), source)
        assert not any(counted["clipped"] for counted in ours.stats["activity"].values())


@dataclass(frozen=True)
class OnOff:
    """Exact levels between `g_max_us` / `ratio` and `g_max_us`, not declared as ideal."""

    name: ClassVar[str] = "on-off"
    ratio: float = 10.0
    left: float = 1.0

    @property
    def facts(self) -> DeviceFacts:
        return DeviceFacts(g_max_us=50.0, g_min_us=50.0 / self.ratio)

    def program(self, levels: Any, largest: int, rng: np.random.Generator) -> Any:
        low = self.facts.g_min_us
        return (low + levels * ((50.0 - low) / largest)).astype(np.float32)

    def read(self, conductances_us: Any, rng: np.random.Generator, seconds: float) -> Any:
        return (conductances_us * self.left).astype(np.float32)


@pytest.mark.parametrize("cells", ["differential", "offset", "unit-column"])
@pytest.mark.parametrize(("cell_bits", "ratio"), [(b, r) for b in range(1, 7) for r in (10, 100)])
def test_a_ratio_of_conductances_has_gain_one(cells: str, cell_bits: int, ratio: float) -> None:
    rng = np.random.default_rng(cell_bits)
    weights = rng.integers(-127, 128, (6, 40)).astype(np.int8)
    weights[0] = 127
    x = (rng.random((5, 40)) < 0.4).astype(np.float32)
    options = {"rows": 16, "cells": cells, "cell_bits": cell_bits}
    backend = CrossbarBackend(device=OnOff(ratio), **options)
    result = CrossbarProgram(linear_layer(weights), 1, backend.chip()).run(x)
    np.testing.assert_array_equal(result.readout, (x @ weights.T).astype(np.int64))


def closed_form(
    weights: NDArray[np.integer], x: NDArray[np.float32], cell_bits: int, top: int, range_: float
) -> tuple[NDArray[np.int64], int]:
    """A differential layer of tiles of 16 rows, with the ranges of all converters equal."""
    step = max(1.0, np.ceil(range_ * 1024 / top) / 1024)
    total, clipped = np.zeros((len(x), len(weights))), 0
    for start in range(0, weights.shape[1], 16):
        rows = slice(start, start + 16)
        for sign in (1, -1):
            magnitude = np.maximum(sign * weights[:, rows].astype(np.int64), 0)
            for i in range(-(-7 // cell_bits)):
                level = magnitude >> (i * cell_bits) & ((1 << cell_bits) - 1)
                codes = np.rint((x[:, rows] @ level.T) / step)
                clipped += int((codes > top).sum())
                total += sign * 2 ** (i * cell_bits) * np.minimum(codes, top) * step
    return np.rint(total).astype(np.int64), clipped


@pytest.mark.parametrize(
    ("cell_bits", "adc_bits"), [(4, 4), (6, 5), (5, 6), (6, 7), (6, 8), (3, 2), (1, 4), (2, 8)]
)
def test_converters_are_the_closed_form(cell_bits: int, adc_bits: int) -> None:
    rng = np.random.default_rng(adc_bits)
    weights = rng.integers(-127, 128, (9, 40)).astype(np.int8)
    x = (rng.random((8, 40)) < 0.7).astype(np.float32)
    backend = CrossbarBackend(rows=16, cell_bits=cell_bits, adc_bits=adc_bits)
    range_ = 97.3 + adc_bits  # no step is a round number: sums are never halfway
    table = np.full((3, 2 * -(-7 // cell_bits)), range_)
    expected, clipped = closed_form(weights, x, cell_bits, (1 << adc_bits) - 1, range_)
    for program in (
        CrossbarProgram(linear_layer(weights), 1, backend.chip(), {"fc": table}),
        PhysicalProgram(
            linear_layer(weights), matrices(linear_layer(weights)), 1, backend.chip(), {"fc": table}
        ),
    ):
        result = program.run(x)
        np.testing.assert_array_equal(result.readout, expected)
        assert result.stats["activity"]["fc"]["clipped"] == clipped


def test_sums_halfway_between_codes_are_rounded_to_even() -> None:
    weights = np.array([[1], [2], [3], [5], [7]], np.int8)
    backend = CrossbarBackend(cell_bits=7, adc_bits=2)
    table = {"fc": np.full((1, 2), 6.0)}  # a step of two levels, codes 0 to 3
    result = CrossbarProgram(linear_layer(weights), 1, backend.chip(), table).run(
        np.ones((1, 1), "f4")
    )
    assert result.readout.tolist() == [[0, 2, 4, 4, 6]]  # type: ignore[union-attr]
    # 7 / 2 is just within the range 0..3.5, so nothing is clipped.
    assert result.stats["activity"]["fc"]["clipped"] == 0


@pytest.mark.parametrize(
    "options",
    [
        "device=pcm{seconds=100} adc-bits=4",
        "device=rram-milo cells=unit-column wire-ohm=3",
        "device=rram-wan stuck-on=0.2",
        "device=gaussian cells=offset adc-bits=2",
    ],
)
def test_silence_gives_exactly_nothing(options: str) -> None:
    graph, backend = linear_layer(np.full((5, 40), 90, np.int8)), chip_of(f"rows=16 {options}")
    x = np.zeros((3, 40), np.float32)
    found = ranges(graph, backend, np.ones_like(x))
    result = CrossbarProgram(graph, 3, backend.chip(), found).run(x)
    assert not result.readout.any()  # type: ignore[union-attr]
    counted = result.stats["activity"]["fc"]
    assert not any(counted[key] for key in counted if key != "skipped_reads")


@pytest.mark.parametrize("compensation", ["layer", "column"])
def test_compensation_undoes_a_common_loss(compensation: str) -> None:
    rng = np.random.default_rng(0)
    weights = rng.integers(-127, 128, (6, 40)).astype(np.int8)
    x = (rng.random((5, 40)) < 0.4).astype(np.float32)
    device = OnOff(ratio=np.inf, left=0.5)
    lost, kept = (
        CrossbarProgram(
            linear_layer(weights), 1, CrossbarBackend(device=device, compensation=each).chip()
        ).run(x)
        for each in ("none", compensation)
    )
    exact = (x @ weights.T).astype(np.int64)
    np.testing.assert_array_equal(kept.readout, exact)
    assert np.abs(lost.readout - exact).max() > 20


def test_passes_read_compensated_weights() -> None:
    weights = np.random.default_rng(0).integers(-127, 128, (40, 30))
    target = CrossbarBackend(device=OnOff(ratio=np.inf, left=0.5), compensation="layer")
    read = target.read_weights(weights, np.random.default_rng(0))
    np.testing.assert_allclose(read, weights, atol=1e-3)


class Files:
    """An artifact without a manifest."""

    manifest: ClassVar[dict[str, Any]] = {}

    def __init__(self, graph: Graph, files: dict[str, bytes]) -> None:
        self._graph, self._files = graph, files

    def read(self, name: str) -> bytes:
        return self._files[name]

    def graph(self) -> Graph:
        return self._graph.clone()


def test_ranges_lie_in_the_artifact() -> None:
    graph = quantized_cases()[0].graph.clone()
    graph.meta["timesteps"] = 5
    backend = CrossbarBackend(adc_bits=3, rows=16)
    ctx = PassContext(timesteps=5, calibration=[(sample_inputs(graph, 4), None)])
    files = backend.lower(graph, ctx)
    assert MEMBER not in CrossbarBackend().lower(graph, ctx)
    x = sample_inputs(graph, 3)
    found = chosen_ranges(graph, matrices(graph), backend.chip(), ctx, "data")
    expected = CrossbarProgram(graph, 5, backend.chip(), found).run(x, record="spikes")
    loaded = load(Files(graph, files), backend.chip())
    assert_equal_runs(loaded.run(x, record="spikes"), expected, "stored")
    worst = replace(backend, adc_range="worst").lower(graph, ctx)
    assert worst[MEMBER] == backend.lower(graph, replace(ctx, calibration=None))[MEMBER]
    assert worst[MEMBER] != files[MEMBER]
    for damage in (b"{", b'{"range":{}}', files[MEMBER].replace(b"[[", b"[[-1,")):
        with pytest.raises(ArtifactError, match=r"converters\.json"):
            load(Files(graph, {**files, MEMBER: damage}), backend.chip())


def test_ranges_are_those_of_an_ideal_chip() -> None:
    graph = quantized_cases()[1].graph
    x = sample_inputs(graph, 4)
    ideal, faulty = (
        ranges(graph, chip_of(f"adc-bits=4 rows=16 {options}"), x)
        for options in ("", "device=pcm stuck-on=0.05 wire-ohm=3")
    )
    assert ideal is not None and faulty is not None
    for layer, table in ideal.items():
        np.testing.assert_array_equal(faulty[layer], table)


def test_a_layer_without_weights_takes_no_rows() -> None:
    for options in ("packing=groups device=pcm", "packing=groups adc-bits=3"):
        backend, graph = chip_of(options), linear_layer(np.zeros((3, 20), np.int8))
        found = ranges(graph, backend, np.ones((1, 20), np.float32), "worst")
        program = CrossbarProgram(graph, 2, backend.chip(), found)
        result = program.run(np.ones((2, 20), np.float32))
        assert not result.readout.any()  # type: ignore[union-attr]
        assert result.stats["activity"]["fc"]["reads"] == 0
