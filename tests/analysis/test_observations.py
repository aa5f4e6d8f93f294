"""Rates, errors and rasters, held against the spikes themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import snnc
from snnc.analysis import measure_layers
from snnc.analysis.observations import POINTS, prefixes
from snnc.analysis.raster import CELLS, evenly
from snnc.driver import Compiled
from snnc.interp import Interpreter
from snnc.ir import Graph, Neuron
from snnc.ir.populations import spike_values
from snnc.testing import Style, build, sample_inputs

T = 6
SPIKING = "activations-to-neurons,threshold-balance,initialize-potential,fold-scale"


@pytest.fixture(scope="module")
def ann() -> Graph:
    return snnc.Pipeline.from_text("fold-batchnorm,lower-avgpool").run(
        build("plain", Style.ANN), snnc.PassContext()
    ).graph  # fmt: skip


@pytest.fixture(scope="module")
def x(ann: Graph) -> np.ndarray:
    return sample_inputs(ann, 40)


@pytest.fixture(scope="module")
def compiled(ann: Graph, x: np.ndarray) -> Compiled:
    return snnc.compile(ann, target="reference", passes=SPIKING, timesteps=T, calibration=x)


def look(compiled: Compiled, x: np.ndarray, ann: Graph | None = None, **options: Any) -> Any:
    """Observe all of `x`, in batches of 7."""
    data = [(x[i : i + 7], None) for i in range(0, len(x), 7)]
    return measure_layers(
        compiled.program, compiled.graph, data, ann=ann, **{"timesteps": T, **options}
    )


def test_rates_are_counts_of_spikes(compiled: Compiled, x: np.ndarray) -> None:
    found = look(compiled, x)
    run = compiled.program.run(x, record="spikes")
    populations = [n.name for n in compiled.graph if isinstance(n.op, Neuron)]
    assert list(found["layers"]) == populations and len(populations) == 3
    for name, row in found["layers"].items():
        spikes = run.spikes[name]
        assert row["rate"] == pytest.approx(spikes.mean()) and 0 < row["rate"] < 1
        assert row["spikes_per_inference"] == pytest.approx(spikes.sum() / len(x))
        assert row["silent"] == pytest.approx(1 - spikes.any(axis=(0, 1)).mean())
        assert row["saturated"] == pytest.approx(spikes.all(axis=0).mean())
        assert "activation_error" not in row
    assert "agreement" not in found


def test_the_error_is_relative_to_the_activations(
    compiled: Compiled, x: np.ndarray, ann: Graph
) -> None:
    found = look(compiled, x, ann)
    run = compiled.program.run(x, record="counts")
    with torch.no_grad():
        expected = Interpreter(ann, torch.float32).ann(x, "all")
    for name, row in found["layers"].items():
        op = compiled.graph.node(name).op
        assert isinstance(op, Neuron)
        threshold = np.asarray(compiled.graph.array(op.threshold), np.float64)
        wide = threshold.reshape(-1, *(1,) * (run.counts[name].ndim - 2))
        a = expected[name].numpy().astype(np.float64)
        error = np.linalg.norm(run.counts[name] / T * wide - a) / np.linalg.norm(a)
        assert row["activation_error"] == pytest.approx(error, rel=1e-6)
        pairs = row["scatter"]
        assert 20 < len(pairs["activation"]) == len(pairs["decoded"]) <= POINTS
        assert np.isin(np.float32(pairs["decoded"]).round(3), (run.counts[name] / T * wide)
                       .astype(np.float32).round(3)).mean() > 0.9  # fmt: skip
    output = expected[ann.outputs[0]].numpy().reshape(len(x), -1).argmax(1)
    same = (run.output.reshape(len(x), -1).argmax(1) == output).mean()
    assert [row["timesteps"] for row in found["agreement"]] == [1, 2, 3, 4, 5, 6]
    assert found["agreement"][-1]["agreement"] == same


def test_a_longer_window_is_closer_to_the_ann(
    compiled: Compiled, x: np.ndarray, ann: Graph
) -> None:
    errors = [
        [row["activation_error"] for row in look(compiled, x, ann, timesteps=t)["layers"].values()]
        for t in (2, 8, 128)
    ]
    for short, middle, long in zip(*errors, strict=True):
        assert short > middle > long
    assert max(errors[-1]) < 0.1


def test_only_the_first_samples_are_run(compiled: Compiled, x: np.ndarray, ann: Graph) -> None:
    few = look(compiled, x, ann, samples=10)
    assert few["samples"] == 10 and few == look(compiled, x[:10], ann)
    assert look(compiled, x)["samples"] == 40


def test_chunks_change_nothing(
    compiled: Compiled, x: np.ndarray, ann: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = look(compiled, x, ann)
    monkeypatch.setattr("snnc.analysis.observations.OBSERVED_VALUES", 1)
    parts = look(compiled, x, ann)
    assert parts["agreement"] == whole["agreement"] and parts["raster"] == whole["raster"]
    for name, row in whole["layers"].items():
        assert parts["layers"][name]["rate"] == row["rate"]
        assert parts["layers"][name]["activation_error"] == pytest.approx(row["activation_error"])


def test_signed_spikes_count_twice_and_cancel(ann: Graph, x: np.ndarray) -> None:
    passes = SPIKING.replace("to-neurons", "to-neurons{signed=true}")
    signed = snnc.compile(ann, target="reference", passes=passes, timesteps=T, calibration=x)
    found = look(signed, x, ann)
    spikes = signed.program.run(x, record="spikes").spikes
    negative = [name for name in found["layers"] if (spikes[name] < 0).any()]
    assert negative
    for name in negative:
        row = found["layers"][name]
        assert row["rate"] == pytest.approx(np.abs(spikes[name]).mean())
        op = signed.graph.node(name).op
        assert isinstance(op, Neuron)
        threshold = np.asarray(signed.graph.array(op.threshold))
        wide = threshold.reshape(-1, *(1,) * (spikes[name].ndim - 3))
        with torch.no_grad():
            a = Interpreter(ann, torch.float32).ann(x, [name])[name].numpy()
        error = np.linalg.norm(spikes[name].sum(0) / T * wide - a) / np.linalg.norm(a)
        assert row["activation_error"] == pytest.approx(error, rel=1e-5)


def test_the_raster_is_the_spikes(compiled: Compiled, x: np.ndarray) -> None:
    found = look(compiled, x)["raster"]
    run = compiled.program.run(x[:1], record="spikes")
    assert found["sample"] == 0 and found["steps"] == T
    for layer in found["layers"]:
        spikes = run.spikes[layer["layer"]].reshape(T, -1)
        assert layer["size"] == spikes.shape[1]
        drawn = np.zeros((T, len(layer["neurons"])), bool)
        drawn[layer["step"], layer["row"]] = True
        np.testing.assert_array_equal(drawn, spikes[:, layer["neurons"]] != 0)


def test_a_long_window_is_bounded(compiled: Compiled, x: np.ndarray) -> None:
    found = look(compiled, x[:2], timesteps=1000)
    rows = sum(len(layer["neurons"]) for layer in found["raster"]["layers"])
    assert found["timesteps"] == 1000 and rows * found["raster"]["steps"] <= CELLS
    assert len(prefixes(1000)) <= 17 and prefixes(1000)[-1] == 1000
    assert prefixes(3) == (1, 2, 3)


def test_integers_stand_for_the_same_values(x: np.ndarray) -> None:
    model, options = build("plain", Style.ANN), {"target": "reference", "calibration": x}
    compiled = snnc.compile(model, recipe="convert", **options)
    whole = snnc.compile(model, recipe="convert{bits=8}", **options)
    real, integer = spike_values(compiled.graph), spike_values(whole.graph)
    assert set(real) == set(integer) == {"act1", "act2", "act3"}
    for name, values in real.items():
        unit = whole.graph.array(whole.graph.node(name).op.unit)
        assert integer[name].shape == values.shape
        assert np.all(np.abs(integer[name] - values) <= 0.5001 * unit)


def test_populations_without_an_activation_are_not_compared(
    compiled: Compiled, x: np.ndarray, ann: Graph
) -> None:
    other = ann.clone()
    other.bypass("act2")
    found = measure_layers(compiled.program, compiled.graph, [(x, None)], timesteps=T, ann=other)[
        "layers"
    ]
    assert "activation_error" in found["act1"] and "activation_error" not in found["act2"]


def test_evenly_is_in_the_middle_of_equal_parts() -> None:
    assert evenly(10, 5).tolist() == [1, 3, 5, 7, 9]
    assert evenly(3, 5).tolist() == [0, 1, 2]
    assert evenly(0, 5).tolist() == []


def test_large_networks_are_observed_on_fewer_samples(
    compiled: Compiled, x: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    neurons = sum(compiled.graph.type_of(name).size for name in ("act1", "act2", "act3"))
    monkeypatch.setattr("snnc.analysis.observations.WORK", 11 * neurons * T)
    assert look(compiled, x)["samples"] == 11
    assert look(compiled, x, timesteps=3)["samples"] == 22
    assert look(compiled, x, timesteps=60)["samples"] == 8
