"""Chips that are not ideal: compiled code equals the interpreter; silence, ranges of converters."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

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
    (
        GROUPED,
        "device=pcm replication=balanced tiles=90 packing=groups rows=5 partial-sums=analog "
        "wire-ohm=9 adc-bits=5 compensation=column",
    ),
    (random_graph(8), "rows=7 cols=9 cell-bits=2 device=pcm partial-sums=analog"),
    (random_graph(0), "device=pcm cells=two-sided cell-bits=3 rows=9 stuck-on=0.1 adc-bits=5"),
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


@pytest.mark.parametrize(
    "options",
    [
        "device=pcm{seconds=100} adc-bits=4",
        "device=rram-milo cells=unit-column wire-ohm=3",
        "device=rram-wan stuck-on=0.2",
        "device=gaussian cells=offset adc-bits=2",
        "device=gaussian cells=two-sided",
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
