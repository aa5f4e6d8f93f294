"""The reference backend: results of a run, and refused inputs."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from snnc.errors import ArtifactError, DataError, UsageError
from snnc.interp import run_snn
from snnc.interp.program import ReferenceProgram, recorded_nodes
from snnc.ir import Graph, Neuron, Readout, Signal, Stage
from snnc.plugins import BACKENDS, Registry
from snnc.target import Record
from snnc.testing.graphs import Case, quantized_cases, sample_inputs, snn_cases
from snnc.transform import PassContext
from snnc_backends.reference import ReferenceBackend

CASES = (*snn_cases(), *quantized_cases())


class Stored:
    """An artifact of a graph only."""

    def __init__(self, graph: Graph, timesteps: object = 6) -> None:
        self._graph = graph.clone()
        self._graph.meta["timesteps"] = timesteps
        self.manifest: Mapping[str, Any] = {}

    def read(self, name: str) -> bytes:
        raise ArtifactError(f"no member {name}")

    def graph(self) -> Graph:
        return self._graph


def program(graph: Graph) -> ReferenceProgram:
    return ReferenceBackend().load(Stored(graph))


def named(name: str) -> Case:
    return next(case for case in quantized_cases() if case.name == name)


def test_is_installed_and_needs_nothing_but_the_graph() -> None:
    backend = Registry(BACKENDS).get("reference")()
    assert isinstance(backend, ReferenceBackend)
    graph = CASES[0].graph
    assert backend.check(graph) == [] and backend.legalize(graph) == ""
    assert backend.lower(graph, PassContext()) == {}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_run_agrees_with_the_interpreter(case: Case) -> None:
    graph, x = case.graph, sample_inputs(case.graph, 3)
    (name,) = graph.outputs
    result = program(graph).run(x, record="spikes", seed=2)
    expected = run_snn(graph, x, timesteps=6, keep="all", seed=2)
    np.testing.assert_array_equal(result.output, expected.outputs[name].float().numpy())
    assert result.output.dtype == np.float32 and result.timesteps == 6
    if graph.type_of(name).quantized:
        assert result.readout is not None and result.readout.dtype == np.int64
        np.testing.assert_array_equal(result.readout, expected.sums[name].numpy())
    else:
        assert result.readout is None
    assert set(result.spikes) == set(result.counts) == set(recorded_nodes(graph))
    for node, spikes in result.spikes.items():
        value = expected.values[node]
        np.testing.assert_array_equal(spikes, value.expand(6, *value.shape[1:]).numpy())
        total = np.abs(spikes.astype(np.int64)).sum(0)
        assert result.counts[node].dtype == np.uint32
        np.testing.assert_array_equal(result.counts[node], total)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_recorded_are_the_makers_of_events(case: Case) -> None:
    types = case.graph.types()
    recorded = recorded_nodes(case.graph)
    for node in case.graph.nodes:
        if isinstance(node.op, Neuron):
            assert node.name in recorded
        if types[node.name].signal is Signal.CURRENT or node.op.mnemonic in ("reshape", "slice"):
            assert node.name not in recorded


def test_types_of_recorded_events() -> None:
    case = named("plain-signed")
    result = program(case.graph).run(sample_inputs(case.graph, 2), record="spikes")
    kinds = {
        (case.graph.type_of(n).signal, case.graph.type_of(n).signed): v.dtype
        for n, v in result.spikes.items()
    }
    assert kinds[Signal.SPIKE, True] == np.int8
    assert all(d == np.int32 for (signal, _), d in kinds.items() if signal is Signal.COUNT)
    plain = named("plain")
    result = program(plain.graph).run(sample_inputs(plain.graph, 2), record="spikes")
    assert result.spikes["act1"].dtype == np.bool_


@pytest.mark.parametrize("record, spikes, counts", [("none", 0, 0), ("counts", 0, 1)])
def test_records_no_more_than_asked(record: Record, spikes: int, counts: int) -> None:
    graph = CASES[0].graph
    result = program(graph).run(sample_inputs(graph, 2), record=record)
    assert bool(result.spikes) == spikes and bool(result.counts) == counts


def test_parts_of_a_big_batch_equal_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    case = named("plain-poisson")
    x, options = sample_inputs(case.graph, 7) * 1.5, {"record": "spikes", "prefixes": (2, 6)}
    at_once = program(case.graph).run(x, **options)  # type: ignore[arg-type]
    largest = max(kind.size for kind in case.graph.types().values())
    monkeypatch.setattr("snnc.interp.program.REFERENCE_BYTES", 8 * 6 * largest * 3)
    parts = program(case.graph).run(x, **options)  # type: ignore[arg-type]
    np.testing.assert_array_equal(parts.output, at_once.output)
    np.testing.assert_array_equal(parts.readout, at_once.readout)  # type: ignore[arg-type]
    for node in at_once.spikes:
        np.testing.assert_array_equal(parts.spikes[node], at_once.spikes[node])
        np.testing.assert_array_equal(parts.counts[node], at_once.counts[node])
    assert sum(at_once.stats["saturated"].values()) > 0
    assert parts.stats["saturated"] == at_once.stats["saturated"]
    for t in (2, 6):
        np.testing.assert_array_equal(parts.stats["prefixes"][t], at_once.stats["prefixes"][t])


def test_window_and_prefixes() -> None:
    graph = named("plain").graph
    x = sample_inputs(graph, 3)
    result = program(graph).run(x, timesteps=9, prefixes=(4, 9))
    assert result.timesteps == 9
    np.testing.assert_array_equal(result.stats["prefixes"][9], result.output)
    shorter = program(graph).run(x, timesteps=4).output
    np.testing.assert_array_equal(result.stats["prefixes"][4], shorter)
    assert result.stats["prefixes"][4].dtype == np.float32


def test_refused_inputs() -> None:
    graph = named("plain").graph
    run, x = program(graph).run, sample_inputs(graph, 2)
    message = r"input has shape .*, the network takes \(N, 2, 6, 6\)"
    for wrong in (x[0], x[:, :1], np.float32(1)):
        with pytest.raises(DataError, match=message):
            run(wrong)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="the input has no samples"):
        run(x[:0])
    spoilt = x.copy()
    spoilt[1, 0, 2, 2] = np.nan
    with pytest.raises(DataError, match="sample 1 of the input holds NaN"):
        run(spoilt)
    with pytest.raises(DataError, match="a window of 0 steps"):
        run(x, timesteps=0)
    with pytest.raises(DataError, match="prefix of 7 steps"):
        run(x, prefixes=(7,))
    with pytest.raises(DataError, match=r"sample_ids has shape \(3,\) for 2 samples"):
        run(x, sample_ids=np.arange(3))
    with pytest.raises(UsageError, match="record must be one of none, counts, spikes, not 'all'"):
        run(x, record="all")  # type: ignore[arg-type]


@pytest.mark.parametrize("timesteps", [None, 0, "8", True])
def test_an_artifact_without_window_is_refused(timesteps: object) -> None:
    with pytest.raises(ArtifactError, match="number of time steps"):
        ReferenceBackend().load(Stored(CASES[0].graph, timesteps))


def test_check_names_what_is_wrong() -> None:
    assert "the graph has no outputs" in str(ReferenceBackend().check(Graph(Stage.SNN))[0])
    graph = CASES[0].graph.clone()
    (name,) = graph.outputs
    assert isinstance(graph.node(name).op, Readout)
    graph.outputs = graph.inputs_of(name)
    assert any("readout" in str(d) for d in ReferenceBackend().check(graph))
