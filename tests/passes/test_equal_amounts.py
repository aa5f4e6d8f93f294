"""Networks whose spikes fold into integer weights only if they stand for equal amounts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from snnc.frontends import trace
from snnc.ir import Graph, Neuron
from snnc.pipeline import Pipeline, parse_one
from snnc.plugins import BACKENDS, RECIPES, Registry
from snnc.testing import assert_backend_contract, sample_inputs
from snnc.testing.graphs import Case
from snnc.transform import PassContext

TIMESTEPS = 4
SHAPE = (2, 6, 6)


class ShuffledPixels(nn.Module):
    """Four channels become one of twice the size."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(2, 8, 3), nn.Conv2d(2, 3, 3)
        self.fc = nn.Linear(108, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.pixel_shuffle(self.a(x).relu(), 2)
        return self.fc(self.b(x).relu().flatten(1))


class SumOfActivations(ShuffledPixels):
    """A ReLU of a sum of spikes, which cannot be negative, before a convolution."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x).relu()
        return self.fc(self.b((x + x).relu()[:, :2]).relu().flatten(1).repeat(1, 9))


class SilentBranch(nn.Module):
    """A population that never fires, concatenated with one that does."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(2, 3, 3), nn.Conv2d(2, 3, 3), nn.Conv2d(6, 2, 3)
        nn.init.constant_(self.a.bias, -100.0)
        self.fc = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([self.a(x).relu(), self.b(x).relu()], 1)
        return self.fc(self.c(x).relu().flatten(1))


class FactorOfOneUse(SilentBranch):
    """A current of which one use has a factor."""

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.interpolate(self.b(x), scale_factor=2)
        x = torch.cat([3.0 * x - x.flip(-1), x], 1)
        return self.fc(self.c(x).relu()[:, :, :2, :2].flatten(1))


NETWORKS = (ShuffledPixels, SumOfActivations, SilentBranch, FactorOfOneUse)


def converted(module: nn.Module) -> Graph:
    graph = trace(module.eval(), SHAPE)
    ctx = PassContext(timesteps=TIMESTEPS, calibration=[(sample_inputs(graph, 32), None)])
    recipe = parse_one("convert{bits=8}", Registry(RECIPES))
    return Pipeline.from_text(recipe.pipeline()).run(graph, ctx).graph


@pytest.mark.parametrize("network", NETWORKS)
def test_the_network_becomes_integers(network: type[nn.Module]) -> None:
    torch.manual_seed(0)
    graph = converted(network())
    for name in ("cpu", "crossbar"):
        backend = Registry(BACKENDS).get(name)()
        assert_backend_contract(backend, cases=[Case(name, graph)], timesteps=TIMESTEPS)


def test_channels_that_become_one_have_one_threshold_only_for_integers() -> None:
    torch.manual_seed(0)
    graph = trace(ShuffledPixels().eval(), SHAPE)
    ctx = PassContext(timesteps=TIMESTEPS, calibration=[(sample_inputs(graph, 32), None)])
    balance = "activations-to-neurons,threshold-balance"
    different = [
        np.unique(_thresholds(graph, ctx, passes).reshape(2, 4), axis=1).shape[1]
        for passes in (balance, f"{balance},fold-scale,quantize")
    ]
    assert different == [4, 1]


def _thresholds(graph: Graph, ctx: PassContext, passes: str) -> np.ndarray:
    """(8,) those behind threshold-balance."""
    found: dict[str, Graph] = {}
    Pipeline.from_text(passes).run(
        graph, ctx, after_pass=lambda number, name, result: found.update({name: result.clone()})
    )
    balanced = found["threshold-balance"]
    op = balanced.node("relu").op
    assert isinstance(op, Neuron)
    return balanced.array(op.threshold)


def test_zeros_that_a_rearrangement_moves_do_not_count_before_a_max_pool() -> None:
    torch.manual_seed(0)
    pool = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.ZeroPad2d(1), Turned(), nn.MaxPool2d(2))
    graph = trace(pool.eval(), SHAPE)
    ctx = PassContext(timesteps=TIMESTEPS, calibration=[(sample_inputs(graph, 32), None)])
    passes = "lower-maxpool,activations-to-neurons,threshold-balance"
    assert Pipeline.from_text(passes).run(graph, ctx).graph.outputs


class Turned(nn.Module):
    """Height and width exchanged."""

    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(2, 3)
