"""Maxima of counts on the targets: the counters of the CPU, the figures of a crossbar (S25)."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from snnc.errors import DataError
from snnc.interp.program import ReferenceProgram
from snnc.ir import (
    CountMaxPool,
    EncodePoisson,
    Graph,
    Input,
    Linear,
    Neuron,
    Readout,
    Reshape,
    Stage,
    SumPool,
)
from snnc.native.cache import open_cache
from snnc.testing import Style, assert_equal_runs, build, load_program, sample_inputs, windows
from snnc.testing.graphs import Case
from snnc.testing.passes import default_context
from snnc_backends.cpu import CpuBackend
from snnc_backends.cpu.kernels import CountMaxPool as Kernel
from snnc_backends.cpu.lower import lower
from snnc_backends.cpu.program import load
from snnc_backends.crossbar import CrossbarBackend
from snnc_backends.reference import ReferenceBackend


def spiking(times: int = 1, channels: int = 37, **neuron: Any) -> Graph:
    """Events of 0 or `times` squared, maxima over clipped windows, linear, neurons, maxima."""
    graph, rng = Graph(Stage.SNN), np.random.default_rng(2)
    graph.add("x", Input(shape=(channels, 5, 5)))
    graph.add("encode", EncodePoisson(scale=1 / 255), ["x"])
    each = SumPool(windows=windows((5, 5), 1, 1), multiplicity=((times,) * 5,) * 2)
    graph.add("times", each, ["encode"])
    graph.add("pool", CountMaxPool(windows=windows((5, 5), 3, 2, 1)), ["times"])
    graph.add("flat", Reshape(shape=(channels * 9,)), ["pool"])
    weight = rng.integers(-20, 30, (16, channels * 9)).astype(np.int8)
    graph.add("fc", Linear(weight=graph.set_param("w", weight)), ["flat"])
    threshold = graph.set_param("t", np.full((), 500, np.int32))
    graph.add("act", Neuron(threshold=threshold, **neuron), ["fc"])
    graph.add("square", Reshape(shape=(1, 4, 4)), ["act"])
    graph.add("second", CountMaxPool(windows=windows((4, 4), 2, 2)), ["square"])
    graph.outputs = (graph.add("out", Readout(), ["second"]),)
    return graph


@pytest.mark.parametrize("options", [{}, {"wait": 3}, {"signed": True}, {"times": 7}])
@pytest.mark.parametrize("threads", [1, 3])
def test_the_cpu_counts_as_the_reference(options: dict[str, Any], threads: int) -> None:
    graph = spiking(**options)
    x = sample_inputs(graph, 7)
    runs = [
        load_program(backend, graph, 12).run(x, record="spikes", prefixes=(1, 5))
        for backend in (ReferenceBackend(), CpuBackend(threads=threads))
    ]
    assert_equal_runs(runs[1], runs[0], "counts")
    for t, output in runs[0].stats["prefixes"].items():
        np.testing.assert_array_equal(runs[1].stats["prefixes"][t], output)
    assert {"pool", "second"} <= set(runs[1].counts)


def test_a_run_starts_with_counts_of_zero() -> None:
    program, x = load_program(CpuBackend(threads=1), spiking(), 6), sample_inputs(spiking(), 3)
    first = program.run(x, record="counts")
    program.run(1 - x)
    np.testing.assert_array_equal(
        program.run(x, record="counts").counts["pool"], first.counts["pool"]
    )


@pytest.mark.parametrize(("times", "state", "longest"), [(2, "i16", 8191), (7, "i32", None)])
def test_counts_are_as_wide_as_they_need(times: int, state: str, longest: int | None) -> None:
    program: Any = load_program(CpuBackend(), spiking(times), 4)
    kernels = [s.kernel for s in program.plan.steps if isinstance(s.kernel, Kernel)]
    assert kernels[0].state == state
    if longest is not None:
        with pytest.raises(DataError, match="proved not to overflow for at most"):
            program.run(sample_inputs(spiking(times), 1), timesteps=longest + 1)


@pytest.mark.parametrize(("times", "most"), [(1, 127), (3, 14)])
def test_counts_are_in_bytes_for_as_long_as_they_fit(times: int, most: int) -> None:
    graph = spiking(times)
    plan, weights = lower(graph, 4)
    kernel = next(s.kernel for s in plan.steps if isinstance(s.kernel, Kernel))
    assert 127 // kernel.levels == most
    older = json.loads(plan.to_json())
    for step in older["steps"]:
        step["kernel"].pop("levels", None)  # as plans had it before there were bytes
    theirs = ReferenceProgram(graph, 4)
    for data in (plan.to_json(), json.dumps(older).encode()):
        ours = load(data, weights, 1, open_cache())
        for steps in (most, most + 1):
            x = np.ones((1, 37, 5, 5), np.float32)  # events at every step
            runs = [each.run(x, record="spikes", timesteps=steps) for each in (ours, theirs)]
            assert runs[1].counts["pool"].max() == steps * times**2
            assert_equal_runs(runs[0], runs[1], "bytes")


def test_a_crossbar_has_its_counters_in_its_figures() -> None:
    graph = spiking(channels=3)
    files = CrossbarBackend().lower(graph, default_context(Case("spiking", graph)))
    figures = json.loads(files["crossbar/figures.json"])
    inputs, outputs = 3 * 25 + 16, 3 * 9 + 4
    assert figures["totals"]["counters"] == inputs + outputs
    assert figures["totals"]["comparisons"] == 3 * 7**2 - 27 + 12
    assert figures["count_maxpools"]["second"] == {
        "counters": 20, "levels": 1, "comparisons": 16 - 4,
    }  # fmt: skip
    assert any("counters" in note for note in figures["notes"])
    plain = build("plain", Style.QUANTIZED)
    files = CrossbarBackend().lower(plain, default_context(Case("plain", plain)))
    assert "counters" not in json.loads(files["crossbar/figures.json"])["totals"]
