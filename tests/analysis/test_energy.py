"""The estimate of energy against sums made by hand."""

from __future__ import annotations

import numpy as np
import pytest

import snnc
from snnc.analysis import OperationEnergy, energy, evaluate, synaptic_operations
from snnc.errors import Loc
from snnc.ir import (
    Conv,
    Encode,
    EncodeDirect,
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
from snnc.testing import Style, build, sample_inputs, windows


def network(encode: Encode) -> Graph:
    """(2,4,4) -conv 3x3-> 3 neurons a place -2x2 sum pool, linear-> 5 neurons -linear-> 2."""
    graph = Graph(Stage.SNN)
    ones = {"conv": (3, 2, 3, 3), "fc1": (5, 12), "fc2": (2, 5)}
    refs = {n: graph.set_param(f"{n}.w", np.ones(s, np.float32)) for n, s in ones.items()}
    graph.add("x", Input(shape=(2, 4, 4)))
    graph.add("encode", encode, ["x"])
    same = ((1, 1), (1, 1))
    graph.add("conv", Conv(weight=refs["conv"], padding=same), ["encode"])
    graph.add("relu1", Neuron(threshold=1.0), ["conv"])
    wins = windows((4, 4), 2, 2)
    graph.add("pool", SumPool(windows=wins), ["relu1"])
    graph.add("flat", Reshape(shape=(12,)), ["pool"])
    graph.add("fc1", Linear(weight=refs["fc1"]), ["flat"])
    graph.add("relu2", Neuron(threshold=1.0), ["fc1"])
    graph.add("fc2", Linear(weight=refs["fc2"]), ["relu2"])
    graph.outputs = (graph.add("out", Readout(), ["fc2"], loc=Loc()),)
    return graph


MACS = (3 * 4 * 4 * 2 * 9, 5 * 12, 2 * 5)


def test_direct_encoding_multiplies_in_the_first_layer() -> None:
    found = energy(network(EncodeDirect()), {"relu1": 0.5, "relu2": 2.0}, timesteps=4)
    acs = 0.5 * MACS[1] + 2.0 * MACS[2]
    assert found.macs == sum(MACS) and found.acs == pytest.approx(acs)
    assert found.ann_pj == pytest.approx(4.6 * sum(MACS))
    assert found.once_pj == pytest.approx(4.6 * MACS[0] + 0.9 * acs)
    assert found.every_step_pj == pytest.approx(4.6 * 4 * MACS[0] + 0.9 * acs)


def test_spikes_from_the_encoder_on_only_add() -> None:
    rates = {"encode": 3.0, "relu1": 0.5, "relu2": 2.0}
    cost = OperationEnergy(mac=10.0, ac=1.0)
    found = energy(network(EncodePoisson(scale=1.0, hi=1)), rates, 4, cost)
    acs = 3.0 * MACS[0] + 0.5 * MACS[1] + 2.0 * MACS[2]
    assert found.acs == pytest.approx(acs)
    assert found.once_pj == found.every_step_pj == pytest.approx(acs)
    assert found.report()["mac_pj"] == 10.0


def test_synaptic_operations_are_the_macs_behind_a_population() -> None:
    graph = network(EncodeDirect())
    assert synaptic_operations(graph) == {"relu1": MACS[1], "relu2": MACS[2]}
    poisson = network(EncodePoisson(scale=1.0, hi=1))
    assert synaptic_operations(poisson)["encode"] == MACS[0]


def test_what_several_populations_feed_is_shared_out() -> None:
    graph = build("branches", Style.SNN)
    found = synaptic_operations(graph)
    conv3 = graph.params["conv3.weight"].size * graph.type_of("conv3").shape[1]
    assert found["act1"] + found["act2"] == conv3 and found["act1"] == found["act2"]


def test_eval_tells_it_from_the_spikes_it_counted() -> None:
    graph = build("plain", Style.ANN, lowered=True)
    x = sample_inputs(graph, 12)
    passes = "activations-to-neurons,threshold-balance,fold-scale"
    compiled = snnc.compile(graph, target="cpu", passes=passes, timesteps=5, calibration=x)
    told = evaluate(compiled.program, compiled.graph, [(x[:5], None), (x[5:], None)], timesteps=5)
    counts = compiled.program.run(x, record="counts").counts
    rates = {name: float(each.mean()) for name, each in counts.items()}
    expected = energy(compiled.graph, rates, 5).report()
    assert told.report()["energy"] == pytest.approx(expected)
    assert expected["ac_per_inference"] > 0
