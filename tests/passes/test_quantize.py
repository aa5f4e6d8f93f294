"""Integers: what is rounded to what, what it means, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snnc.errors import DataError, PassError, UnsupportedError
from snnc.interp import run_ann, run_snn
from snnc.ir import (
    Add,
    Conv,
    EncodeDirect,
    EncodePoisson,
    Graph,
    Input,
    Linear,
    Neuron,
    Readout,
    Relu,
    Scale,
    Stage,
    verify,
)
from snnc.pipeline import Pipeline
from snnc.testing import Style, build, quantized_cases, random_graph, sample_inputs
from snnc.transform import PassContext
from snnc_passes.quantize.quantize import Quantize
from snnc_passes.recipes.convert import Convert

T = 16


def data(graph: Graph, count: int = 64) -> list:
    return [(sample_inputs(graph, count, 5), None)]


def quantized(graph: Graph, timesteps: int = T, **options) -> Graph:
    ctx = PassContext(timesteps=timesteps, calibration=data(graph))
    result = Quantize(**options).run(graph.clone(), ctx)
    verify(result.graph)
    return result.graph


def chain(weight: np.ndarray, *, threshold: float = 1.0, bias: np.ndarray | None = None) -> Graph:
    """x -> encode -> fc1 -> neurons -> fc2 -> readout."""
    graph = Graph(Stage.SNN)
    rows, columns = weight.shape
    graph.add("x", Input(shape=(columns,)))
    graph.add("encode", EncodeDirect(), ["x"])
    first = Linear(
        weight=graph.set_param("fc1.weight", weight.astype(np.float32)),
        bias=None if bias is None else graph.set_param("fc1.bias", bias.astype(np.float32)),
    )
    graph.add("fc1", first, ["encode"])
    graph.add("act", Neuron(threshold=threshold, v_init=threshold / 2, leak=0.3), ["fc1"])
    last = graph.set_param("fc2.weight", np.eye(rows, dtype=np.float32))
    graph.add("fc2", Linear(weight=last), ["act"])
    graph.add("readout", Readout(), ["fc2"])
    graph.outputs = ("readout",)
    verify(graph)
    return graph


def test_weights_bias_threshold_and_potential_are_integers_of_one_unit() -> None:
    """Rule S19 of docs/semantics.md."""
    weight = np.array([[0.5, -1.0], [0.1, 0.02], [0.0, 0.0]])
    bias = np.array([0.25, -0.01, 0.5])
    graph = quantized(chain(weight, bias=bias))
    encode, first = graph.node("encode").op, graph.node("fc1").op
    assert (encode.scale, encode.lo, encode.hi) == (1 / 255, 0, 255)
    q = graph.array(first.weight)
    assert q.dtype == np.int8
    np.testing.assert_array_equal(q, [[64, -127], [127, 25], [0, 0]])  # 63.5 to even is 64
    units = np.array([1.0, 0.1, 0.0]) / 127 / 255
    units[2] = 2.0**-20  # a dead channel: its threshold is 2^20 units
    act = graph.node("act").op
    thresholds = graph.array(act.threshold)
    np.testing.assert_array_equal(thresholds, np.rint(1 / units))
    np.testing.assert_array_equal(graph.array(act.v_init), np.rint(thresholds / 2))
    np.testing.assert_array_equal(graph.array(first.bias), np.rint(bias / units))
    assert act.leak * 2**15 == round(0.3 * 2**15)
    assert graph.type_of("act").quantized


def test_a_bias_far_above_the_threshold_of_a_dead_channel_is_not_more_than_2_to_the_20() -> None:
    """Else its potential leaves 32 bits within few steps."""
    graph = quantized(chain(np.array([[0.5], [0.0]]), bias=np.array([0.1, -30.0])))
    act, bias = graph.node("act").op, graph.array(graph.node("fc1").op.bias)
    assert bias[1] == -(2**20)
    assert graph.array(act.threshold)[1] == round(2**20 / 30)


def test_the_readout_gives_real_units_back() -> None:
    graph = quantized(chain(np.array([[0.7, 0.2], [0.1, 0.9]])))
    weight = graph.array(graph.node("fc2").op.weight)
    scale = graph.array(graph.node("readout").op.scale)
    np.testing.assert_allclose(weight * np.reshape(scale, (-1, 1)), np.eye(2), rtol=1e-6)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("granularity", ["channel", "layer"])
def test_weights_stay_inside_their_width(bits: int, granularity) -> None:
    weight = np.random.default_rng(0).normal(size=(5, 7)) * np.arange(1, 6)[:, None]
    graph = quantized(chain(weight), bits=bits, granularity=granularity)
    q = graph.array(graph.node("fc1").op.weight).astype(int)
    limit = 2 ** (bits - 1) - 1
    assert np.abs(q).max() == limit
    full = np.abs(q).max(axis=1) == limit
    assert full.all() if granularity == "channel" else full.sum() < 5
    assert graph.meta["quantize"]["bits"] == bits
    assert graph.meta["quantize"]["granularity"] == granularity
    assert graph.meta["quantize"]["timesteps"] == T


def test_signed_inputs_get_a_range_from_calibration() -> None:
    graph = chain(np.ones((2, 2)))
    x = np.array([[0.5, -3.0], [1.5, 0.0]], np.float32)
    result = Quantize(input_bits=12).run(graph, PassContext(calibration=[(x, None)]))
    op = result.graph.node("encode").op
    assert (op.lo, op.hi) == (-2047, 2047)
    assert op.scale == pytest.approx(3 / 2047)


def test_terms_of_a_sum_share_a_unit() -> None:
    graph = converted("residual")
    q = quantized(graph)
    for node in q.nodes:
        if node.op.mnemonic != "add":
            continue
        (user,) = (user for user, _ in q.users_of(node.name))
        before, after = (g.array(g.node(user).op.threshold).astype(float) for g in (graph, q))
        units = before / after
        for source in q.inputs_of(node.name):
            op = q.node(source).op
            if isinstance(op, Conv):
                real, whole = (g.array(g.node(source).op.weight).astype(float) for g in (graph, q))
                error = np.abs(real - whole * units.reshape(-1, 1, 1, 1))
                rounded = 0.51 + 127 * 0.51 / after  # the weight, and the threshold behind units
                assert np.all(error <= (rounded * units).reshape(-1, 1, 1, 1))
            if isinstance(op, Scale):
                assert np.abs(q.array(op.factor)).max() > 127  # factors are not limited to 8 bits


def converted(topology: str, bits: int | None = None, timesteps: int = T) -> Graph:
    ann = build(topology, Style.ANN)
    recipe = Convert(bits=bits, maxpool="average")
    ctx = PassContext(timesteps=timesteps, calibration=data(ann, 128))
    return Pipeline.from_text(recipe.pipeline()).run(ann, ctx).graph


@pytest.mark.parametrize("topology", ["plain", "residual", "branches", "grouped"])
def test_eight_bits_stay_near_real_values(topology: str) -> None:
    real, whole = converted(topology, timesteps=64), converted(topology, 8, timesteps=64)
    x = sample_inputs(real, 8, 11)
    a, b = (run_snn(graph, x, timesteps=64).outputs["readout"].numpy() for graph in (real, whole))
    assert np.abs(a - b).max() <= 0.15 * np.abs(a).max()
    assert np.abs(a - b).mean() <= 0.03 * np.abs(a).mean() + 0.02


@pytest.mark.parametrize("topology", ["plain", "residual", "branches"])
def test_the_recipe_comes_near_the_ann(topology: str) -> None:
    ann = build(topology, Style.ANN)
    x = sample_inputs(ann, 16, 11)
    expected = run_ann(ann, x)[ann.outputs[0]].numpy()
    got = run_snn(converted(topology, timesteps=256), x, timesteps=256).outputs["readout"].numpy()
    assert np.abs(got - expected).max() <= 0.06 * np.abs(expected).max()


def reach(graph: Graph, x, timesteps: int) -> dict[str, float]:
    """Largest input of every population at one step."""
    sources = {
        n.name: graph.inputs_of(n.name)[0] for n in graph if isinstance(n.op, Neuron | Readout)
    }
    values = run_snn(graph, x, timesteps=timesteps, keep=set(sources.values())).values
    return {name: float(values[source].abs().max()) for name, source in sources.items()}


@given(seed=st.integers(0, 10**6))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_random_graphs_are_whole_and_keep_their_bounds_or_are_refused(seed: int) -> None:
    """Rule S23 of docs/semantics.md."""
    graph = random_graph(seed, Style.SNN)
    try:
        q = quantized(graph, timesteps=4)
    except UnsupportedError as error:
        assert "current" in error.message
        return
    bounds = q.meta["quantize"]["bounds"]
    for name, seen in reach(q, sample_inputs(q, 3, seed), 4).items():
        assert seen == round(seen)
        assert seen <= bounds[name]["step"]


def test_a_current_that_is_added_twice_is_rounded_once_and_counts_twice() -> None:
    graph = chain(np.array([[0.5, -1.0], [0.1, 0.2]]))
    once = quantized(graph)
    graph.add("twice", Add(), ["fc1", "fc1"])
    graph.set_input("act", 0, "twice")
    twice = quantized(graph)
    weights = (g.array(g.node("fc1").op.weight) for g in (once, twice))
    np.testing.assert_array_equal(*weights)
    first, second = (g.meta["quantize"]["bounds"]["act"]["step"] for g in (once, twice))
    assert second == 2 * first


@pytest.mark.parametrize("case", quantized_cases()[:4], ids=lambda c: c.name)
def test_a_quantised_graph_is_refused(case) -> None:
    with pytest.raises(PassError, match="quantised already"):
        quantized(case.graph)


def test_what_does_not_fit_is_refused_by_name() -> None:
    graph = chain(np.full((2, 2), 1e-3), threshold=1e3, bias=np.full(2, 1e6))
    with pytest.raises(PassError, match=r"act|fc1"):
        quantized(graph, timesteps=10**6)


def test_layers_on_currents_are_all_refused_by_name() -> None:
    graph = chain(np.ones((2, 2)))
    weight = graph.set_param("w", np.ones((2, 2), np.float32))
    graph.insert_after("fc1", "extra", Linear(weight=weight))
    graph.insert_after("act", "act.scale", Scale(factor=2.0))
    with pytest.raises(UnsupportedError) as caught:
        quantized(graph)
    assert "extra" in caught.value.message
    assert "fc2" in caught.value.message
    assert "fold-scale" in str(caught.value.hint)


def test_calibration_is_needed_for_the_range_of_the_input() -> None:
    graph = chain(np.ones((2, 2)))
    with pytest.raises((PassError, DataError)) as caught:
        Quantize().run(graph, PassContext())
    assert "calibration" in caught.value.message
    with pytest.raises(DataError, match="NaN"):
        nan = np.full((1, 2), np.nan, np.float32)
        Quantize().run(graph, PassContext(calibration=[(nan, None)]))


def test_a_relu_of_the_encoded_input_and_a_readout_of_spikes() -> None:
    ann = Graph()
    ann.add("x", Input(shape=(3,)))
    ann.add("relu", Relu(), ["x"])
    ann.outputs = ("relu",)
    x = np.random.default_rng(0).random((64, 3), np.float32)
    ctx = PassContext(timesteps=32, calibration=[(x, None)])
    graph = Pipeline.from_text(Convert(bits=8).pipeline()).run(ann, ctx).graph
    out = run_snn(graph, x, timesteps=32).outputs["readout"].numpy()
    np.testing.assert_allclose(out, x, atol=0.04)


def test_a_random_encoder_keeps_its_own_scale() -> None:
    graph = chain(np.ones((2, 2)))
    graph.replace_op("encode", EncodePoisson(scale=1 / 255))
    q = quantized(graph)
    assert q.node("encode").op == graph.node("encode").op
    assert np.abs(q.array(q.node("fc1").op.weight)).max() == 127
    run = run_snn(q, np.ones((1, 2), np.float32), timesteps=4, dtype=torch.float64)
    assert run.outputs["readout"].shape == (1, 2)


@pytest.mark.parametrize(
    "options", [{"bits": 1}, {"bits": 9}, {"input_bits": 4}, {"granularity": "pixel"}]
)
def test_wrong_options_are_refused(options) -> None:
    with pytest.raises(ValueError, match=next(iter(options)).replace("_", "-")):
        Quantize(**options)


def test_the_recipe_as_text() -> None:
    assert "quantize" not in Convert().pipeline()
    assert Convert(bits=4).pipeline().endswith("quantize{bits=4}")
    assert Convert(maxpool="average").pipeline().startswith("replace-maxpool")
    layers = "split-sums,linear-bottlenecks,activations-to-neurons,threshold"
    assert f"lower-maxpool,{layers}" in Convert().pipeline()
    assert "activations-to-neurons{maxpool=refuse}" in Convert(maxpool="refuse").pipeline()
    assert "calibrate" not in Convert(calibrate=False).pipeline()
    assert "{wait=T signed=true}" in Convert(wait="T", signed=True).pipeline()
    for options in ({"bits": 1}, {"maxpool": "gated"}, {"percentile": 101.0}, {"wait": -1}):
        with pytest.raises(ValueError, match=next(iter(options))):
            Convert(**options)  # type: ignore[arg-type]
