"""Copies of layers whose cells have errors: cells of their own, positions in turn."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from snnc.errors import ArtifactError
from snnc.ir import Conv, EncodeDirect, Graph, Input, Readout, Stage
from snnc.pipeline import parse_one
from snnc.plugins import BACKENDS, Registry
from snnc.testing import assert_equal_runs, quantized_cases, sample_inputs
from snnc.transform import PassContext
from snnc_backends.crossbar import CrossbarBackend
from snnc_backends.crossbar.lower import MAPPING
from snnc_backends.crossbar.mapping.matrices import matrices
from snnc_backends.crossbar.mapping.placed_parts import checked_parts, laid_out
from snnc_backends.crossbar.program import CrossbarProgram, load
from snnc_backends.crossbar.reading.programmed import programmed


def chip_of(options: str) -> CrossbarBackend:
    backend = parse_one(f"crossbar{{{options}}}", Registry(BACKENDS))
    assert isinstance(backend, CrossbarBackend)
    return backend


def conv(weight: NDArray[np.integer], side: int) -> Graph:
    """A 1 x 1 convolution of ones and zeros on `side` x `side` pixels."""
    graph = Graph(Stage.SNN)
    graph.add("x", Input(shape=(weight.shape[1], side, side)))
    graph.add("encode", EncodeDirect(scale=1.0, hi=1), ["x"])
    graph.add("conv", Conv(weight=graph.set_param("w", weight[:, :, None, None])), ["encode"])
    graph.add("out", Readout(), ["conv"])
    graph.outputs = ("out",)
    return graph


def test_copies_have_cells_of_their_own_and_positions_in_turn() -> None:
    weight = np.random.default_rng(0).integers(-127, 128, (3, 20)).astype(np.int8)
    graph, device = conv(weight, 5), "device=gaussian{sigma=0.2}"
    ones = np.ones((1, 20, 5, 5), np.float32)

    def outputs(options: str) -> NDArray[np.int64]:
        result = CrossbarProgram(graph, 1, chip_of(f"{device} {options}").chip()).run(ones)
        assert result.readout is not None
        return result.readout.reshape(3, 25)

    alone, copied = outputs(""), outputs("replication=balanced tiles=4")
    assert (alone == alone[:, :1]).all(), "one copy has every position"
    np.testing.assert_array_equal(copied, copied[:, np.arange(25) % 4])
    np.testing.assert_array_equal(copied[:, 0], alone[:, 0])
    assert len(np.unique(copied[:, :4], axis=1).T) == 4, "every copy has errors of its own"
    np.testing.assert_array_equal(copied, outputs("replication=balanced tiles=4"))


def test_errors_of_copies_are_independent() -> None:
    weight = np.full((40, 40), 127, np.int8)
    graph = conv(weight, 3)
    chip = chip_of("device=gaussian replication=balanced tiles=18").chip()
    (matrix,) = matrices(graph)
    layer = programmed(matrix, chip, None, laid_out(graph, chip, 1)["conv"])
    assert layer.copies == 9 and len(layer.cells) == len(layer.gains) == 9
    cells = layer.cells.reshape(9, 40, 40, 4)[..., :2] / 1024
    errors = (cells - [15, 7]).reshape(9, -1)
    correlation = np.corrcoef(errors)[~np.eye(9, dtype=bool)]
    assert np.abs(correlation).max() < 4.5 / np.sqrt(errors.shape[1])


def test_copies_without_errors_are_one() -> None:
    graph = conv(np.ones((2, 3), np.int8), 4)
    chip = chip_of("adc-bits=4 replication=balanced tiles=8").chip()
    assert laid_out(graph, chip, 1) == {}
    (matrix,) = matrices(graph)
    assert programmed(matrix, chip, np.ones((1, 4))).copies == 1


class Files:
    """An artifact without a manifest."""

    manifest: ClassVar[dict[str, Any]] = {}

    def __init__(self, graph: Graph, files: dict[str, bytes]) -> None:
        self._graph, self._files = graph, files

    def read(self, name: str) -> bytes:
        return self._files[name]

    def graph(self) -> Graph:
        return self._graph.clone()


def test_the_artifact_says_where_cells_lie() -> None:
    graph = quantized_cases()[0].graph.clone()
    graph.meta["timesteps"] = 3
    x = sample_inputs(graph, 2)
    backend = chip_of("rows=20 cols=40 packing=time-multiplexed wire-ohm=50")
    files = backend.lower(graph, PassContext(timesteps=3))
    own = CrossbarProgram(graph, 3, backend.chip()).run(x, record="spikes")
    assert_equal_runs(load(Files(graph, files), backend.chip()).run(x, record="spikes"), own, "")
    mapping = json.loads(files[MAPPING])
    rows = mapping["parts"]
    place = {name: mapping["columns"].index(name) for name in ("top", "rows", "left")}

    def with_parts(parts: Any) -> Files:
        return Files(graph, {**files, MAPPING: json.dumps({**mapping, "parts": parts}).encode()})

    first = next(i for i, row in enumerate(rows) if row[place["rows"]] < 20)
    moved = [list(row) for row in rows]
    moved[first][place["top"]] = 0 if rows[first][place["top"]] else 1
    name = mapping["layers"][rows[first][mapping["columns"].index("layer")]]
    (matrix,) = (each for each in matrices(graph) if each.layer == name)
    here, there = (
        programmed(matrix, backend.chip(), None, checked_parts(each, graph, backend.chip())[name])
        for each in (mapping, {**mapping, "parts": moved})
    )
    assert (here.cells != there.cells).any(), "wires are shorter or longer there"
    moved[first][place["top"]] = 20
    copy = mapping["columns"].index("copy")
    before = [[*row[:copy], -1, *row[copy + 1 :]] for row in rows]
    for damaged in (rows[1:], moved, before, [row[:4] for row in rows], None):
        with pytest.raises(ArtifactError, match="the mapping is damaged"):
            load(with_parts(damaged), backend.chip())
