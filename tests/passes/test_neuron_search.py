"""The error by which thresholds and starting potentials are searched."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from snnc.interp import Population
from snnc.ir import AnyNeuron, Neuron, TwoSidedNeuron
from snnc_passes._sweep import neuron_search
from snnc_passes._sweep.neuron_search import EVERY, Choices, NeuronSearch, Settings, choices

T, N, C = 16, 20, 3
GENERATOR = torch.Generator().manual_seed(0)
TARGET = torch.rand(N, C, 2, 2, generator=GENERATOR) - 0.3
CURRENT = TARGET + torch.randn(T, N, C, 2, 2, generator=GENERATOR) / 2
EARLIER = slice(EVERY - 1, T - 1, EVERY)
SETTINGS = Settings(torch.tensor([0.6, 0.8, 1.0]), torch.tensor([0.3, -0.4, 0.0]), torch.zeros(C))


def search_of(op: AnyNeuron, current: Tensor = CURRENT) -> NeuronSearch:
    wanted = TARGET if isinstance(op, TwoSidedNeuron) else TARGET.clamp(min=0)
    return NeuronSearch(op, current, wanted, len(current), at_once=False)


def errors_so_far(search: NeuronSearch, settings: Settings) -> Tensor:
    """(T, C) squared error of the spikes so far, against as much of the target, as documented."""
    threshold, start, bias = (
        v.reshape(C, 1, 1) for v in (settings.threshold, settings.start, settings.bias)
    )
    spikes = Population(search.op, threshold, None, start).run(search.current + bias, T)
    share = torch.arange(1, T + 1).reshape(T, 1, 1, 1, 1) / T
    off = search.target * share - spikes.cumsum(0) * threshold / T
    return off.square().sum((1, 3, 4))


@pytest.mark.parametrize(
    "op", [Neuron(), Neuron(wait=3), TwoSidedNeuron(), TwoSidedNeuron(rounds=True)], ids=str
)
def test_errors_before_the_end_count_as_much_as_lag_says(op: AnyNeuron) -> None:
    search = search_of(op)
    wanted = errors_so_far(search, SETTINGS)
    torch.testing.assert_close(search.error(SETTINGS), wanted[-1])
    earlier = wanted[EARLIER]
    assert len(earlier) == T // EVERY - 1
    torch.testing.assert_close(search.error(SETTINGS, 0.5), wanted[-1] + 0.5 * earlier.mean(0))


def test_errors_of_rates_weigh_more_before_the_end() -> None:
    search = search_of(Neuron())
    wanted = errors_so_far(search, SETTINGS)
    steps = torch.arange(1, T + 1)[EARLIER].reshape(-1, 1)
    earlier = (wanted[EARLIER] * T / steps).mean(0)
    torch.testing.assert_close(search.error(SETTINGS, 0.5, rates=True), wanted[-1] + earlier / 2)


def test_a_search_takes_positions_of_all_images_before_fewer_images(monkeypatch) -> None:
    monkeypatch.setattr(neuron_search, "SEARCHED_VALUES", CURRENT.numel() // 4)
    wanted = TARGET.clamp(min=0)
    search = NeuronSearch(Neuron(), CURRENT, wanted, T, at_once=False, spread=True)
    odd = NeuronSearch(Neuron(), CURRENT[..., 1:, 1:], wanted[..., 1:, 1:], T, at_once=False)
    assert search.compared == N * C
    torch.testing.assert_close(search.error(SETTINGS), odd.error(SETTINGS))


def test_neurons_for_any_window_start_at_zero_or_above() -> None:
    assert min(choices(Neuron(), T, any_time=True).starts) == 0 > min(choices(Neuron(), T).starts)


def test_a_window_without_earlier_steps_and_one_taken_at_once_have_no_lag() -> None:
    whole = NeuronSearch(Neuron(wait=T), CURRENT, TARGET.clamp(min=0), T, at_once=True)
    for search in (search_of(Neuron(), CURRENT[:EVERY]), whole):
        assert torch.equal(search.error(SETTINGS, 2.0), search.error(SETTINGS))


def test_lag_chooses_neurons_that_fire_in_time() -> None:
    """What is best at the end of the window of an uneven input is not the best before it."""
    search, starts = search_of(Neuron(), 3 * CURRENT - 2 * TARGET), (-1.5, -1.0, -0.5, 0.0, 0.5)
    found = [search.search(SETTINGS, Choices((1.0, 1.5), starts, lag), True) for lag in (0, 2.0)]
    late, timely = (errors_so_far(search, settings) for settings in found)
    assert late[-1].sum() < timely[-1].sum()
    assert timely[EARLIER].sum() < 0.95 * late[EARLIER].sum()


@pytest.mark.parametrize("constant", [False, True])
def test_machine_code_finds_the_errors_that_torch_does(constant: bool, monkeypatch) -> None:
    current = CURRENT[:1] if constant else CURRENT
    search = NeuronSearch(Neuron(), current, TARGET.clamp(min=0), T, at_once=False)
    weight = torch.randn(N // 2, C, 2, 2, generator=GENERATOR)

    def found() -> list[Tensor]:
        errors = search.error(SETTINGS, 0.5), search._mean_error(SETTINGS, search.searched)
        return [*errors, search.weighted_sums(SETTINGS, weight)]

    assert search._has_code(SETTINGS, search.current)
    by_code = found()
    monkeypatch.setattr(neuron_search, "has_bits", lambda *_: False)
    monkeypatch.setattr(neuron_search, "TRIAL_VALUES", CURRENT.numel() // 3)
    for ours, theirs in zip(by_code, found(), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("op", [Neuron(wait=3), Neuron(signed=True), TwoSidedNeuron()], ids=str)
def test_other_neurons_are_left_to_torch(op: AnyNeuron) -> None:
    search = search_of(op)
    assert not search._has_code(SETTINGS, search.current)
