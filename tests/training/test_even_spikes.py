"""Populations that fire evenly: the counts, their gradient, and what they are refused for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import snnc
from snnc.errors import UsageError
from snnc.interp import Population, run_snn
from snnc.ir import (
    AnyNeuron,
    EncodeDirect,
    Graph,
    Input,
    Linear,
    Neuron,
    Readout,
    Stage,
    TwoSidedNeuron,
)
from snnc.testing import snn_cases
from snnc.testing.graphs import sample_inputs
from snnc.training.even_spikes import even_spikes


def population(op: AnyNeuron, threshold: float = 1.0, v_init: float = 0.0) -> Population:
    learnt = torch.tensor(threshold, requires_grad=True)
    return Population(op, threshold=learnt, leak=None, v_init=torch.tensor(v_init))


def plain(graph: Graph) -> bool:
    """Whether its populations fire in the first step, and their number follows from the current."""
    ops = [node.op for node in graph.nodes if isinstance(node.op, AnyNeuron)]
    if any(op.wait or op.reset != "subtract" or op.order != "integrate-fire" for op in ops):
        return False
    return all(bool((graph.array(op.leak) == 1).all()) for op in ops)


CASES = [case for case in snn_cases() if plain(case.graph)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_in_one_step_they_are_the_spikes(case: Any) -> None:
    neurons = [node.name for node in case.graph if isinstance(node.op, AnyNeuron)]
    x = np.array(sample_inputs(case.graph, 3), np.float32)
    expected = run_snn(case.graph, x, timesteps=1, keep=neurons, seed=7)
    network = snnc.to_torch(case.graph, 1, even=True, learn=("weight",), dtype=torch.float64)
    with network.record() as spikes:
        output = network(torch.from_numpy(x), seed=7)
    for name in neurons:
        assert torch.equal(spikes[name], expected.values[name]), name
    torch.testing.assert_close(output, next(iter(expected.outputs.values())))


@pytest.mark.parametrize("steps", [1, 2, 5, 8])
def test_for_a_constant_input_they_are_as_many_as_the_spikes(steps: int) -> None:
    """The outputs of a network of one population are the same."""
    rng = np.random.default_rng(steps)
    graph = Graph(Stage.SNN)
    graph.add("x", Input(shape=(6,)))
    graph.add("encode", EncodeDirect(), ["x"])
    weight = graph.set_param("weight", rng.normal(size=(40, 6)).astype(np.float32))
    graph.add("fc", Linear(weight=weight), ["encode"])
    graph.add("act", Neuron(threshold=1.3, v_init=0.4), ["fc"])
    graph.add("readout", Readout(), ["act"])
    graph.outputs = ("readout",)
    x = torch.from_numpy(rng.uniform(size=(50, 6)).astype(np.float32))
    real = snnc.to_torch(graph, steps, learn=("weight",))(x)
    even = snnc.to_torch(graph, steps, even=True, learn=("weight",))(x)
    assert len(np.unique(real.detach().numpy())) == steps + 1
    torch.testing.assert_close(even, real)


def test_the_gradient_is_that_of_the_line_through_the_stairs() -> None:
    current = torch.tensor([[-1.0, 0.05, 0.2, 0.99, 1.1, 1.2]], requires_grad=True)
    neurons = population(Neuron(), threshold=1.0)
    rate = even_spikes(neurons, current[None], 4)
    assert rate.tolist() == [[[0.0, 0.0, 0.0, 0.75, 1.0, 1.0]]]  # z: -4, 0.2, 0.8, 3.96, 4.4, 4.8
    rate.sum().backward()
    assert current.grad is not None
    assert current.grad.tolist() == [[0.0, 0.0, 1.0, 1.0, 1.0, 0.0]]
    assert neurons.threshold.grad is not None
    torch.testing.assert_close(neurons.threshold.grad, -torch.tensor(0.2 + 0.99 + 1.1))


def test_two_sides_and_rounding() -> None:
    current = torch.tensor([[-0.7, -0.3, -0.2, 0.2, 0.3, 0.7, 9.0]])
    two = TwoSidedNeuron()
    assert (2 * even_spikes(population(two), current[None], 2)).tolist() == [
        [[-1, 0, 0, 0, 0, 1, 2]]
    ]
    rounded = replace(two, rounds=True)
    assert (2 * even_spikes(population(rounded), current[None], 2)).tolist() == [
        [[-1, -1, 0, 0, 1, 1, 2]]
    ]


@pytest.mark.parametrize(
    ("neuron", "learn", "reason"),
    [
        ({"leak": 0.9}, ("weight",), "act leaks"),
        ({}, ("weight", "leak"), "act leaks"),
        ({"reset": "zero"}, ("weight",), "act has reset=zero"),
        ({"order": "fire-integrate"}, ("weight",), "act has order=fire-integrate"),
    ],
)
def test_what_does_not_follow_from_the_mean_current_is_refused(
    neuron: Any, learn: Any, reason: str
) -> None:
    graph = Graph(Stage.SNN)
    graph.add("x", Input(shape=(2,)))
    graph.add("encode", EncodeDirect(), ["x"])
    graph.add("act", Neuron(**neuron), ["encode"])
    graph.add("readout", Readout(), ["act"])
    graph.outputs = ("readout",)
    with pytest.raises(UsageError, match=reason):
        snnc.to_torch(graph, 4, even=True, learn=learn)
