"""Leaky activations as populations of positive and of negative values, and sums before layers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from snnc.frontends import trace
from snnc.interp import run_ann, run_snn
from snnc.ir import (
    Add,
    Conv,
    CountMaxPool,
    Graph,
    Neuron,
    Scale,
    Signal,
    TwoSidedNeuron,
    Weighted,
)
from snnc.pipeline import Pipeline
from snnc.testing import assert_pass_contract
from snnc.transform import PassContext
from snnc_backends.crossbar import CrossbarBackend
from snnc_passes.lower.split_sums import SplitSums
from snnc_passes.recipes.convert import Convert


class Residual(nn.Module):
    """A leaky block with a shortcut, average pooling and a leaky linear layer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1, groups=2)
        self.bn, self.prelu = nn.BatchNorm2d(4), nn.PReLU(4)
        self.c, self.d = nn.Linear(36, 6), nn.Linear(6, 3)
        with torch.no_grad():
            self.prelu.weight.copy_(torch.tensor([0.1, 0.3, -0.2, 0.5]))

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.bn(self.a(x)), 0.1)
        x = self.prelu(self.b(x) + x)
        x = F.leaky_relu(self.c(F.avg_pool2d(x, 2).flatten(1)), 0.2)
        return self.d(x)


LOWERED = "fold-batchnorm,fold-normalization,lower-avgpool,lower-maxpool,split-sums"


def samples(count: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).random((count, 2, 6, 6), dtype=np.float32)


def run(text: str, graph: Graph, timesteps: int = 8) -> Graph:
    context = PassContext(timesteps=timesteps, calibration=[(samples(64), None)], ann=graph)
    return Pipeline.from_text(text).run(graph, context).graph


def test_the_contract() -> None:
    assert_pass_contract(SplitSums())


def test_layers_take_events_only_and_the_function_stays() -> None:
    graph, x = trace(Residual(), (2, 6, 6)), samples(5)
    lowered = run(LOWERED, graph)
    wanted, found = (run_ann(g, x)[g.outputs[0]].numpy() for g in (graph, lowered))
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())
    spiking = run(f"{LOWERED},activations-to-neurons,fold-scale", graph)
    assert sum(isinstance(node.op, Neuron) for node in spiking) == 6
    for node in spiking:
        if isinstance(node.op, Weighted):
            source = spiking.type_of(node.inputs[0])
            assert source.signal is not Signal.CURRENT or source.constant_in_time, node.name


def test_a_leaky_network_converts() -> None:
    graph = trace(Residual(), (2, 6, 6))
    text = f"{LOWERED},activations-to-neurons,threshold-balance{{statistic=max}}"
    spiking, x = run(f"{text},initialize-potential,fold-scale", graph), samples(8)
    wanted = run_ann(graph, x)[graph.outputs[0]].numpy()
    found = run_snn(spiking, x, timesteps=1024).outputs[spiking.outputs[0]].numpy()
    assert np.abs(found - wanted).max() < 0.02 * np.abs(wanted).max()


def test_the_default_recipe_of_8_bits_runs_on_a_crossbar() -> None:
    spiking = run(Convert(bits=8).pipeline(), trace(Residual(), (2, 6, 6)))
    assert spiking.quantized and not CrossbarBackend().check(spiking)


def test_networks_without_such_sums_stay_as_they_are() -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            x = F.relu(self.a(x))
            return F.relu(self.b(x) + x)

    graph = trace(Plain(), (2, 6, 6))
    assert run("split-sums", graph).fingerprint() == graph.fingerprint()


def test_a_factor_between_a_layer_and_its_activation_goes_into_the_layer() -> None:
    graph = trace(nn.Sequential(nn.Conv2d(2, 4, 3), Times(0.5), nn.ReLU()), (2, 6, 6))
    split, x = run("split-sums", graph), samples(3)
    assert not any(isinstance(node.op, Scale | Add) for node in split)
    wanted, found = (run_ann(g, x)[g.outputs[0]].numpy() for g in (graph, split))
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)
    assert sum(isinstance(node.op, Conv) for node in split) == 1


class Times(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


POOLED = {
    "behind": [nn.PReLU(4), nn.MaxPool2d(2)],
    "before": [nn.MaxPool2d(2), nn.LeakyReLU(0.1)],
    "before a batch norm": [nn.MaxPool2d(2), nn.BatchNorm2d(4), nn.LeakyReLU(0.1)],
    "behind a batch norm": [nn.BatchNorm2d(4), nn.LeakyReLU(0.1), nn.MaxPool2d(3, 1)],
}


def leaky_pool(layers: list[nn.Module], slopes: tuple[float, ...] = (0.1, 0.3, 0.0, 1.5)) -> Graph:
    torch.manual_seed(0)
    for layer in layers:
        if isinstance(layer, nn.PReLU):
            layer.weight = nn.Parameter(torch.tensor(slopes))
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean = torch.tensor([0.1, -0.1, 0.2, 0.0])
    net = nn.Sequential(nn.Conv2d(2, 4, 3), *layers, nn.Conv2d(4, 2, 1)).eval()
    return trace(net, (2, 6, 6))


@pytest.mark.parametrize("name", POOLED)
def test_a_max_pool_of_a_leaky_activation_is_one_of_spikes(name: str) -> None:
    """Of one-sided spikes for the positive values, of two-sided ones for all (S25, S29)."""
    graph, x = leaky_pool(POOLED[name]), samples(8)
    lowered = run(LOWERED, graph)
    wanted, found = (run_ann(g, x)[g.outputs[0]].numpy() for g in (graph, lowered))
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
    text = f"{LOWERED},activations-to-neurons,threshold-balance{{statistic=max}},fold-scale"
    spiking = run(text, graph)
    kinds = [type(node.op) for node in spiking]
    assert all(kinds.count(op) == n for op, n in ((Neuron, 1), (TwoSidedNeuron, 1)))
    assert kinds.count(CountMaxPool) == 2
    near = run_snn(spiking, x, timesteps=1024).outputs[spiking.outputs[0]].numpy()
    assert np.abs(near - wanted).max() < 0.02 * np.abs(wanted).max()


def test_a_leaky_max_pool_of_8_bits_runs_on_a_crossbar() -> None:
    spiking = run(Convert(bits=8).pipeline(), leaky_pool(POOLED["behind"]))
    assert spiking.quantized and not CrossbarBackend().check(spiking)


def test_a_max_pool_of_an_activation_that_falls_is_one_of_two_sided_spikes() -> None:
    graph, x = leaky_pool(POOLED["behind"], (0.1, 0.3, 0.2, -0.5)), samples(8)
    text = f"{LOWERED},activations-to-neurons,threshold-balance{{statistic=max}},fold-scale"
    spiking = run(text, graph)
    (pool,) = (node for node in spiking if isinstance(node.op, CountMaxPool))
    assert isinstance(spiking.node(pool.inputs[0]).op, TwoSidedNeuron)
    wanted = run_ann(graph, x)[graph.outputs[0]].numpy()
    near = run_snn(spiking, x, timesteps=1024).outputs[spiking.outputs[0]].numpy()
    assert np.abs(near - wanted).max() < 0.02 * np.abs(wanted).max()
