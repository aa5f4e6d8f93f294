"""The CPU backend equals the reference, integer for integer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnc.errors import ArtifactError, DataError, UsageError
from snnc.interp.program import ReferenceProgram
from snnc.ir import (
    Add,
    Conv,
    EncodeDirect,
    EncodePoisson,
    Graph,
    Input,
    Linear,
    MaxPool,
    Neuron,
    Readout,
    Scale,
    Slice,
    Stage,
    SumPool,
)
from snnc.ir.integer_bounds import magnitudes
from snnc.native.cache import open_cache
from snnc.native.code import Machine
from snnc.testing import (
    Style,
    assert_backend_contract,
    assert_equal_runs,
    quantized_cases,
    random_graph,
    sample_inputs,
    snn_cases,
)
from snnc.transform import PassContext
from snnc_backends.cpu import CpuBackend
from snnc_backends.cpu.kernels import PLAIN
from snnc_backends.cpu.lower import lower
from snnc_backends.cpu.module import build
from snnc_backends.cpu.program import CpuProgram, in_memory, load

SAMPLES = 3


class Files:
    """An artifact of files only; `graph` fails."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = dict(files)
        self.manifest: Mapping[str, Any] = {}

    def read(self, name: str) -> bytes:
        if name not in self.files:
            raise ArtifactError(f"no member {name}")
        return self.files[name]

    def array(self, name: str) -> Any:
        return in_memory(self.read(name))

    def graph(self) -> Graph:
        raise AssertionError("a CPU program is loaded without its graph")


def program(graph: Graph, timesteps: int, threads: int = 1) -> CpuProgram:
    """The CPU program of a graph."""
    plan, weights = lower(graph, timesteps)
    return load(plan.to_json(), weights, threads, open_cache())


def reference(graph: Graph, timesteps: int) -> ReferenceProgram:
    """The reference program of a graph."""
    return ReferenceProgram(graph, timesteps)


def assert_equal_to_reference(graph: Graph, timesteps: int, what: str) -> None:
    x = sample_inputs(graph, SAMPLES)
    prefixes = tuple(range(1, timesteps + 1))
    ours = program(graph, timesteps).run(x, record="spikes", seed=3, prefixes=prefixes)
    theirs = reference(graph, timesteps).run(x, record="spikes", seed=3, prefixes=prefixes)
    assert_equal_runs(ours, theirs, what)
    assert ours.stats["saturated"] == theirs.stats["saturated"]
    for t in prefixes:
        np.testing.assert_array_equal(ours.stats["prefixes"][t], theirs.stats["prefixes"][t])


def test_keeps_the_contract(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    cases = [case for case in quantized_cases() if not CpuBackend().check(case.graph)]
    assert len(cases) == len(quantized_cases())
    assert_backend_contract(CpuBackend(threads=2), cases=cases[::3])


@pytest.mark.parametrize("case", quantized_cases(), ids=lambda case: case.name)
def test_integers_are_those_of_the_reference(case) -> None:
    """Rule S24 of docs/semantics.md."""
    assert_equal_to_reference(case.graph, 7, case.name)


@pytest.mark.parametrize(
    "seed", [*range(14), *(pytest.param(n, marks=pytest.mark.long) for n in range(14, 40))]
)
def test_random_integer_graphs(seed: int) -> None:
    graph = random_graph(seed)
    assert CpuBackend().check(graph) == []
    assert_equal_to_reference(graph, 1 + seed % 8, f"seed {seed}")


def on_a_grid(graph: Graph) -> Graph:
    """Parameters rounded to a binary grid, so that every sum is exact in float32."""
    grid = graph.clone()
    for name, array in graph.params.items():
        grid.set_param(
            name, np.maximum(np.rint(array * 8), 1 if name.endswith("hreshold") else -64) / 8
        )
    for node in grid.nodes:
        if isinstance(node.op, Neuron):
            grid.replace_op(node.name, replace(node.op, leak=0.5 if node.op.leak != 1 else 1.0))
    return grid


@pytest.mark.parametrize("seed", range(12))
def test_real_graphs_on_a_grid_are_exact(seed: int) -> None:
    graph = on_a_grid(random_graph(seed, Style.SNN))
    x = np.rint(sample_inputs(graph, SAMPLES) * 8).astype(np.float32) / 8
    timesteps = 1 + seed % 5
    ours = program(graph, timesteps).run(x, record="spikes")
    theirs = reference(graph, timesteps).run(x, record="spikes")
    for name, spikes in theirs.spikes.items():
        np.testing.assert_array_equal(ours.spikes[name], spikes, err_msg=name)
        assert ours.spikes[name].dtype == spikes.dtype
    np.testing.assert_allclose(ours.output, theirs.output, rtol=1e-6)
    assert (ours.readout is None) == (theirs.readout is None)


def test_real_graphs_differ_at_ties_only() -> None:
    spikes = wrong = 0
    for case in snn_cases():
        x = sample_inputs(case.graph, SAMPLES)
        ours = program(case.graph, 8).run(x, record="spikes")
        theirs = reference(case.graph, 8).run(x, record="spikes")
        assert set(ours.spikes) == set(theirs.spikes)
        for name, expected in theirs.spikes.items():
            spikes += expected.size
            wrong += int(np.count_nonzero(ours.spikes[name] != expected))
    print(f"{wrong} of {spikes} spikes differ, {wrong / spikes:.1e}")
    assert wrong / spikes < 1e-4, f"{wrong} of {spikes} spikes differ"


@pytest.mark.parametrize("wait", [0, 3, 12])
@pytest.mark.parametrize("order", ["integrate-fire", "fire-integrate"])
@pytest.mark.parametrize(
    "options", [{}, {"reset": "zero"}, {"signed": True}, {"leak": 29491 / 32768}]
)
def test_every_kind_of_neuron(small, wait, order, options) -> None:
    graph = small(threshold=6000)
    graph.replace_op("act", Neuron(threshold=6000, v_init=-70, wait=wait, order=order, **options))
    assert_equal_to_reference(graph, 5, f"{wait} {order} {options}")


def test_long_windows_take_potentials_of_64_bits(small) -> None:
    graph = small()
    graph.set_param("w", np.full((3, 2, 3, 3), 2**18, np.int32))
    graph.replace_op("act", Neuron(threshold=2**30))
    plan, _ = lower(graph, 4)
    assert [s.kernel.state for s in plan.steps if s.kernel.name == "neuron"] == ["i64"]
    assert_equal_to_reference(graph, 40, "wide")


def test_the_bound_of_a_current_is_that_of_each_channel(chain) -> None:
    """A large bias and large weights of different channels do not add up."""
    graph = chain((2, 2, 1))
    layer = graph.node("fc1").op
    graph.set_param("w1", np.array([[3, -4], [0, 0]], np.int8))
    bias = graph.set_param("b1", np.array([5, -2000], np.int32))
    graph.replace_op("fc1", replace(layer, bias=bias))
    assert magnitudes(graph)["fc1"] == max(7 * 255 + 5, 2000)


def test_a_window_that_could_overflow_is_refused(small) -> None:
    loaded = program(small(), 4)
    assert loaded.plan.longest < 2**20
    with pytest.raises(DataError, match="proved not to overflow"):
        loaded.run(np.zeros((1, 2, 5, 5), np.float32), timesteps=loaded.plan.longest + 1)


def test_many_neurons_and_channels_cross_block_borders() -> None:
    rng = np.random.default_rng(1)
    graph = Graph(Stage.SNN)
    graph.add("x", Input(shape=(40, 3)))
    graph.add("encode", EncodePoisson(scale=1 / 255), ["x"])
    weight = rng.integers(-9, 10, (1100, 20, 2)).astype(np.int8)
    bias = rng.integers(-9, 10, (1100, 4)).astype(np.int32)
    refs = {"weight": graph.set_param("w", weight), "bias": graph.set_param("b", bias)}
    options = {"stride": (1,), "padding": ((0, 2),), "dilation": (1,), "groups": 1}
    with pytest.raises(Exception, match="40"):
        graph.add("wrong", Conv(**refs, **options), ["encode"])
        graph.types()
    graph.remove("wrong")
    graph.set_param("w", np.concatenate([weight, weight[:, ::-1]], 1))
    graph.add("conv", Conv(**refs, **options), ["encode"])
    threshold = graph.set_param("t", rng.integers(1, 40, 1100).astype(np.int32))
    v_init = graph.set_param("v", rng.integers(0, 9, (1100, 4)).astype(np.int32))
    graph.add("act1", Neuron(threshold=threshold, signed=True), ["conv"])
    graph.add("scale", Scale(factor=graph.set_param("f", np.array(3, np.int32))), ["act1"])
    graph.add("act2", Neuron(threshold=2, v_init=v_init), ["scale"])
    graph.add("out", Readout(), ["act2"])
    graph.outputs = ("out",)
    assert_equal_to_reference(graph, 5, "blocks")


def test_ops_before_the_encoding() -> None:
    rng = np.random.default_rng(2)
    graph = Graph(Stage.SNN)
    graph.add("x", Input(shape=(3, 9, 9)))
    factor, shift = graph.set_param("f", rng.random(3)), graph.set_param("s", rng.random((3, 9, 9)))
    graph.add("normalize", Scale(factor=factor, bias=shift), ["x"])
    weight = graph.set_param("w", rng.normal(0, 0.3, (4, 3, 3, 3)).astype(np.float32))
    graph.add("conv", Conv(weight=weight, padding=((1, 0), (0, 2))), ["normalize"])
    rows = ((0, 3), (2, 5), (4, 8))
    graph.add("pool", MaxPool(windows=(rows, rows)), ["conv"])
    graph.add("slice", Slice(starts=(1, 0, 0), stops=(4, 3, 3), steps=(1, 2, 1)), ["pool"])
    graph.add("encode", EncodeDirect(scale=1 / 100, lo=-127, hi=127), ["slice"])
    graph.add("sum", SumPool(windows=(((0, 1), (0, 2)), ((0, 3),))), ["encode"])
    current = graph.add("scale", Scale(factor=graph.set_param("g", np.array(2, np.int32))), ["sum"])
    graph.add("act", Neuron(threshold=300, signed=True), [graph.add("twice", Add(), [current] * 2)])
    graph.add("out", Readout(), ["act"])
    graph.outputs = ("out",)
    assert_equal_to_reference(graph, 6, "analog")


def test_a_readout_of_what_is_constant_in_time() -> None:
    graph = Graph(Stage.SNN)
    graph.add("x", Input(shape=(6,)))
    graph.add("encode", EncodeDirect(scale=1 / 255), ["x"])
    weight = graph.set_param("w", np.arange(-9, 9, dtype=np.int8).reshape(3, 6))
    scale = graph.set_param("s", np.array([0.1, 1.0, 7.0]))
    graph.add("fc", Linear(weight=weight), ["encode"])
    graph.add("out", Readout(scale=scale), ["fc"])
    graph.outputs = ("out",)
    assert_equal_to_reference(graph, 5, "constant")


@pytest.mark.parametrize("threads", [1, 3])
def test_batches_threads_and_repetitions_agree(threads: int) -> None:
    graph = random_graph(5)
    x = sample_inputs(graph, 40)
    expected = reference(graph, 4).run(x, record="counts", seed=9)
    loaded = program(graph, 4, threads)
    for _ in range(2):
        assert_equal_runs(loaded.run(x, record="counts", seed=9), expected, "whole")
    plain = loaded.run(x[30:], sample_ids=np.arange(30, 40), seed=9)
    np.testing.assert_array_equal(plain.output, expected.output[30:])
    assert plain.counts == {} and plain.spikes == {}
    short = reference(graph, 3).run(x[:2], record="spikes")
    assert_equal_runs(loaded.run(x[:2], timesteps=3, record="spikes"), short, "short")


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (np.zeros((2, 5, 2)), {}, r"input has shape \(2, 5, 2\), the network takes \(N, 2, 5, 5\)"),
        (np.zeros((0, 2, 5, 5)), {}, "no samples"),
        (np.full((2, 2, 5, 5), np.nan), {}, "sample 0 of the input holds NaN"),
        (np.zeros((1, 2, 5, 5)), {"timesteps": 0}, "a window of 0 steps"),
        (np.zeros((1, 2, 5, 5)), {"prefixes": (5,)}, "prefix of 5 steps outside a window of 4"),
        (np.zeros((1, 2, 5, 5)), {"sample_ids": np.arange(2)}, "for 1 samples"),
    ],
)
def test_wrong_inputs_are_refused_as_by_the_reference(small, x, options, message) -> None:
    for loaded in (program(small(), 4), reference(small(), 4)):
        with pytest.raises(DataError, match=message):
            loaded.run(x, **options)


def test_wrong_options_are_refused(small) -> None:
    with pytest.raises(UsageError, match="record"):
        program(small(), 4).run(np.zeros((1, 2, 5, 5), np.float32), record="all")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="negative"):
        CpuBackend(threads=-1)


def test_check_names_every_problem(small) -> None:
    graph = small()
    graph.set_param("w", np.full((3, 2, 3, 3), 2**30, np.int32))
    graph.replace_op("act", Neuron(threshold=4, leak=0.3))
    diagnostics = CpuBackend().check(graph)
    assert [d.node for d in diagnostics] == ["conv", "act"]
    assert "do not fit 32 bits" in diagnostics[0].reason
    assert "2^-15" in diagnostics[1].reason
    assert CpuBackend().check(Graph())[0].reason == "the graph has no outputs"


def test_files_are_reproducible_and_aligned() -> None:
    graph = random_graph(3)
    files = CpuBackend().lower(graph, PassContext(timesteps=4))
    assert files == CpuBackend().lower(graph.clone(), PassContext(timesteps=4))
    assert set(files) == {"cpu/plan.json", "cpu/weights.bin"}
    assert len(files["cpu/weights.bin"]) % 64 == 0


@pytest.mark.parametrize("machine", [Machine(block=8), Machine(block=32), Machine(64, True)])
def test_every_width_of_vector_gives_valid_code(machine: Machine) -> None:
    plan, _ = lower(quantized_cases()[2].graph, 4, PLAIN)
    assert "fast" not in build(plan, machine)
    assert ("vector.compress" in build(plan, machine)) == machine.compress


def test_loading_reads_files_only(small) -> None:
    files = CpuBackend().lower(small(), PassContext(timesteps=4))
    assert CpuBackend().load(Files(files)).timesteps == 4
