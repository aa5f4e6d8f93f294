"""Bounded and rounded activations as nodes, whatever they are spelt as (S26, S27)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snnc.frontends import trace
from snnc.ir import Graph, MaxPool, Relu, Scale


class Floor(torch.autograd.Function):
    """Rounds down, with the gradient of the identity, as published code does."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return x.floor()

    @staticmethod
    def backward(ctx: object, *grads: Tensor) -> Tensor:
        return grads[0]


class ClipFloorShift(nn.Module):
    """The activation of Bu et al. 2022, with a threshold that is learnt."""

    def __init__(self, levels: int, threshold: float) -> None:
        super().__init__()
        self.levels, self.steps = levels, 0
        self.threshold = nn.Parameter(torch.tensor([threshold]))

    def forward(self, x: Tensor) -> Tensor:
        if self.steps > 0:
            raise NotImplementedError
        x = torch.clamp(x / self.threshold, 0, 1)
        x = Floor.apply(x * self.levels + 0.5) / self.levels
        return x * self.threshold


class Function(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def relus(graph: Graph) -> list[Relu]:
    return [node.op for node in graph if isinstance(node.op, Relu)]


@pytest.mark.parametrize(
    "function",
    [
        F.relu6,
        lambda x: F.relu(x).clamp(max=6),
        lambda x: F.relu(F.relu(x).clamp(max=9).clamp(max=6)),
        lambda x: torch.minimum(torch.tensor(6.0), x.relu()),
    ],
)
def test_a_bound_is_one_field_of_the_relu(function: Callable[[Tensor], Tensor]) -> None:
    graph = trace(Function(function), (2, 4, 4))
    assert relus(graph)[0] == Relu(upper=6.0)


def test_one_bound_per_channel_is_an_array() -> None:
    bounds = torch.tensor([0.5, 2.0])
    graph = trace(Function(lambda x: torch.clamp(x, torch.zeros(()), bounds[:, None])), (2, 3))
    (op,) = relus(graph)
    assert op.upper is not None and not isinstance(op.upper, float)
    np.testing.assert_array_equal(graph.array(op.upper), bounds)


def test_a_bounded_relu_moves_before_a_max_pool() -> None:
    graph = trace(nn.Sequential(nn.Conv2d(2, 3, 3), nn.MaxPool2d(2), nn.ReLU6()), (2, 6, 6))
    kinds = [type(node.op) for node in graph]
    assert kinds.index(Relu) < kinds.index(MaxPool)


def test_a_clip_floor_shift_is_a_neuron_with_its_threshold() -> None:
    torch.manual_seed(0)
    graph = trace(nn.Sequential(nn.Linear(6, 5), ClipFloorShift(4, 0.35)), (6,))
    (op,) = relus(graph)
    assert op.levels == 4 and op.upper == pytest.approx(0.35, rel=1e-6)
    factors = [float(graph.array(n.op.factor)) for n in graph if isinstance(n.op, Scale)]
    assert np.prod(factors) == pytest.approx(1, rel=1e-6)


def test_what_is_rounded_in_another_way_keeps_its_place_in_the_list() -> None:
    graph = trace(Function(lambda x: torch.round(x.clamp(0, 3.5) * 2) / 2), (4,))
    assert relus(graph) == [Relu(upper=3.5, levels=7)]
