"""The maximum of counts in training: the spikes of the reference, and a gradient to the leader."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from snnc.interp import CountPool
from snnc.ir import CountMaxPool
from snnc.testing import Style, build, sample_inputs, windows
from snnc.training import from_torch, to_torch
from snnc.training.count_pool import count_maxima

T = 7
TILES = windows((6, 6), 2, 2)
CLIPPED = windows((6, 6), 3, 2, 1)


def events(seed: int = 0, low: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(low, 2, (T, 3, 2, 6, 6), generator=generator).float()


@pytest.mark.parametrize("last", [False, True], ids=["contiguous", "channels_last"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("wins", [TILES, CLIPPED])
def test_the_same_events_as_the_reference(wins: Any, dtype: torch.dtype, last: bool) -> None:
    """Rule S25 of docs/semantics.md."""
    x = events(low=-1).to(dtype)
    expected = CountPool(CountMaxPool(windows=wins)).run(x, T)
    if last:
        x = x.flatten(0, 1).contiguous(memory_format=torch.channels_last).unflatten(0, (T, 3))
    assert torch.equal(count_maxima(wins, x), expected)
    leaf = x.clone().requires_grad_(True)
    found = count_maxima(wins, leaf)
    assert torch.equal(found, expected)
    assert not last or found[0].is_contiguous(memory_format=torch.channels_last)


def test_the_gradient_goes_to_the_input_that_leads() -> None:
    x = torch.zeros(4, 1, 1, 2, 2)
    x[0, 0, 0, 0, 0] = 1  # leads in steps 0 to 2
    x[1:, 0, 0, 1, 1] = 1  # draws level in 1, leads from 2 on
    x.requires_grad_(True)
    y = count_maxima((((0, 2),), ((0, 2),)), x)
    assert y.flatten().tolist() == [1, 0, 1, 1]
    (gradient,) = torch.autograd.grad((y.flatten() * torch.tensor([1.0, 2.0, 3.0, 4.0])).sum(), x)
    expected = torch.zeros_like(x)
    expected[0, 0, 0, 0, 0], expected[1, 0, 0, 0, 0] = 1, 2
    expected[2, 0, 0, 1, 1], expected[3, 0, 0, 1, 1] = 3, 4
    assert torch.equal(gradient, expected)


@pytest.mark.parametrize("wins", [TILES, CLIPPED])
def test_the_gradient_of_an_event_is_shared_by_nobody(wins: Any) -> None:
    """Every output's gradient arrives once, at an input of its window with the largest count."""
    x, pooled = events(seed=4).requires_grad_(True), tuple(map(len, wins))
    weights = torch.rand(T, 3, 2, *pooled)
    (gradient,) = torch.autograd.grad((count_maxima(wins, x) * weights).sum(), x)
    torch.testing.assert_close(gradient.sum(), weights.sum())
    counts, most = x.detach().cumsum(0), count_maxima(wins, x.detach()).cumsum(0)
    highest = torch.zeros_like(counts)
    for i, (a, b) in enumerate(wins[0]):
        for j, (c, d) in enumerate(wins[1]):
            leads = counts[..., a:b, c:d] == most[..., i : i + 1, j : j + 1]
            highest[..., a:b, c:d] = torch.maximum(highest[..., a:b, c:d], leads.float())
    assert not gradient[highest == 0].any()


def test_counts_of_bfloat16_do_not_stop() -> None:
    x = torch.ones(300, 1, 1, 2, 2, dtype=torch.bfloat16)
    assert bool((count_maxima((((0, 2),), ((0, 2),)), x) == 1).all())


def test_a_network_with_max_pools_learns_and_comes_back() -> None:
    graph = build("pooled", Style.SNN)
    network = to_torch(graph, T)
    x = torch.from_numpy(sample_inputs(graph, 4))
    network(x).square().sum().backward()
    for name in ("conv0.weight", "conv1.weight", "act0.threshold"):
        assert network.get_parameter(name.replace("/", ".")).grad.abs().sum() > 0, name
    assert from_torch(network).fingerprint() == from_torch(to_torch(graph, T)).fingerprint()
