"""Every injected fault is found with its layer and cause, and a healthy network has none."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnc.analysis.diagnosis import Cause, Diagnosis, Finding
from snnc.analysis.diagnosis.norms import far_norms
from snnc.analysis.diagnosis.remedies import REMEDIES, Settings, remedy
from snnc.data import open_data
from snnc.driver import ModelSource, load_model
from snnc.driver.models import normalize
from snnc.interp import run_ann
from snnc.ir import AvgPool, Graph, MaxPool
from snnc.pipeline import Pipeline
from snnc.testing.builder import NetBuilder, Style

T = 16
LAYERS = ("relu", "relu_1", "relu_2")
MEAN, STD = 0.4, 0.25


def faults(found: Diagnosis) -> list[tuple[str, str]]:
    """(layer, cause) of every fault, in the order of the network."""
    return [(each.layer, str(each.cause)) for each in found.faults]


@pytest.fixture(scope="module")
def model(repository: Path) -> Graph:
    """The trained digits network: bn1, bn2; populations relu, relu_1, relu_2."""
    folder = repository / "examples" / "digits"
    source = ModelSource(
        model=f"{folder / 'net.py'}:build",
        weights=folder / "weights.safetensors",
        input_shape=(1, 8, 8),
    )
    return load_model(source)


@pytest.fixture(scope="module")
def data() -> list[tuple[np.ndarray, None]]:
    """120 images in two batches."""
    x = next(iter(open_data("digits#train", batch_size=120)))[0]
    return [(x[:70], None), (x[70:], None)]


def shifted(data: Any, factor: float, shift: float) -> Any:
    return [(np.float32(factor) * x + np.float32(shift), None) for x, _ in data]


CALIBRATED = (
    "fold-batchnorm,fold-normalization,lower-avgpool,activations-to-neurons,"
    "threshold-balance{statistic=mse},calibrate,fold-scale"
)


@pytest.mark.parametrize("timesteps", [4, 8, 16])
def test_a_calibrated_network_has_no_fault(
    inject: Any, model: Graph, data: Any, timesteps: int
) -> None:
    found = inject.diagnose(model, data, timesteps, passes=CALIBRATED)
    assert faults(found) == []
    plain = inject.diagnose(model, data, timesteps)
    assert found.layers[1].error < plain.layers[1].error


def test_a_group_of_neurons_is_one_layer_of_more_levels(
    inject: Any, model: Graph, data: Any
) -> None:
    """The first layer has a constant current: its neurons do what ideal ones do."""
    plain = CALIBRATED.replace("calibrate", "initialize-potential")
    groups = plain.replace("potential", "potential,split{budget=2.0}")
    one, several = (inject.diagnose(model, data, 4, passes=text) for text in (plain, groups))
    assert [each.name for each in several.layers] == list(LAYERS)
    before, after = one.layers[0], several.layers[0]
    assert after.unevenness < 1e-3 and before.unevenness < 1e-3
    assert after.quantisation < 0.7 * before.quantisation
    assert after.error == pytest.approx(np.hypot(after.quantisation, after.clipping), rel=0.05)
    assert faults(several) == []


@pytest.mark.parametrize("timesteps", [16, 32])
def test_a_healthy_network_has_no_fault(
    inject: Any, model: Graph, data: Any, timesteps: int
) -> None:
    found = inject.diagnose(model, data, timesteps)
    assert faults(found) == [] and found.first_bad_layer is None
    assert [each.name for each in found.layers] == list(LAYERS)
    assert all(each.error is not None and each.error < 0.15 for each in found.layers)
    assert found.over_t[-1].agreement == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("honest", [False, True])
@pytest.mark.parametrize(
    ("factor", "cause"), [(10.0, "threshold-too-high"), (0.1, "threshold-too-low")]
)
def test_one_wrong_threshold(
    inject: Any, model: Graph, data: Any, layer: str, honest: bool, factor: float, cause: str
) -> None:
    wrong = inject.ScaleThreshold(layer=layer, factor=factor, honest=honest)
    found = inject.diagnose(model, data, T, after={"initialize-potential": wrong})
    assert faults(found) == [(layer, cause)] and found.first_bad_layer == layer
    ratio = found.faults[0].evidence["threshold_over_largest"]
    assert 0.5 * factor < ratio < 2 * factor
    assert "`threshold-balance{" in found.faults[0].remedy


@pytest.mark.parametrize(("norm", "layer"), [("bn1", "relu"), ("bn2", "relu_1")])
def test_a_pass_that_forgets_a_batch_norm(
    inject: Any, model: Graph, data: Any, norm: str, layer: str
) -> None:
    found = inject.diagnose(model, data, T, first=[inject.ForgetNorm(norm=norm)])
    assert faults(found) == [(layer, "batch-norm-missing")]
    assert found.faults[0].node == norm
    assert "fold-batchnorm" in found.faults[0].remedy


def test_a_model_that_forgets_a_batch_norm(inject: Any, model: Graph, data: Any) -> None:
    wrong = model.clone()
    wrong.bypass("bn1")
    found = inject.diagnose(wrong, data, T)
    assert faults(found)[0] == ("relu", "batch-norm-missing")
    assert found.faults[0].node == "conv1" and found.faults[0].evidence["batch_norm"] == "bn2"


def test_a_batch_norm_with_the_statistics_of_another(inject: Any, model: Graph, data: Any) -> None:
    wrong = model.clone()
    op: Any = wrong.node("bn2").op
    fresh = wrong.own_param("bn2", "variance", np.ones_like(wrong.array(op.variance)))
    zero = wrong.own_param("bn2", "mean", np.zeros_like(wrong.array(op.mean)))
    wrong.replace_op("bn2", replace(op, mean=zero, variance=fresh))
    assert faults(inject.diagnose(wrong, data, T))[0] == ("relu_1", "batch-norm-statistics")


@pytest.mark.parametrize(
    ("factor", "shift"),
    [(16.0, 0.0), (1 / STD, -MEAN / STD), (STD, MEAN), (1.0, 0.5), (1 / 255, 0.0)],
)
def test_inputs_scaled_otherwise_than_in_training(
    inject: Any, model: Graph, data: Any, factor: float, shift: float
) -> None:
    found = inject.diagnose(model, shifted(data, factor, shift), T)
    assert faults(found)[0] == ("relu", "wrong-normalisation")
    assert found.faults[0].node == "bn1" and "--mean" in found.faults[0].remedy


def test_a_normalisation_given_rightly_is_no_fault(inject: Any, model: Graph, data: Any) -> None:
    given = normalize(model, [MEAN], [STD])
    assert faults(inject.diagnose(given, shifted(data, STD, MEAN), T)) == []


def test_a_mean_in_a_constant_bias(inject: Any, model: Graph, data: Any) -> None:
    given = normalize(model, [MEAN], [STD])
    found = inject.diagnose(
        given, shifted(data, STD, MEAN), T, first=[inject.FoldIntoConstantBias()]
    )
    assert faults(found) == [("relu", "bias-at-border")]
    finding = found.faults[0]
    assert finding.node == "conv1" and "fold-normalization" in finding.remedy
    assert finding.evidence["border"] > 0.1 and finding.evidence["interior"] < 1e-5


@pytest.fixture(scope="module")
def maximal(model: Graph, data: Any) -> Graph:
    """A max pool in place of the first average, with batch norm statistics of its own."""
    graph = model.clone()
    pool: Any = graph.node("pool").op
    assert isinstance(pool, AvgPool)
    graph.replace_op("pool", MaxPool(windows=pool.windows))
    x = np.concatenate([x for x, _ in data])
    before = run_ann(graph, x, keep=["conv2"])["conv2"].numpy()
    norm: Any = graph.node("bn2").op
    mean = graph.own_param("bn2", "mean", before.mean((0, 2, 3)))
    variance = graph.own_param("bn2", "variance", before.var((0, 2, 3)))
    graph.replace_op("bn2", replace(norm, mean=mean, variance=variance))
    return graph


def test_a_max_pool_of_spikes(inject: Any, maximal: Graph, data: Any) -> None:
    pools = {
        "fold-normalization": inject.PoolBySum(),
        "activations-to-neurons": inject.PoolByMaximum(pools=("pool",)),
    }
    found = inject.diagnose(maximal, data, T, after=pools)
    assert faults(found)[0] == ("pool", "maxpool-of-spikes")
    assert found.faults[0].evidence["error"] > 0.1
    assert "lower-maxpool" in found.faults[0].remedy and found.count_pools == ()


def test_a_maximum_of_counts_is_no_fault(inject: Any, maximal: Graph, data: Any) -> None:
    found = inject.diagnose(maximal, data, T)
    assert "pool" not in {node for node, _ in faults(found)}
    assert found.report()["count_max_pools"] == ["pool"]
    assert found.report()["max_pools"]["pool"] < 1e-6


def test_a_replaced_max_pool(inject: Any, maximal: Graph, data: Any) -> None:
    found = inject.diagnose(maximal, data, T, first=Pipeline.from_text("replace-maxpool").passes)
    assert found.faults[0].node == "pool"
    assert faults(found) == [("relu_1", "pooling-replaced")]


@pytest.mark.parametrize(("conv", "layer"), [("conv1", "relu"), ("conv2", "relu_1")])
def test_channels_that_died_in_conversion(
    inject: Any, model: Graph, data: Any, conv: str, layer: str
) -> None:
    found = inject.diagnose(
        model, data, T, after={"fold-scale": inject.Kill(conv=conv, channels=3)}
    )
    assert faults(found)[0] == (layer, "dead-channels")
    assert found.faults[0].evidence["channels"] == [0, 1, 2]
    row = {each.name: each for each in found.layers}[layer]
    assert row.silent_channels == 3 and row.dead_channels == 0


def test_channels_that_are_dead_in_the_ann(inject: Any, model: Graph, data: Any) -> None:
    few, many = model.clone(), model.clone()
    inject.kill(few, "bn1", 2)
    inject.kill(many, "bn1", 9)
    noted = [f for f in inject.diagnose(few, data, T).findings if f.layer == "relu"]
    assert [(f.cause, f.severity) for f in noted] == [("dead-channels", "note")]
    assert noted[0].evidence["channels"]["relu"] == [0, 1]
    assert ("relu", "dead-channels") in faults(inject.diagnose(many, data, T))


def test_a_window_that_is_too_short(inject: Any, model: Graph, data: Any) -> None:
    found = inject.diagnose(model, data, 1)
    assert [cause for _, cause in faults(found)] == ["too-few-timesteps"]
    assert found.faults[0].remedy.startswith("-T 2, or convert{latency=2}")
    assert "No layer is at fault alone" in found.faults[0].text
    assert found.first_bad_layer is None and not found.report()["healthy"]


@pytest.mark.parametrize("cause", ["input-range", "other-model", "weight-rounding"])
def test_a_fault_of_the_whole_network_makes_no_layer_bad(cause: str) -> None:
    whole = Finding("first", "first", Cause(cause), "fault", {}, "", "")
    dead = replace(whole, layer="second", cause=Cause.DEAD_CHANNELS)
    assert Diagnosis(4, 1, (), (whole, dead), ()).first_bad_layer == "second"
    assert Diagnosis(4, 1, (), (whole,), ()).first_bad_layer is None


PLAIN = Settings(timesteps=8, passes=frozenset({"calibrate"}))


def test_what_a_network_has_is_not_advised() -> None:
    advised = remedy(Cause.TOO_FEW_TIMESTEPS, PLAIN)
    assert advised.startswith("-T 16, or convert{latency=16}") and "`calibrate`" not in advised
    options = ("split=1.5", "signed=true", "wait=T-1", "tune=4", "few-steps")
    assert all(option in advised for option in options)
    for settings, missing in (
        (replace(PLAIN, signed=True), {"split", "signed", "tune"}),
        (replace(PLAIN, groups=True), {"split", "signed"}),
        (replace(PLAIN, waits=True), {"wait", "latency="}),
        (replace(PLAIN, passes=frozenset({"calibrate", "choose-schedule"})), {"wait", "-T"}),
        (replace(PLAIN, passes=frozenset({"learn"})), {"convert{s", "convert{w", "recipe"}),
    ):
        advised = remedy(Cause.TOO_FEW_TIMESTEPS, settings)
        assert not [word for word in missing if word in advised.replace("chooses waits", "")]


def test_calibration_is_advised_where_it_did_not_run() -> None:
    plain = replace(PLAIN, passes=frozenset())
    assert remedy(Cause.UNEVENNESS, plain).startswith("`calibrate` behind `threshold-balance`; ")
    assert remedy(Cause.UNEVENNESS, PLAIN).startswith("at this T: convert{split=1.5}")


def test_channels_of_several_layers_that_are_dead_in_the_ann_are_one_note(
    inject: Any, model: Graph, data: Any
) -> None:
    few = model.clone()
    inject.kill(few, "bn1", 2)
    inject.kill(few, "bn2", 3)
    notes = [f for f in inject.diagnose(few, data, T).findings if f.severity == "note"]
    assert len(notes) == 1
    channels = notes[0].evidence["channels"]
    assert (channels["relu"], channels["relu_1"]) == ([0, 1], [0, 1, 2])
    assert notes[0].text.startswith(f"{sum(map(len, channels.values()))} of ")
    assert f"of {len(channels)} layers" in notes[0].text


@pytest.mark.parametrize(
    ("mismatches", "blamed"),
    [
        ((0.2, 0.39, 0.46, 0.57), []),  # ResNet-56: little by little
        ((0.2, 0.1, 0.9, 1.5), ["bn2"]),
        ((0.7, 0.9, 0.9, 1.5), ["bn0"]),
    ],
)
def test_batch_norms_that_drift_little_by_little_are_not_blamed(
    mismatches: tuple[float, ...], blamed: list[str]
) -> None:
    net = NetBuilder(Style.ANN, (4, 4, 4), seed=0)
    x = net.input
    for layer in range(len(mismatches)):
        x = net.act(f"relu{layer}", net.norm(f"bn{layer}", net.conv(f"conv{layer}", x, 4)))
    norms = {f"bn{i}": {"mismatch": value} for i, value in enumerate(mismatches)}
    assert far_norms(net.finish(x), norms) == blamed


def test_remedies_name_passes_and_options_that_exist() -> None:
    texts = REMEDIES.values()
    assert set(REMEDIES) | {Cause.TOO_FEW_TIMESTEPS} == set(Cause)
    named = [spec for text in texts for spec in re.findall(r"`([^`]+)`", text)]
    assert len(named) > 8
    for spec in named:
        assert str(Pipeline.from_text(spec))
