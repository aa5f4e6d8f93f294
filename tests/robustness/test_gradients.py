"""Gradients of attacks against backpropagation through time by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from snnc.ir import EncodeDirect, EncodePoisson, Graph, Input, Neuron, Readout, Scale, Stage
from snnc.robustness import (
    AdaptiveSharpness,
    DifferentiableNetwork,
    PerPopulation,
    PotentialDependent,
)

T, THRESHOLD, LEAK, WEIGHT = 4, 0.8, 0.9, 1.5
Derivative = Callable[[Tensor], Tensor]
"""z (T, N, 2) -> ds/dz."""


def leaky(encode: Any) -> Graph:
    """Two leaky neurons, one for each input; outputs are their rates."""
    graph = Graph(Stage.SNN)
    graph.add("x", Input(shape=(2,)))
    graph.add("enc", encode, ["x"])
    graph.add("current", Scale(factor=WEIGHT), ["enc"])
    graph.add("neuron", Neuron(threshold=THRESHOLD, leak=LEAK), ["current"])
    graph.outputs = (graph.add("out", Readout(), ["neuron"]),)
    return graph


def by_hand(events: Tensor, slope: float, derivative: Derivative) -> Tensor:
    """Gradient of the sum of the rates by x.

    Args:
        events: (T, N, 2) of the encoder.
        slope: their derivative by x.
    """
    u, p, moves, growth = torch.zeros(()), [], [], 0.0
    for event in events:
        p.append(LEAK * u + WEIGHT * event)
        u = p[-1] - THRESHOLD * (p[-1] > THRESHOLD)
        growth = LEAK * growth + WEIGHT * slope
        moves.append(growth)
    z = torch.stack(p) / THRESHOLD - 1
    moved = torch.tensor(moves)[:, None, None] / THRESHOLD
    return (derivative(z) * moved).sum(0) / T


def adaptive_by_hand(calls: int) -> Derivative:
    def derivative(z: Tensor) -> Tensor:
        mean, deviation = torch.ones_like(z), torch.zeros_like(z)
        for _ in range(calls):
            mean = 0.9 * mean + 0.1 * z.abs()
            deviation = 0.9 * deviation + 0.1 * (z.abs() - mean).abs()
        sharpness = 2 / math.pi * math.tan(math.pi * 0.425)
        alpha = sharpness / (mean + 1.5 * deviation + 1e-4)
        return alpha / 2 / (1 + (math.pi / 2 * alpha * z) ** 2)

    return derivative


def potential_by_hand(z: Tensor) -> Tensor:
    sigma = z.std(2, correction=0, keepdim=True).clamp(min=1e-2)
    return torch.exp(-((z / sigma) ** 2) / 2) / (math.sqrt(2 * math.pi) * sigma)


X = torch.tensor([[0.3, 0.9], [0.55, 0.05], [1.0, 0.0]])


def slope_of(network: DifferentiableNetwork) -> Tensor:
    x = X.clone().requires_grad_()
    (found,) = torch.autograd.grad(network(x).sum(), x)
    return found


@pytest.mark.parametrize("calls", [1, 3])
def test_the_adaptive_derivative_through_time(calls: int) -> None:
    network = DifferentiableNetwork(leaky(EncodeDirect()), T, PerPopulation(AdaptiveSharpness))
    for _ in range(calls):
        found = slope_of(network)
    events = X.expand(T, *X.shape)
    torch.testing.assert_close(found, by_hand(events, 1.0, adaptive_by_hand(calls)))


def test_the_potential_dependent_derivative_through_time() -> None:
    network = DifferentiableNetwork(leaky(EncodeDirect()), T, PotentialDependent())
    events = X.expand(T, *X.shape)
    torch.testing.assert_close(slope_of(network), by_hand(events, 1.0, potential_by_hand))


def test_a_poisson_input_passes_the_gradient_of_its_expected_value() -> None:
    """Along the spikes that were drawn; 1 unit of x is 1 expected spike, whatever the scale."""
    graph = leaky(EncodePoisson(scale=0.25, hi=4))
    network = DifferentiableNetwork(graph, T, PotentialDependent(), draws=1, seed=3)
    drawn = DifferentiableNetwork(graph, T, draws=1, seed=3)
    seen: list[Tensor] = []
    interpreter = drawn._interpreter
    original = interpreter.encode

    def watched(*arguments: Any) -> Tensor:
        seen.append(original(*arguments))
        return seen[-1]

    interpreter.encode = watched  # type: ignore[method-assign]
    drawn(X)
    (events,) = seen
    assert events.shape == (T, *X.shape) and 0 < events.mean() < 1
    torch.testing.assert_close(slope_of(network), by_hand(events, 1.0, potential_by_hand))
