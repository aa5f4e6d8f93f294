"""The differentiable view of a network: its spikes are the network's, its gradients flow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from snnc.interp import run_snn
from snnc.ir import AnyNeuron
from snnc.robustness import AdaptiveSharpness, DifferentiableNetwork, PotentialDependent
from snnc.testing import quantized_cases, sample_inputs
from snnc.testing.graphs import Case
from snnc.training import Atan, FastInterpreter

T = 6
INTEGERS = quantized_cases()


@pytest.mark.parametrize("case", INTEGERS, ids=lambda case: case.name)
def test_spikes_of_the_view_are_those_of_the_integers(case: Case) -> None:
    x = sample_inputs(case.graph, 3)
    names = [node.name for node in case.graph if isinstance(node.op, AnyNeuron)]
    expected = run_snn(case.graph, x, timesteps=T, keep=names)
    seen = torch.from_numpy(x).requires_grad_()
    view = FastInterpreter(case.graph, surrogate=Atan())
    found = view.snn(seen, T, keep=names)
    for name in names:
        assert torch.equal(found.values[name].detach(), expected.values[name]), name
    total = sum(value.sum() for value in found.values.values())
    (slope,) = torch.autograd.grad(total, seen)  # type: ignore[arg-type]
    assert slope.isfinite().all() and (slope != 0).any()


@pytest.mark.parametrize("encode", ["direct", "poisson"])
def test_logits_are_the_readout_of_the_program(digits: Any, encode: str) -> None:
    made = digits.compiled(f"convert{{encode={encode} bits=8}}")
    network = DifferentiableNetwork(made.graph, 8, draws=1, seed=7)
    seed = int(np.random.default_rng(7).integers(0, 2**31, 1)[0])
    found = network(torch.from_numpy(digits.x))
    expected = made.program.run(digits.x, seed=seed).output
    np.testing.assert_array_equal(found.detach().numpy(), expected)


def test_the_expectation_is_over_new_draws(digits: Any) -> None:
    graph = digits.compiled("convert{encode=poisson}").graph
    x = torch.from_numpy(digits.x[:8])
    one = [DifferentiableNetwork(graph, 8, draws=1, seed=s)(x) for s in (0, 1)]
    many = [DifferentiableNetwork(graph, 8, draws=40, seed=s)(x) for s in (0, 1)]
    assert (many[0] - many[1]).std() < 0.5 * (one[0] - one[1]).std()
    network = DifferentiableNetwork(graph, 8, seed=0)
    assert not torch.equal(network(x), network(x))


def test_adaptive_sharpness_follows_the_potentials() -> None:
    """M and D are moving means of |z| and of its deviation, from 1 and 0 on."""
    surrogate = AdaptiveSharpness(vanishing=0.25, relax=1.5, momentum=0.5)
    z = torch.tensor([[[3.0, -0.1]]], dtype=torch.float64)
    mean, deviation = torch.ones_like(z), torch.zeros_like(z)
    for _ in range(4):
        mean = 0.5 * mean + 0.5 * z.abs()
        deviation = 0.5 * deviation + 0.5 * (z.abs() - mean).abs()
        alpha = 2 / torch.pi / (mean + 1.5 * deviation + 1e-4)
        expected = alpha / 2 / (1 + (torch.pi / 2 * alpha * z) ** 2)
        found = surrogate.fitted(z, slice(0, 1)).gradient(z)
        torch.testing.assert_close(found, expected)
    far, near = found[0, 0].tolist()
    assert near > far > 0.01


def test_a_potential_dependent_derivative_is_as_wide_as_the_potentials_vary() -> None:
    z = torch.tensor([[[-1.0, 1.0], [-4.0, 4.0]]], dtype=torch.float64)
    found = PotentialDependent().fitted(z, slice(0, 2)).gradient(torch.zeros_like(z))
    expected = torch.tensor([[[1.0, 1.0], [0.25, 0.25]]], dtype=torch.float64)
    torch.testing.assert_close(found, expected / (2 * torch.pi) ** 0.5)
