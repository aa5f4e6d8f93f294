"""Bounded and rounded activations as nodes, whatever they are spelt as (S26, S27)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snnc.errors import UnsupportedError
from snnc.frontends import trace
from snnc.interp import run_ann
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


UP, CHANNELS, L = torch.tensor([0.7]), torch.tensor([0.4, 0.9, 0.7])[:, None], 4
SPELLINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "clamp behind": lambda x: torch.clamp(Floor.apply(x / UP * L + 0.5) / L, 0, 1) * UP,
    "of levels": lambda x: torch.clamp(torch.floor(x * L / UP + 0.5), 0, L) * UP / L,
    "of the result": lambda x: torch.clamp(
        (x / UP[0] * L + 0.5).floor() * UP[0] / L, torch.zeros(1), UP
    ),
    "round": lambda x: torch.round(x / UP * L).clamp(0, L) / L * UP,
    "relu behind": lambda x: F.relu(torch.round(x / UP * L)).clamp(max=L) / L * UP,
    "straight through": lambda x: straight(torch.clamp(x / UP, 0, 1) * L) / L * UP,
    "straight, behind": lambda x: torch.clamp(straight(x / UP * L), 0, L) / L * UP,
    "other order": lambda x: (x.round().detach() - x.detach() + x).clamp(0, L),
    "integer division": lambda x: torch.clamp((x * L / UP + 0.5) // 1, 0, L) / L * UP,
    "div": lambda x: torch.clamp(torch.div(x, UP / L, rounding_mode="floor"), 0, L) / L * UP,
    "per channel": lambda x: torch.floor(torch.clamp(x / CHANNELS, 0, 1) * L + 0.5) / L * CHANNELS,
    "shifted": lambda x: torch.clamp(torch.floor(x / UP * L + 0.2) / L, 0, 1) * UP,
}


def straight(x: Tensor) -> Tensor:
    """round(x) with the gradient of the identity."""
    return x + (torch.round(x) - x).detach()


@pytest.mark.parametrize("name", SPELLINGS)
def test_every_spelling_of_whole_levels_is_one_relu(name: str) -> None:
    module = Function(SPELLINGS[name])
    graph = trace(module, (3, 5))
    (op,) = relus(graph)
    assert op.levels == L
    assert {node.op.mnemonic for node in graph} <= {"input", "relu", "scale"}
    x = torch.randn(64, 3, 5, generator=torch.Generator().manual_seed(0))
    found = run_ann(graph, x)[graph.outputs[0]]
    torch.testing.assert_close(found, module(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.floor(x * 4),
        lambda x: torch.floor(x * 4 + 0.5).clamp(-4, 4),
        lambda x: torch.floor(x * 4 + 0.5).clamp(0, 3.5),
        lambda x: torch.round(x * 4) - 4 * x,
        lambda x: torch.round(-x).relu() + 1,
    ],
)
def test_rounding_without_whole_levels_is_refused_where_it_is(
    function: Callable[[Tensor], Tensor],
) -> None:
    with pytest.raises(
        UnsupportedError, match=r"(floor|round)[^;]*: it rounds what is not bounded"
    ):
        trace(Function(function), (3, 5))
