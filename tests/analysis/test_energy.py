"""The estimate of energy against sums made by hand."""

from __future__ import annotations

import numpy as np
import pytest

import snnc
from snnc.analysis import (
    OperationEnergy,
    energy,
    energy_of_layers,
    evaluate,
    synaptic_operations,
)
from snnc.errors import Loc
from snnc.ir import (
    Add,
    Concat,
    Conv,
    CountMaxPool,
    Encode,
    EncodeDirect,
    EncodePoisson,
    Graph,
    Input,
    Linear,
    Neuron,
    Pad,
    Readout,
    Reshape,
    Scale,
    Slice,
    Stage,
    SumPool,
)
from snnc.testing import Style, build, sample_inputs, windows
from snnc_passes._neuron_groups import separate


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
POOLED = 4
"""Neurons that an element of the pool sums; each meets the weights of that element."""


def test_direct_encoding_multiplies_in_the_first_layer() -> None:
    found = energy(network(EncodeDirect()), {"relu1": 0.5, "relu2": 2.0}, timesteps=4)
    acs = 0.5 * POOLED * MACS[1] + 2.0 * MACS[2]
    assert found.macs == sum(MACS) and found.acs == pytest.approx(acs)
    assert found.ann_pj == pytest.approx(4.6 * sum(MACS))
    assert found.once_pj == pytest.approx(4.6 * MACS[0] + 0.9 * acs)
    assert found.every_step_pj == pytest.approx(4.6 * 4 * MACS[0] + 0.9 * acs)


def test_spikes_from_the_encoder_on_only_add() -> None:
    rates = {"encode": 3.0, "relu1": 0.5, "relu2": 2.0}
    cost = OperationEnergy(mac=10.0, ac=1.0)
    found = energy(network(EncodePoisson(scale=1.0, hi=1)), rates, 4, cost)
    acs = 3.0 * MACS[0] + 0.5 * POOLED * MACS[1] + 2.0 * MACS[2]
    assert found.acs == pytest.approx(acs)
    assert found.once_pj == found.every_step_pj == pytest.approx(acs)
    assert found.report()["mac_pj"] == 10.0


def test_synaptic_operations_are_the_weights_that_the_spikes_of_a_population_meet() -> None:
    graph = network(EncodeDirect())
    assert synaptic_operations(graph) == {"relu1": 3 * 4 * 4 * 5, "relu2": 5 * 2}
    poisson = network(EncodePoisson(scale=1.0, hi=1))
    assert synaptic_operations(poisson)["encode"] == MACS[0]


def test_a_layer_behind_a_concatenation_sums_the_windows_of_both_parts() -> None:
    graph = build("branches", Style.SNN)
    found = synaptic_operations(graph)
    pool = graph.node("pool").op
    assert isinstance(pool, SumPool)
    window = np.mean([stop - start for start, stop in pool.windows[0]])
    conv3 = graph.params["conv3.weight"].size * graph.type_of("conv3").shape[1]
    assert found["act1"] == found["act2"] == pytest.approx(conv3 / 2 * window)


def populations(*names: str) -> Graph:
    """Populations of 2 x 2 x 2 neurons on a directly encoded input."""
    graph = Graph(Stage.SNN)
    graph.add("x", Input(shape=(2, 2, 2)))
    graph.add("encode", EncodeDirect(), ["x"])
    for name in names:
        graph.add(name, Neuron(threshold=1.0), ["encode"])
    return graph


def convolved(graph: Graph, *before: str) -> Graph:
    """1x1 convolutions of 2 to 3 channels, one behind the other, and a readout."""
    for number, source in enumerate(before):
        channels = graph.type_of(source).shape[0]
        weight = graph.set_param(f"w{number}", np.ones((3, channels, 1, 1), np.float32))
        graph.add(f"conv{number}", Conv(weight=weight), [source])
    graph.outputs = (graph.add("out", Readout(), [f"conv{len(before) - 1}"], loc=Loc()),)
    return graph


def test_every_term_of_a_residual_sum_is_an_addition() -> None:
    graph = populations("a", "b")
    graph.add("whole", Scale(factor=1.0), ["a"])
    graph.add("half", Scale(factor=0.5), ["b"])
    graph.add("sum", Add(), ["whole", "half"])
    convolved(graph, "sum")
    # 8 neurons of each, 3 output channels
    assert synaptic_operations(graph) == {"a": 24, "b": 24}
    assert energy(graph, {"a": 0.25, "b": 2.0}, 4).acs == 24 * 0.25 + 24 * 2


def test_every_neuron_of_a_group_adds() -> None:
    graph = convolved(populations("a"), "a")
    assert synaptic_operations(graph) == {"a": 24}
    separate(graph, {"a": 3})
    split = synaptic_operations(graph)
    assert len(split) == 3 and list(split.values()) == pytest.approx([24, 24, 24])


def test_padding_and_slices_hold_the_spikes_of_what_is_left() -> None:
    graph = populations("a", "b")
    starts, ones = (0, 0, 0), (1, 1, 1)
    graph.add("part", Slice(starts=starts, stops=(1, 2, 2), steps=ones), ["a"])
    graph.add("both", Concat(axis=0), ["part", "b"])
    graph.add("wide", Pad(padding=((0, 0), (0, 0), (1, 1))), ["both"])
    convolved(graph, "wide")
    assert synaptic_operations(graph) == {"a": pytest.approx(4 * 3), "b": pytest.approx(8 * 3)}


def test_a_pool_of_counts_adds_what_it_emits() -> None:
    graph = populations("a")
    graph.add("max", CountMaxPool(windows=windows((2, 2), 2, 2)), ["a"])
    convolved(graph, "max")
    assert energy(graph, {"a": 1.5, "max": 3.0}, 4).acs == 2 * 3 * 3.0


def test_a_layer_on_a_current_multiplies_at_every_step() -> None:
    found = energy(convolved(populations("a"), "a", "conv0"), {"a": 1.0}, 4)
    assert found.acs == 24 and found.macs == 24 + 36
    once = found.once_pj
    assert once == found.every_step_pj == pytest.approx(4.6 * 4 * 36 + 0.9 * 24)


def test_layers_tell_their_parts_of_it() -> None:
    graph = network(EncodeDirect())
    rates = {"relu1": 0.5, "relu2": 2.0}
    parts = energy_of_layers(graph, rates, 4)
    assert parts["conv"] == pytest.approx(4.6 * MACS[0])
    assert parts["fc1"] == pytest.approx(0.9 * 0.5 * POOLED * MACS[1])
    assert sum(parts.values()) == pytest.approx(energy(graph, rates, 4).once_pj)


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
