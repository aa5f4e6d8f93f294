"""Bounded and rounded activations in every pass that writes thresholds (S26, S27)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from snnc import to_torch
from snnc.errors import GraphError
from snnc.frontends import trace
from snnc.interp import run_ann, run_snn
from snnc.ir import Graph, Neuron, verify
from snnc.ir.dequantize import dequantize
from snnc.pipeline import Pipeline
from snnc.training.parameters import at_most
from snnc.transform import PassContext

NEURONS = "fold-batchnorm,fold-normalization,lower-avgpool,lower-maxpool,activations-to-neurons"


class ClipFloorShift(nn.Module):
    def __init__(self, levels: int, threshold: float) -> None:
        super().__init__()
        self.levels, self.threshold = levels, nn.Parameter(torch.tensor([threshold]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.clamp(x / self.threshold, 0, 1)
        return torch.floor(x * self.levels + 0.5) / self.levels * self.threshold


def network(*acts: nn.Module) -> Graph:
    """Convolutions with large weights, each followed by one of the activations."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for i, act in enumerate(acts):
        layers += [nn.Conv2d(4 if i else 2, 4, 3, padding=1), act]
    net = nn.Sequential(*layers, nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 5))
    with torch.no_grad():
        for parameter in (p for p in net.parameters() if p.ndim > 1):
            parameter *= 3
    return trace(net, (2, 6, 6))


def samples(count: int = 32) -> NDArray[np.float32]:
    return np.random.default_rng(0).random((count, 2, 6, 6), dtype=np.float32)


def convert(text: str, graph: Graph, timesteps: int = 8) -> Graph:
    context = PassContext(timesteps=timesteps, calibration=[(samples(), None)], ann=graph)
    return Pipeline.from_text(text).run(graph, context).graph


def neurons(graph: Graph) -> dict[str, Neuron]:
    return {node.name: node.op for node in graph if isinstance(node.op, Neuron)}


def ratios(graph: Graph) -> NDArray[Any]:
    """Of every population, its largest threshold over its bound."""
    found = [op for op in neurons(graph).values() if op.upper is not None]
    bounds = [(graph.array(op.threshold), graph.array(op.upper or 0)) for op in found]
    return np.array([float(np.max(threshold / upper)) for threshold, upper in bounds])


@pytest.mark.parametrize(
    "passes",
    [
        "threshold-balance",
        "threshold-balance{source=current statistic=max}",
        "threshold-balance{source=current statistic=max granularity=layer scale=5}",
        "threshold-balance{statistic=mse},initialize-potential,calibrate",
        "threshold-balance,initialize-potential,calibrate,fold-scale",
        "threshold-balance,initialize-potential,fold-scale,quantize{bits=8}",
    ],
)
def test_no_pass_raises_a_threshold_above_the_bound(passes: str) -> None:
    graph = convert(f"{NEURONS},{passes}", network(nn.Hardtanh(0, 0.4), nn.ReLU6(), nn.ReLU()))
    bounded = ratios(graph)
    assert len(bounded) == 2 and np.all(bounded <= 1 + 1e-6)
    assert bounded[0] > 0.5  # the bound of 0.4 matters in this network


def test_a_bound_below_1_is_the_threshold_until_others_are_fitted() -> None:
    graph = convert(NEURONS, network(nn.Hardtanh(0, 0.4), nn.ReLU6()))
    first, second = neurons(graph).values()
    assert graph.array(first.threshold) == pytest.approx(0.4) and first.upper == 0.4
    assert graph.array(second.threshold) == 1 and second.upper == 6


def test_rates_equal_bounded_activations_after_many_steps() -> None:
    ann = network(nn.Hardtanh(0, 0.4), nn.ReLU6())
    graph = convert(f"{NEURONS},threshold-balance{{statistic=max}},initialize-potential", ann)
    x = samples(8)
    wanted = run_ann(ann, x)[ann.outputs[0]].numpy()
    given = run_snn(graph, x, timesteps=1024).outputs[graph.outputs[0]].numpy()
    assert np.abs(given - wanted).max() < 0.02 * np.abs(wanted).max()


def test_the_verifier_refuses_a_threshold_above_the_bound() -> None:
    graph = convert(NEURONS, network(nn.ReLU6()))
    (name,) = neurons(graph)
    graph.replace_op(name, Neuron(threshold=7.0, upper=6.0))
    with pytest.raises(GraphError, match=r"above the upper bound of the activation \(S26\)"):
        verify(graph)


def test_bounds_are_integers_after_quantize_and_come_back() -> None:
    passes = f"{NEURONS},threshold-balance,initialize-potential,fold-scale"
    real = convert(passes, network(nn.Hardtanh(0, 0.4), nn.ReLU6()))
    integers = convert(f"{passes},quantize{{bits=8}}", network(nn.Hardtanh(0, 0.4), nn.ReLU6()))
    back = dequantize(integers)
    for name, op in neurons(back).items():
        unit = integers.array(neurons(integers)[name].unit)
        wanted = real.array(neurons(real)[name].upper or 0)
        assert np.all(np.abs(back.array(op.upper or 0) - wanted) <= 0.51 * unit.max())


def test_training_keeps_thresholds_at_most_at_the_bound() -> None:
    graph = convert(f"{NEURONS},threshold-balance", network(nn.Hardtanh(0, 0.4), nn.ReLU()))
    network_ = to_torch(graph)
    first, second = network_.thresholds.values()
    with torch.no_grad():
        first.fill_(9.0)
        second.fill_(9.0)
    network_.constrain()
    assert float(first.detach().max()) == pytest.approx(0.4) and float(second.detach().min()) == 9


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_a_bound_is_rounded_down_to_the_type_of_the_threshold(kind: torch.dtype) -> None:
    cut = at_most(torch.full((2,), 9.0, dtype=kind), np.array([0.1, 0.3]))
    assert cut.dtype == kind
    assert np.all(cut.double().numpy() <= [0.1, 0.3]) and np.all(
        cut.double().numpy() > [0.09, 0.29]
    )


# -- rounded activations -------------------------------------------------------------------------


@pytest.mark.parametrize("passes", ["", "fold-scale"])
def test_a_rounded_activation_is_exact_with_wait_t_at_its_levels(passes: str) -> None:
    ann = network(ClipFloorShift(4, 0.7), ClipFloorShift(4, 1.3))
    text = f"{NEURONS}{{wait=T}},threshold-balance,initialize-potential,calibrate,{passes}"
    graph, x = convert(text.rstrip(","), ann, timesteps=4), samples(16)
    wanted = run_ann(ann, x, dtype=torch.float64)[ann.outputs[0]].numpy()
    given = run_snn(graph, x, timesteps=4).outputs[graph.outputs[0]].numpy()
    np.testing.assert_allclose(given, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())


def test_its_threshold_and_start_are_those_of_the_model() -> None:
    ann = network(ClipFloorShift(4, 0.7), nn.ReLU())
    text = f"{NEURONS},threshold-balance{{statistic=mse}},initialize-potential{{fraction=0.25}}"
    graph = convert(f"{text},calibrate,fold-scale", ann)
    first, second = neurons(graph).values()
    assert first.fixed and not second.fixed
    np.testing.assert_allclose(graph.array(first.threshold), 0.7, rtol=1e-6)
    np.testing.assert_allclose(graph.array(first.v_init), 0.35, rtol=1e-6)
    assert graph.array(second.threshold).shape == (4,)
