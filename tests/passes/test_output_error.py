"""What is chosen by the error of the outputs: the gradient, and channels taken together."""

from __future__ import annotations

import numpy as np
import torch

from snnc.ir import Graph, Input, Linear, Neuron, Relu
from snnc.training import FastInterpreter
from snnc_passes._sweep.neuron_search import Choices, NeuronSearch, Settings
from snnc_passes.calibrate._output_error import least_output_error, output_gradient

T = 4
RNG = np.random.default_rng(0)


def network() -> Graph:
    graph = Graph()
    graph.add("x", Input(shape=(3,)))
    for name, source, shape in (("a", "x", (5, 3)), ("b", "relu", (2, 5))):
        weight = graph.set_param(f"{name}.weight", RNG.normal(size=shape).astype(np.float32))
        graph.add(name, Linear(weight=weight), [source])
        if name == "a":
            graph.add("relu", Relu(), ["a"])
    graph.outputs = ("b",)
    return graph


def test_the_gradient_is_that_of_another_combination_for_every_sample() -> None:
    """Behind the node lies a linear layer, so that each gradient is a combination of its rows."""
    graph = network()
    x = RNG.normal(size=(100, 3)).astype(np.float32)
    with torch.no_grad():
        gradient = output_gradient(FastInterpreter(graph), "relu", x).numpy()
    weight = graph.params["b.weight"]
    combined, *_ = np.linalg.lstsq(weight.T, gradient.T, rcond=None)
    assert np.allclose(weight.T @ combined, gradient.T, atol=1e-5)
    assert np.allclose(combined.std(axis=1), 1, atol=0.25)
    assert abs(np.corrcoef(combined)[0, 1]) < 0.3


def test_errors_of_channels_that_cancel_are_taken_together() -> None:
    """Two channels with the same input, whose sum is read: rounding up and down cancels."""
    target = torch.linspace(0, 3.9, 64)[:, None].repeat(1, 2)
    search = NeuronSearch(Neuron(threshold=4.0, wait=T), target[None], target, T, at_once=True)
    ones = torch.ones(2)
    settings = Settings(4 * ones, 2 * ones, 0 * ones)
    tried = Choices((1.0,), (0.25, 0.5, 0.75))

    def total(each: Settings) -> float:
        sums = search.weighted_sums(each, torch.ones_like(target))
        return float(sums[:, 0].sum(1).square().sum())

    found = least_output_error(search, torch.ones_like(target), settings, tried, biased=False)
    assert sorted(found.start.tolist()) == [1.0, 3.0]
    assert total(found) < 0.5 * total(settings)
    alone = least_output_error(
        search, torch.tensor([[1.0, 0.0]]).repeat(64, 1), settings, tried, biased=False
    )
    assert alone.start[0] == 2.0
