"""From activations to neurons: structure, refusals, thresholds, potentials."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from snnc.errors import PassError
from snnc.interp import run_ann, run_snn
from snnc.ir import (
    Add,
    AvgPool,
    BatchNorm,
    Conv,
    Encode,
    Graph,
    Input,
    Linear,
    MaxPool,
    Neuron,
    Readout,
    Relu,
    Reshape,
    Scale,
    verify,
)
from snnc.testing import ann_cases, build, sample_inputs, snn_cases
from snnc.testing.builder import Style
from snnc.transform import PassContext
from snnc_passes.lower.activations_to_neurons import ActivationsToNeurons
from snnc_passes.lower.replace_maxpool import ReplaceMaxpool
from snnc_passes.profile import Profile
from snnc_passes.threshold.initialize_potential import InitializePotential
from snnc_passes.threshold.threshold_balance import ThresholdBalance

POOL = (((0, 2), (2, 4)), ((0, 2), (2, 4)))


def small(*, first: bool = True) -> Graph:
    """x -> conv1 -> relu1; the caller goes on."""
    graph, rng = Graph(), np.random.default_rng(3)
    graph.add("x", Input(shape=(2, 4, 4)))
    weight = graph.set_param("conv1.weight", rng.normal(size=(3, 2, 3, 3)).astype(np.float32))
    graph.add("conv1", Conv(weight=weight, padding=((1, 1), (1, 1))), ["x"])
    if first:
        graph.add("relu1", Relu(), ["conv1"])
    return graph


def end(graph: Graph, *outputs: str) -> Graph:
    graph.outputs = outputs
    verify(graph)
    return graph


def convert(graph: Graph, timesteps: int = 4) -> Graph:
    result = ActivationsToNeurons().run(graph.clone(), PassContext(timesteps=timesteps)).graph
    verify(result)
    return result


def batches(graph: Graph, count: int = 96) -> list:
    return [(sample_inputs(graph, count), None)]


# -- activations-to-neurons --------------------------------------------------------------------


def test_names_encoder_readout_and_time() -> None:
    snn = convert(end(small(), "relu1"))
    assert isinstance(snn.node("relu1").op, Neuron)
    assert isinstance(snn.node("x.encode").op, Encode)
    assert isinstance(snn.node("readout").op, Readout)
    assert isinstance(snn.node(snn.inputs_of("readout")[0]).op, Scale)
    assert snn.meta["timesteps"] == 4


def test_many_outputs_get_a_readout_each() -> None:
    snn = convert(end(small(), "relu1", "conv1"))
    assert snn.outputs == ("relu1.readout", "conv1.readout")


def test_an_identity_shortcut_becomes_a_current_and_one_relu_one_population() -> None:
    graph = small()
    graph.add("add", Add(), ["conv1", "relu1"])
    graph.add("double", Add(), ["relu1", "relu1"])
    graph.add("sum", Add(), ["add", "double"])
    snn = convert(end(graph, "sum"))
    assert sum(isinstance(node.op, Neuron) for node in snn.nodes) == 1
    for name in ("add", "double"):
        assert all(snn.type_of(s).signal == "current" for s in snn.inputs_of(name))


def test_a_relu_of_what_cannot_be_negative_is_dropped() -> None:
    graph = small()
    graph.add("half", Scale(factor=0.5), ["relu1"])
    graph.add("relu2", Relu(), ["half"])
    result = ActivationsToNeurons().run(end(graph, "relu2").clone(), PassContext())
    assert "relu2" not in result.graph
    assert result.metrics["dropped"] == 1


def test_a_relu_of_the_input_itself() -> None:
    graph = Graph()
    graph.add("x", Input(shape=(3,)))
    graph.add("relu", Relu(), ["x"])
    snn = convert(end(graph, "relu"), 10)
    x = np.array([[0.3, 0.7, -0.2]], np.float32)
    out = run_snn(snn, x, timesteps=10).outputs["readout"].numpy()
    np.testing.assert_allclose(out, [[0.3, 0.7, 0.0]], atol=0.1001)


def test_max_pooling_of_the_input_stays_before_the_encoder() -> None:
    graph = Graph()
    graph.add("x", Input(shape=(2, 4, 4)))
    graph.add("pool", MaxPool(windows=POOL), ["x"])
    graph.add("flat", Reshape(shape=(8,)), ["pool"])
    weight = graph.set_param("w", np.ones((2, 8), np.float32))
    graph.add("fc", Linear(weight=weight), ["flat"])
    snn = convert(end(graph, "fc"))
    assert snn.inputs_of("x.encode") == ("pool",)


@pytest.mark.parametrize(
    ("op", "remedy"),
    [
        (AvgPool(windows=POOL, divisors=((2, 2), (2, 2))), "lower-avgpool"),
        (BatchNorm(mean="m", variance="v"), "fold-batchnorm"),
    ],
)
def test_what_was_not_lowered_names_its_pass(op, remedy: str) -> None:
    graph = small()
    if isinstance(op, BatchNorm):
        ones = graph.set_param("ones", np.ones(3, np.float32))
        op = BatchNorm(mean=ones, variance=ones)
    graph.add("late", op, ["relu1"])
    with pytest.raises(PassError) as caught:
        convert(end(graph, "late"))
    assert remedy in str(caught.value.hint)


# -- replace-maxpool ---------------------------------------------------------------------------


def test_max_pools_become_averages_behind_their_relu() -> None:
    graph = small(first=False)
    graph.add("pool", MaxPool(windows=POOL), ["conv1"])
    graph.add("relu", Relu(), ["pool"])
    replaced = ReplaceMaxpool().run(end(graph, "relu").clone(), PassContext()).graph
    verify(replaced)
    assert replaced.outputs == ("pool",)
    assert replaced.inputs_of("pool") == ("relu",)
    assert isinstance(replaced.node("pool").op, AvgPool)
    x = sample_inputs(graph, 2)
    conv = run_ann(graph, x, keep=["conv1"])["conv1"]
    mean = torch.nn.functional.avg_pool2d(torch.relu(conv), 2)
    torch.testing.assert_close(run_ann(replaced, x)["pool"], mean)


def test_an_unknown_replacement_is_refused() -> None:
    with pytest.raises(ValueError, match="average"):
        ReplaceMaxpool(by="sum")  # type: ignore[arg-type]


# -- threshold-balance -------------------------------------------------------------------------


@pytest.mark.parametrize("granularity", ["channel", "layer"])
@pytest.mark.parametrize(("statistic", "percent"), [("max", 100), ("percentile", 95)])
def test_thresholds_are_statistics_of_the_activation(granularity, statistic, percent) -> None:
    ann = end(small(), "relu1")
    data = batches(ann)
    each = ThresholdBalance(granularity=granularity, statistic=statistic, percentile=95)
    result = each.run(convert(ann), PassContext(ann=ann, calibration=data))
    verify(result.graph)
    values = run_ann(ann, data[0][0])["relu1"].numpy()
    axes = (0, 2, 3) if granularity == "channel" else None
    expected = np.percentile(values, percent, axis=axes)
    threshold = result.graph.array(result.graph.node("relu1").op.threshold)
    np.testing.assert_allclose(threshold, expected, rtol=2e-3)
    assert result.metrics["thresholds"]["relu1"]["max"] == pytest.approx(threshold.max())


def test_thresholds_do_not_depend_on_batches() -> None:
    ann = end(small(), "relu1")
    x = sample_inputs(ann, 200)
    found = [
        ThresholdBalance()
        .run(convert(ann), PassContext(ann=ann, calibration=data))
        .graph.fingerprint()
        for data in ([(x, None)], [(part, None) for part in np.array_split(x, 9)])
    ]
    assert found[0] == found[1]


def test_silent_channels_take_the_median_and_rare_ones_their_maximum() -> None:
    graph = Graph()
    graph.add("x", Input(shape=(4,)))
    graph.add("relu", Relu(), ["x"])
    ann = end(graph, "relu")
    x = np.zeros((5000, 4), np.float32)
    x[:, 0], x[:, 1] = 2.0, 4.0
    x[7, 2] = 0.5  # once in 5000: the 99.9 percentile is zero
    ctx = PassContext(ann=ann, calibration=[(x, None)])
    snn = ThresholdBalance().run(convert(ann), ctx).graph
    threshold = snn.array(snn.node("relu").op.threshold)
    np.testing.assert_allclose(threshold, [2, 4, 0.5, 2], rtol=1e-3)


def test_a_silent_layer_keeps_its_threshold_and_is_reported(caplog) -> None:
    ann = end(small(), "relu1")
    ctx = PassContext(ann=ann, calibration=[(np.zeros((4, 2, 4, 4), np.float32), None)])
    snn = convert(ann)
    result = ThresholdBalance().run(snn.clone(), ctx)
    assert result.graph.fingerprint() == snn.fingerprint()
    assert result.graph.node("relu1").op.threshold == 1.0
    assert result.metrics["silent"] == ["relu1"]
    assert "relu1" in caplog.text


@pytest.mark.parametrize("case", snn_cases(), ids=lambda c: c.name)
@pytest.mark.parametrize("source", ["ann", "current"])
def test_every_network_can_be_balanced_also_behind_max_pools(case, source: str) -> None:
    ctx = PassContext(ann=case.ann, calibration=batches(case.graph, 8), timesteps=4)
    result = ThresholdBalance(source=source).run(case.graph.clone(), ctx)  # type: ignore[arg-type]
    verify(result.graph)
    again = ThresholdBalance(source="ann").run(result.graph.clone(), ctx)
    verify(again.graph)
    if source == "ann":
        assert again.graph.fingerprint() == result.graph.fingerprint()


def test_a_spike_counts_in_proportion_to_its_threshold() -> None:
    """Twice the threshold and twice the spike: the rate halves, what arrives stays."""
    ann = build("plain", Style.ANN)
    ctx = PassContext(ann=ann, calibration=batches(ann), timesteps=256)
    from snnc.pipeline import Pipeline

    text = "fold-batchnorm,lower-avgpool,activations-to-neurons,threshold-balance{statistic=max}"
    snn = Pipeline.from_text(text).run(ann, ctx).graph
    x = sample_inputs(ann, 4, 9)
    spiking = run_snn(snn, x, timesteps=256).outputs["readout"].numpy()
    analog = run_ann(ann, x, dtype=torch.float64)[ann.outputs[0]].numpy()
    assert np.abs(spiking - analog).max() < 0.05 * np.abs(analog).max()


def test_scale_is_for_thresholds_alone() -> None:
    ann = build("plain", Style.ANN, lowered=True)
    ctx = PassContext(calibration=batches(ann, 20), ann=ann, timesteps=4)
    whole, scaled = (ThresholdBalance(scale=scale).run(convert(ann), ctx) for scale in (1.0, 0.25))
    neurons = [node.name for node in whole.graph if isinstance(node.op, Neuron)]
    for name in neurons:
        thresholds = [r.graph.array(r.graph.node(name).op.threshold) for r in (whole, scaled)]
        np.testing.assert_allclose(thresholds[1], 0.25 * thresholds[0], rtol=1e-6)
        assert scaled.metrics["thresholds"][name]["max"] == pytest.approx(thresholds[1].max())
    for node in whole.graph:
        if node.name not in neurons:
            assert scaled.graph.node(node.name).op == node.op
    factors = [n for n in whole.graph.params if n.endswith("factor")]
    assert factors
    for name in factors:
        np.testing.assert_array_equal(scaled.graph.params[name], whole.graph.params[name])


def test_balancing_an_integer_graph_is_refused() -> None:
    graph = build("plain", Style.QUANTIZED)
    ctx = PassContext(ann=build("plain", Style.ANN), calibration=batches(graph))
    with pytest.raises(PassError, match="quantised"):
        ThresholdBalance().run(graph, ctx)


@pytest.mark.parametrize(
    "options",
    [
        {"percentile": 0},
        {"source": "data"},
        {"statistic": "mean"},
        {"granularity": "x"},
        {"scale": 0.0},
        {"timesteps": 0, "source": "current"},
        {"timesteps": 4},
    ],
)
def test_wrong_options_are_refused(options) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        ThresholdBalance(**options)


# -- initialize-potential, profile -------------------------------------------------------------


def test_potentials_start_at_a_fraction() -> None:
    snn = convert(end(small(), "relu1"))
    ref = snn.set_param("t", np.array([0.5, 1, 4], np.float32))
    snn.replace_op("relu1", replace(snn.node("relu1").op, threshold=ref))
    first = InitializePotential(fraction=0.25).run(snn.clone(), PassContext())
    np.testing.assert_allclose(first.graph.array(first.graph.node("relu1").op.v_init), ref_quarter)
    again = InitializePotential(fraction=0.25).run(first.graph.clone(), PassContext())
    assert again.graph.fingerprint() == first.graph.fingerprint() != snn.fingerprint()
    with pytest.raises(ValueError, match="fraction"):
        InitializePotential(fraction=1.5)


ref_quarter = [0.125, 0.25, 1.0]


def test_potentials_of_integers_are_rounded_to_even() -> None:
    graph = build("plain", Style.QUANTIZED)
    result = InitializePotential().run(graph, PassContext()).graph
    verify(result)
    for node in result.nodes:
        if isinstance(node.op, Neuron):
            threshold, start = result.array(node.op.threshold), result.array(node.op.v_init)
            assert np.issubdtype(start.dtype, np.integer)
            np.testing.assert_array_equal(start, np.rint(threshold / 2))


@pytest.mark.parametrize("style", [Style.SNN, Style.QUANTIZED])
def test_profile_counts_spikes(style: Style) -> None:
    graph = build("plain", style)
    data = batches(graph, 70)
    result = Profile().run(graph.clone(), PassContext(calibration=data, timesteps=5))
    neurons = [node.name for node in graph if isinstance(node.op, Neuron)]
    values = run_snn(graph, data[0][0], timesteps=5, keep=neurons).values
    for name in neurons:
        assert result.graph.stats[name]["rate"] == pytest.approx(float(values[name].mean()), 1e-3)
    again = Profile().run(result.graph.clone(), PassContext(calibration=data, timesteps=5))
    assert again.graph.fingerprint() == result.graph.fingerprint() != graph.fingerprint()


def test_ann_cases_are_converted_or_refused_by_name() -> None:
    from snnc.pipeline import Pipeline

    text = "fold-batchnorm,fold-normalization,lower-avgpool,lower-maxpool,activations-to-neurons"
    for case in ann_cases():
        snn = Pipeline.from_text(text).run(case.graph, PassContext()).graph
        relus = {node.name for node in case.graph if isinstance(node.op, Relu)}
        assert relus == {node.name for node in snn if isinstance(node.op, Neuron)}
