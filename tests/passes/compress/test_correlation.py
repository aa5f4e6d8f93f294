"""Sums of traces at events, against loops over synapses, positions and steps."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from snnc.interp import run_snn
from snnc.ir import AnyNeuron, Conv, Graph, Linear, Scale, TwoSidedNeuron, Weighted
from snnc.ir.parse import parse
from snnc.testing import Style, build, quantized_cases, sample_inputs, snn_cases
from snnc_passes.compress._correlation import Correlation, Sums, mean_correlations
from snnc_passes.compress._traces import Trace, traced

T, TAU = 4, 3.0


def correlated(graph: Graph, x: Any, trace: Trace = "nearest") -> dict[str, Sums]:
    correlation = Correlation(graph, T, TAU, trace)
    for start in range(0, len(x), 2):
        correlation.add(x[start : start + 2], np.arange(start, min(start + 2, len(x))))
    return correlation.sums


def nearest(events: Any, t: int) -> float:
    """By the formula: the last event, decayed."""
    fired = [s for s in range(t + 1) if events[s] != 0]
    return events[fired[-1]] * math.exp(-(t - fired[-1]) / TAU) if fired else 0.0


def synapses(op: Any, weight: Any, x: Any, y: Any) -> Iterator[tuple[Any, Any, Any]]:
    """(weight, input, output) indices of every synapse of one sample."""
    for index in np.ndindex(weight.shape):
        if isinstance(op, Linear):
            yield index, (index[1],), (index[0],)
            continue
        out, channel, *kernel = index
        first = out // (len(weight) // op.groups) * weight.shape[1]
        for position in np.ndindex(y[1:]):
            places = [
                i * s + d * k - before
                for i, s, d, k, (before, _) in zip(
                    position, op.stride, op.dilation, kernel, op.padding, strict=True
                )
            ]
            if all(0 <= p < n for p, n in zip(places, x[1:], strict=True)):
                yield index, (first + channel, *places), (out, *position)


def by_loops(graph: Graph, name: str, population: str, x: Any) -> Sums:
    """The sums of one layer whose current is the whole input of a population."""
    node = graph.node(name)
    op = node.op
    assert isinstance(op, Conv | Linear)
    values = run_snn(graph, x, timesteps=T, keep="all").values
    events, spikes = values[node.inputs[0]].numpy(), values[population].numpy()
    weight = graph.array(op.weight)
    sums = Sums.none(weight.shape)
    two_sided = isinstance(graph.node(population).op, TwoSidedNeuron)
    for n in range(len(x)):
        for index, source, target in synapses(op, weight, events.shape[2:], spikes.shape[2:]):
            trains = events[(slice(None), n, *source)]
            for t in range(T):
                constant = len(trains) == 1
                pre = trains[0] if constant else nearest(trains, t)
                post = spikes[(t, n, *target)]
                other = -post if two_sided else 1 - post
                sums.excited[index] += pre * post
                sums.inhibited[index] += pre * other
                sums.excitations[index] += abs(post)
                sums.inhibitions[index] += abs(other)
    return sums


def assert_close(found: Sums, expected: Sums) -> None:
    """To the rounding of float32 sums, of which inhibitions are a difference."""
    size = 1 + max(np.abs(expected.excited).max(), np.abs(expected.inhibited).max())
    for field in ("excited", "inhibited", "excitations", "inhibitions"):
        ours, theirs = getattr(found, field), getattr(expected, field)
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=3e-6 * size, err_msg=field)


@pytest.mark.parametrize(
    ("topology", "layer", "population"),
    [
        ("grouped", "conv1", "act1"),  # an analog input, two groups
        ("grouped", "conv2", "act2"),  # four groups, dilated
        ("plain", "fc1", "act3"),
        ("residual", "conv3", "act3"),  # strided
        ("bottlenecks", "depthwise", "act1"),
    ],
)
def test_sums_are_those_of_loops_over_synapses(topology: str, layer: str, population: str) -> None:
    graph = build(topology, Style.SNN)
    x = sample_inputs(graph, 2)
    (name,) = (n.op.weight.name for n in graph if n.name == layer and isinstance(n.op, Weighted))
    assert_close(correlated(graph, x)[name], by_loops(graph, layer, population, x))


def test_a_two_sided_population_excites_and_inhibits() -> None:
    graph = build("bottlenecks", Style.SNN)
    x = sample_inputs(graph, 3)
    found = correlated(graph, x)["project2.weight"]
    assert_close(found, by_loops(graph, "project2", "linear2", x))
    np.testing.assert_allclose(found.excited, -found.inhibited, atol=1e-5)


SIGNED = """graph snn {
  %x = snn.input() {shape=(1)} : analog<1>
  %encode = snn.encode-direct(%x) : current<1 constant>
  %one = snn.linear(%encode) {weight=@w1} : current<1>
  %fired = snn.neuron(%one) {threshold=0.9} : spike<1>
  %two = snn.linear(%fired) {weight=@w2} : current<1>
  %turned = snn.scale(%two) {factor=FACTOR} : current<1>
  %last = snn.neuron(%turned) {threshold=0.4} : spike<1>
  %out = snn.linear(%last) {weight=@w1} : current<1>
  %readout = snn.readout(%out) : current<1>
  return %readout
  @w1 = float32<1x1> [1.0]
  @w2 = float32<1x1> [WEIGHT]
}
"""


def test_a_negative_factor_behind_a_layer_turns_excitation_into_inhibition() -> None:
    plain = parse(SIGNED.replace("FACTOR", "1.0").replace("WEIGHT", "-1.0"))
    turned = parse(SIGNED.replace("FACTOR", "-1.0").replace("WEIGHT", "1.0"))
    x = np.array([[0.6], [1.0], [0.2]], np.float32)
    a, b = (correlated(graph, x)["w2"] for graph in (plain, turned))
    assert a.inhibited.sum() > 0
    assert_close(a, Sums(b.inhibited, b.excited, b.inhibitions, b.excitations))


def test_layers_behind_sums_and_moved_elements_are_reached() -> None:
    for case in (*snn_cases()[:8], *quantized_cases()[-2:]):
        layers = {n.op.weight.name for n in case.graph if isinstance(n.op, Weighted)}
        found = correlated(case.graph, sample_inputs(case.graph, 2))
        on_currents = {"expand.weight"} if "bottlenecks" in case.name else set()
        assert layers - set(found) <= on_currents, case
        assert all(np.isfinite(each.excited).all() for each in found.values())


@pytest.mark.parametrize("wait", [0, 2])
@pytest.mark.parametrize("trace", ["nearest", "additive"])
def test_traces(trace: Any, wait: int) -> None:
    x = torch.tensor([[1.0, 0, 2], [0, 0, 1], [1, 0, 0], [0, 0, 0]])[:, None]
    found = traced(x, TAU, trace, wait)
    for t in range(T):
        for i in range(3):
            events = [*x[:, 0, i].tolist(), 0, 0]
            if trace == "nearest":
                expected = nearest(events, t + wait)
            else:
                last = t + wait
                expected = sum(events[s] * math.exp(-(last - s) / TAU) for s in range(last + 1))
            assert found[t, 0, i].item() == pytest.approx(expected)


def test_an_analog_input_is_its_own_trace() -> None:
    x = torch.rand(1, 2, 3)
    assert torch.equal(traced(x, TAU, "nearest"), x)


def test_a_negative_weight_is_judged_by_silent_steps() -> None:
    sums = {"w": Sums(*(np.array([[a, a]]) for a in (3.0, 8.0, 4.0, 10.0)))}
    weights = {"w": np.array([[1.0, -1.0]])}
    signed = mean_correlations(sums, weights, 0.4, signed=True)["w"]
    np.testing.assert_allclose(signed, [[3 / 4 - 0.4, 8 / 10 - 0.4]])
    plain = mean_correlations(sums, weights, 0.4, signed=False)["w"]
    np.testing.assert_allclose(plain, [[3 / 4 - 0.4] * 2])
    none = {"w": Sums.none((1, 2))}
    assert not mean_correlations(none, weights, 0.4, signed=True)["w"].any()


def test_the_batches_do_not_matter() -> None:
    graph = build("residual", Style.SNN)
    x = sample_inputs(graph, 6)
    small, large = correlated(graph, x), Correlation(graph, T, TAU, "nearest")
    large.add(x, np.arange(6))
    for name, each in small.items():
        assert_close(each, large.sums[name])


def test_a_layer_that_is_used_twice_has_the_sums_of_both() -> None:
    graph = build("residual", Style.SNN)
    x = sample_inputs(graph, 2)
    apart = correlated(graph, x)
    first, second = (graph.node(n).op for n in ("conv1", "conv2"))
    assert isinstance(first, Conv) and isinstance(second, Conv)
    graph.set_param(second.weight.name, graph.array(first.weight))
    own = correlated(graph, x)
    graph.replace_op("conv2", replace(second, weight=first.weight))
    shared = correlated(graph, x)[first.weight.name]
    total = own[first.weight.name].excited + own[second.weight.name].excited
    np.testing.assert_allclose(shared.excited, total, rtol=1e-5, atol=1e-5)
    assert apart.keys() == own.keys()
    assert not any(isinstance(n.op, Scale) and n.name == "conv2" for n in graph)
    assert any(isinstance(n.op, AnyNeuron) for n in graph)
