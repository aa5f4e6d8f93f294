"""A small network of digits, converted for one time step, and data to learn from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from snnc.interp import run_snn
from snnc.ir import Graph, Input, Linear, Relu, verify
from snnc.pipeline import Pipeline
from snnc.testing import Style, build
from snnc.testing.graphs import sample_inputs
from snnc.transform import Pass, PassContext, PassResult

SIZES = (64, 48, 32, 10)
CONVERT = "activations-to-neurons,threshold-balance{statistic=mse},initialize-potential,fold-scale"


@dataclass(frozen=True)
class Digits:
    """A trained multilayer perceptron as an `ann` graph, and the 1,797 digits in three parts."""

    ann: Graph
    train: list[Any]
    validation: list[Any]
    test: list[Any]

    def context(self, **options: Any) -> PassContext:
        """With all data that passes may see."""
        given = {
            "ann": self.ann,
            "calibration": self.train,
            "train": self.train,
            "validation": self.validation,
        }
        return PassContext(**{**given, **options})

    def spiking(self, timesteps: int, passes: str = CONVERT) -> Graph:
        """The network, converted."""
        ctx = self.context(timesteps=timesteps)
        return Pipeline.from_text(passes).run(self.ann, ctx).graph

    def accuracy(self, graph: Graph, timesteps: int) -> float:
        """On the test part."""
        ((x, y),) = self.test
        (output,) = run_snn(graph, x, timesteps=timesteps, dtype=torch.float32).outputs.values()
        return float(np.mean(output.numpy().argmax(1) == y))


@pytest.fixture(scope="session")
def digits() -> Digits:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32)
    order = np.random.default_rng(0).permutation(len(x))
    parts = [[(x[rows], y[rows])] for rows in np.split(order, [1000, 1300])]
    return Digits(_trained(*parts[0][0]), *parts)


def _trained(x: NDArray[np.float32], y: NDArray[np.int64]) -> Graph:
    generator = torch.Generator().manual_seed(0)
    sizes = list(pairwise(SIZES))
    weights = [torch.randn(b, a, generator=generator) * (2 / a) ** 0.5 for a, b in sizes]
    biases = [torch.zeros(b) for _, b in sizes]
    parameters = [each.requires_grad_() for each in (*weights, *biases)]
    optimizer = torch.optim.Adam(parameters, lr=1e-2)
    value, label = torch.from_numpy(x), torch.from_numpy(y)
    for _ in range(150):
        hidden = value
        for weight, bias in zip(weights, biases, strict=True):
            last = F.linear(hidden, weight, bias)
            hidden = F.relu(last)
        optimizer.zero_grad()
        F.cross_entropy(last, label).backward()
        optimizer.step()
    graph, name = Graph(), "x"
    graph.add("x", Input(shape=(64,)))
    for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True), 1):
        op = Linear(
            weight=graph.set_param(f"fc{layer}.weight", weight.detach().numpy()),
            bias=graph.set_param(f"fc{layer}.bias", bias.detach().numpy()),
        )
        name = graph.add(f"fc{layer}", op, [name])
        if layer < len(sizes):
            name = graph.add(f"relu{layer}", Relu(), [name])
    graph.outputs = (name,)
    verify(graph)
    return graph


@pytest.fixture(scope="session")
def plain() -> Graph:
    """Two convolutions and two linear layers, untrained: 3 populations, 5 classes."""
    return build("plain", Style.SNN)


@pytest.fixture(scope="session")
def labelled(plain: Graph) -> list[Any]:
    """24 random inputs of `plain` with labels, in uneven batches."""
    x = sample_inputs(plain, 24)
    y = np.random.default_rng(1).integers(0, 5, 24)
    return [(x[:10], y[:10]), (x[10:], y[10:])]


@pytest.fixture
def ran(plain: Graph, labelled: list[Any]) -> Callable[..., PassResult]:
    """Runs a pass on `plain` with `labelled` for training; keywords go to the context."""

    def run(each: Pass, **context: Any) -> PassResult:
        options: dict[str, Any] = {"timesteps": 3, "train": labelled, **context}
        return each.run(plain.clone(), PassContext(**options))

    return run
