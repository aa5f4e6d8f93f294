"""Layers driven by events: limits, values, slabs, rows of windows, weights of 24 bits."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from snnc.interp.program import ReferenceProgram
from snnc.ir import (
    Conv,
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
from snnc.native.jit import Host
from snnc.testing import assert_equal_runs, windows
from snnc_backends.cpu.kernels import PLAIN, EventLayer, event_layer
from snnc_backends.cpu.kernels.base import LARGEST
from snnc_backends.cpu.kernels.event_weights import digit_planes, event_limit
from snnc_backends.cpu.lower import lower
from snnc_backends.cpu.program import CpuProgram, load

ALWAYS = type("EventLayer", (EventLayer,), {"cost": lambda *_: 0.0})


def program(graph: Graph, timesteps: int, target: Host | None = None) -> CpuProgram:
    """The program of a graph with event layers wherever they fit."""
    plan, weights = lower(graph, timesteps, (*PLAIN, ALWAYS))
    return load(plan.to_json(), weights, 1, open_cache(), target)


def layers(ours: CpuProgram) -> list[EventLayer]:
    """The event layers."""
    return [s.kernel for s in ours.plan.steps if isinstance(s.kernel, EventLayer)]


def spiking(shape: tuple[int, ...]) -> Graph:
    """Pixels of 0 to 1 that are the probability of a spike, of every step."""
    graph = Graph(Stage.SNN)
    graph.add("x", Input(shape=shape))
    graph.add("encode", EncodePoisson(scale=1 / 255), ["x"])
    return graph


def done(graph: Graph, last: str) -> Graph:
    """The graph with a readout."""
    graph.add("out", Readout(), [last])
    graph.outputs = ("out",)
    return graph


def convolved(channels: int, outputs: int, rows: int, pool: int = 1, **options: Any) -> Graph:
    """Spikes, counts of `pool` x `pool` of them, a layer, neurons, and a layer of all of them."""
    rng = np.random.default_rng(channels + outputs)
    graph = spiking((channels, rows * pool, rows * pool))
    last = "encode"
    if pool > 1:
        each = windows((rows * pool, rows * pool), pool, pool)
        last = graph.add("pool", SumPool(windows=each), [last])
    size = options.pop("size", 3)
    weight = rng.integers(-127, 128, (outputs, channels, size, size)).astype(np.int8)
    graph.add("conv", Conv(weight=graph.set_param("w", weight), **options), [last])
    graph.add("a", Neuron(threshold=2000, v_init=700), ["conv"])
    flat = int(np.prod(graph.types()["a"].shape))
    graph.add("flat", Reshape(shape=(flat,)), ["a"])
    ten = rng.integers(-127, 128, (10, flat)).astype(np.int8)
    graph.add("fc", Linear(weight=graph.set_param("v", ten)), ["flat"])
    return done(graph, "fc")


def assert_equal(graph: Graph, ours: CpuProgram, timesteps: int, rate: float) -> None:
    """Both give the same spikes and sums, for inputs of this rate; one of them is empty."""
    shape = graph.types()["x"].shape
    x = np.random.default_rng(1).random((3, *shape)).astype(np.float32) * 2 * rate
    x[1] = 0
    theirs = ReferenceProgram(graph, timesteps).run(x, record="spikes")
    assert_equal_runs(ours.run(x, record="spikes", timesteps=timesteps), theirs, "events")


SAME: dict[str, Any] = {"padding": ((1, 1), (1, 1))}


@pytest.mark.parametrize(
    ("features", "channels", "outputs", "options"),
    [
        ("", 64, 64, SAME),
        ("sse2", 64, 64, SAME),
        ("", 70, 33, {"size": 5, "stride": (2, 2), "padding": ((2, 1), (0, 3))}),
        ("avx512", 70, 33, {"size": 5, "stride": (2, 2), "padding": ((2, 1), (0, 3))}),
        ("", 33, 130, {"size": 2, "dilation": (2, 1), "padding": ((3, 0), (1, 0))}),
        ("avx2", 33, 130, {"size": 2, "dilation": (2, 1), "padding": ((3, 0), (1, 0))}),
        ("", 128, 20, {"stride": (1, 3)}),
        ("", 130, 40, SAME),  # several steps at a time
    ],
)
def test_windows_of_every_form(
    this_processor: Any, features: str, channels: int, outputs: int, options: dict[str, Any]
) -> None:
    graph = convolved(channels, outputs, 7, **options)
    ours = program(graph, 3, this_processor(features))
    assert len(layers(ours)) == 2
    for steps, rate in ((3, 0.02), (17, 0.3)):
        assert_equal(graph, ours, steps, rate)


@pytest.mark.parametrize(
    ("features", "pool"), [("", 2), ("", 4), ("sse2", 2), ("avx2", 4), ("avx512", 2)]
)
def test_counts_of_every_size(this_processor: Any, features: str, pool: int) -> None:
    graph = convolved(66, 40, 3, pool, **SAME)
    ours = program(graph, 2, this_processor(features))
    kernel = layers(ours)[0]
    assert kernel.copies == pool * pool and kernel.valued
    for rate in (0.05, 0.9):  # up to the largest count, and more than the limit
        assert_equal(graph, ours, 2, rate)


@pytest.mark.parametrize(("rows", "rowwise"), [(2, True), (5, False)])
def test_slabs_of_weights(rows: int, rowwise: bool) -> None:
    graph = convolved(300, 200, rows, **SAME)
    ours = program(graph, 3)
    kernel = layers(ours)[0]
    assert kernel.slabs > 2 and kernel.fetches_rows == rowwise
    assert_equal(graph, ours, 3, 0.15)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("last", "limit"), [(1, LARGEST), (2, 258)])
def test_the_limit_is_reached_exactly(sign: int, last: int, limit: int) -> None:
    weight = np.zeros((40, 300), np.int8)
    weight[0, :258], weight[0, 258] = sign * 127, sign * last  # 32766 and the last one
    weight[1] = -sign
    assert event_limit(weight.T[None], 1) == limit
    graph = spiking((300,))
    graph.add("fc", Linear(weight=graph.set_param("w", weight)), ["encode"])
    ours = program(done(graph, "fc"), 2)
    assert layers(ours)[0].limit == limit
    x = np.ones((1, 300), np.float32)
    readout = ours.run(x).readout
    assert readout is not None
    np.testing.assert_array_equal(readout[0, :2], sign * np.array([65532 + 2 * last, -600]))


def test_the_limit_is_that_of_the_largest_weights() -> None:
    rng = np.random.default_rng(0)
    weight = rng.integers(-128, 128, (1500, 7)).astype(np.int8)
    for copies in (1, 3):
        limit = event_limit(weight[None], copies)
        for sign in (1, -1):
            largest = np.sort(np.repeat(np.maximum(sign * weight.astype(int), 0), copies, 0), 0)
            assert largest[::-1][:limit].sum(0).max() < 2**15
        many = [
            np.sort(np.repeat(np.maximum(s * weight.astype(int), 0), copies, 0), 0) for s in (1, -1)
        ]
        assert max(each[::-1][: limit + 1].sum(0).max() for each in many) >= 2**15


def test_offsets_that_32_bits_do_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = convolved(64, 40, 5, 2, **SAME)
    monkeypatch.setattr(event_layer, "LARGEST", 5000)
    ours = program(graph, 2)
    assert not layers(ours)[0].valued
    assert_equal(graph, ours, 2, 0.3)


def test_a_plan_of_version_3_runs() -> None:
    graph = convolved(20, 16, 4, 2, **SAME)
    plan, weights = lower(graph, 2, (*PLAIN, ALWAYS))
    data = json.loads(plan.to_json()) | {"version": 3}
    for step in data["steps"]:
        if step["kernel"]["name"] == "event-layer":
            assert step["kernel"].pop("digits") == 1
            step["kernel"]["limit"] = 258
    assert_equal(graph, load(json.dumps(data).encode(), weights, 1, open_cache()), 2, 0.3)


def real(graph: Graph) -> Graph:
    """The same with real weights on no grid."""
    result, rng = graph.clone(), np.random.default_rng(7)
    for name, array in graph.params.items():
        moved = array.astype(np.float64) * (1 + rng.standard_normal(array.shape) / 100)
        result.set_param(name, (moved / 50).astype(np.float32))
    for node in graph.nodes:
        if isinstance(node.op, Neuron):
            result.replace_op(node.name, replace(node.op, threshold=40.0, v_init=0.0))
    return result


@pytest.mark.parametrize(
    ("features", "channels", "pool"),
    [("", 40, 1), ("", 400, 1), ("avx2", 66, 2), ("sse2", 40, 1), ("avx512", 66, 2)],
)
def test_real_weights_are_three_digits(
    this_processor: Any, features: str, channels: int, pool: int
) -> None:
    graph = real(convolved(channels, 70, 3, pool, **SAME))
    ours = program(graph, 4, this_processor(features))
    assert [kernel.digits for kernel in layers(ours)] == [3, 3]
    assert layers(ours)[0].slabs == (2 if channels == 400 else 1)
    x = np.random.default_rng(1).random((8, *graph.types()["x"].shape)).astype(np.float32)
    theirs = ReferenceProgram(graph, 4).run(x, record="spikes")
    mine = ours.run(x, record="spikes")
    different = sum(int((mine.spikes[name] != each).sum()) for name, each in theirs.spikes.items())
    assert theirs.spikes["a"].any() and different <= 1e-4 * theirs.spikes["a"].size
    np.testing.assert_allclose(mine.output, theirs.output, rtol=1e-4, atol=1e-3)


def test_digits_make_the_number() -> None:
    weight = np.array([0, 1, -1, 127, 128, -128, -129, 8355711, -8355711, 65535, -65536])
    planes = digit_planes(weight.astype(np.int32), 3).astype(int)
    np.testing.assert_array_equal(planes[0] + 256 * planes[1] + 65536 * planes[2], weight)


def test_sums_of_digits_are_within_rounding() -> None:
    rng = np.random.default_rng(3)
    graph = spiking((2000,))
    weight = rng.standard_normal((50, 2000)).astype(np.float32)
    weight[0] *= 1e-6  # a unit of its own
    weight[1] = 0
    graph.add("fc", Linear(weight=graph.set_param("w", weight)), ["encode"])
    ours = program(done(graph, "fc"), 1)
    x = (rng.random((4, 2000)) < 0.4).astype(np.float32)
    exact = x.astype(np.float64) @ weight.T.astype(np.float64)
    off = np.abs(ours.run(x).output - exact) / np.maximum(np.abs(weight).max(1), 1e-30)
    assert off.max() < 2000**0.5 * 2.0**-21
