"""Spike trains worked out by hand, one for every option of a population."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from snnc.interp import Population
from snnc.interp.neuron import State
from snnc.ir import AnyNeuron, Neuron, TwoSidedNeuron

FIRST = "integrate-fire"
SECOND = "fire-integrate"


def population(op: AnyNeuron, *, integer: bool = False) -> Population:
    assert isinstance(op.threshold, float) and isinstance(op.leak, float)
    assert isinstance(op.v_init, float)
    values = [torch.tensor(v, dtype=torch.float64) for v in (op.threshold, op.leak, op.v_init)]
    leak = None if op.leak == 1.0 else values[1]
    return Population(op, values[0], leak, values[2], integer)


def train(op: AnyNeuron, currents: list[float], *, integer: bool = False) -> list[int]:
    """Spikes of one neuron for a current per step."""
    x = torch.tensor(currents, dtype=torch.float64).reshape(-1, 1, 1)
    spikes = population(op, integer=integer).run(x, len(currents))
    assert spikes.shape == x.shape
    return [int(s) for s in spikes.flatten()]


BY_HAND = {
    # p: .625, 1.25*, .875, 1.5*, 1.125*, .75
    "subtract": (Neuron(), [0.625] * 6, [0, 1, 0, 1, 1, 0]),
    # p: .625, 1.25* -> 0, .625, 1.25* -> 0, …
    "zero": (Neuron(reset="zero"), [0.625] * 6, [0, 1, 0, 1, 0, 1]),
    # p: .75, 1.125*, .8125, 1.15625*, .828125, 1.1640625*
    "leak": (Neuron(leak=0.5), [0.75] * 6, [0, 1, 0, 1, 0, 1]),
    # p: .75, 1.125* -> 0, .75, 1.125* -> 0; then .75
    "leak zero": (Neuron(leak=0.5, reset="zero"), [0.75] * 5, [0, 1, 0, 1, 0]),
    # u before each step: 0, .625, 1.25*, .875, 1.5*, 1.125*
    "second": (Neuron(order=SECOND), [0.625] * 6, [0, 0, 1, 0, 1, 1]),
    # u: 0, .75, 1.125*, .5625+.75-1 = .3125, .90625, 1.203125*: not the first order delayed
    "second leak": (Neuron(order=SECOND, leak=0.5), [0.75] * 6, [0, 0, 1, 0, 0, 1]),
    # u: 0, .75, 1.125*, .75, 1.125*, .75
    "second leak zero": (
        Neuron(order=SECOND, leak=0.5, reset="zero"), [0.75] * 6, [0, 0, 1, 0, 1, 0],
    ),
    # p = threshold does not fire
    "strict": (Neuron(), [1.0] * 4, [0, 1, 1, 1]),
    "second strict": (Neuron(order=SECOND), [1.0] * 4, [0, 0, 1, 1]),
    # p: 1.125*, .75, 1.375*, 1.0, 1.625*, 1.25*
    "v_init": (Neuron(v_init=0.5), [0.625] * 6, [1, 0, 1, 0, 1, 1]),
    # u: 1.5*, .5+.5=1.0, 1.5*
    "second v_init": (Neuron(order=SECOND, v_init=1.5), [0.5] * 3, [1, 0, 1]),
    # p: -1, -2, .5, 1.5*: no floor
    "no floor": (Neuron(), [-1.0, -1.0, 2.5, 1.0], [0, 0, 0, 1]),
    # p: 2.5*, 2.5*, 2.5*: one spike per step at most
    "one a step": (Neuron(threshold=0.5), [2.5, 0.5, 0.0, 0.0], [1, 1, 1, 1]),
    # own time 0..4: .625, 1.25, | 1.875*, .875, .875
    "wait": (Neuron(wait=2), [0.625] * 3, [1, 0, 0]),
    # own time: .75, 1.5, 2.25 | 2.25*, 1.25*, .25
    "wait T": (Neuron(wait=3), [0.75] * 3, [1, 1, 0]),
    # own time: 4, 6 | 3*, 1
    "wait leak": (Neuron(wait=2, leak=0.5), [4.0, 4.0], [1, 0]),
    # own time: .75 | 1.5*, .5
    "wait 1": (Neuron(wait=1), [0.75, 0.75], [1, 0]),
    # u before own steps: 0 | .75, 1.5*
    "second wait 1": (Neuron(order=SECOND, wait=1), [0.75, 0.75], [0, 1]),
    # own time: 1.5, 3, | 3* -> 0, 0
    "wait zero": (Neuron(wait=2, reset="zero"), [1.5, 1.5], [1, 0]),
    # p: 1.5+ -> .5, -.5- -> .5, -.5 (nothing left to take back), 1.5+
    "signed": (Neuron(signed=True), [1.5, -1.0, -1.0, 2.0], [1, -1, 0, 1]),
    # u: 0, 1.5+, -.5-, -.5
    "second signed": (
        Neuron(signed=True, order=SECOND), [1.5, -1.0, -1.0, 2.0], [0, 1, -1, 0],
    ),
    # p: 3+ -> 2, 2+ -> 1, 1, -2- -> -1, -1- -> 0, 0
    "signed twice": (Neuron(signed=True), [3.0, 0.0, 0.0, -3.0, 0.0, 0.0], [1, 1, 0, -1, -1, 0]),
    # p: 1.5+ -> .5, 0 is not below zero
    "signed strict": (Neuron(signed=True), [1.5, -0.5, 0.0], [1, 0, 0]),
    # own time: 2, -1 (must not fire, nothing emitted) | -1, -1
    "signed wait": (Neuron(signed=True, wait=2), [2.0, -3.0], [0, 0]),
    # p: -1.5- -> -.5, -2- -> -1, -1 (strict), 1 (strict), 1.5+ -> .5
    "two-sided": (TwoSidedNeuron(), [-1.5, -1.5, 0.0, 2.0, 0.5], [-1, -1, 0, 0, 1]),
    # p: 2.5+ -> .5, -2.5- -> -.5, -2
    "two-sided threshold": (TwoSidedNeuron(threshold=2.0), [2.5, -3.0, -1.5], [1, -1, 0]),
    # p: -1.5- -> -.5, -1.25- -> -.25, .875
    "two-sided leak": (TwoSidedNeuron(leak=0.5), [-1.5, -1.0, 1.0], [-1, -1, 0]),
    # p: -1.25- -> -.25
    "two-sided v_init": (TwoSidedNeuron(v_init=-0.5), [-0.75, 0.0], [-1, 0]),
    # own time: -.75, -1.5, -2.25 | -2.25-, -1.25-, -.25
    "two-sided wait": (TwoSidedNeuron(wait=3), [-0.75] * 3, [-1, -1, 0]),
    # p: .75+ -> -.25, .25, .5 (strict), -.75- -> .25, 2.25+ -> 1.25, 1.25+
    "rounds": (
        TwoSidedNeuron(rounds=True), [0.75, 0.5, 0.25, -1.25, 2.0, 0.0], [1, 0, 0, -1, 1, 1],
    ),
    # p: 1.5+ -> -.5, -1.5- -> .5, .25
    "rounds threshold": (
        TwoSidedNeuron(threshold=2.0, rounds=True), [1.5, -1.0, -0.25], [1, -1, 0],
    ),
    # p: .75+ -> -.25, -.125-.5 = -.625- -> .375
    "rounds leak": (TwoSidedNeuron(leak=0.5, rounds=True), [0.75, -0.5], [1, -1]),
    # own time: -.5, -1, -1.5 | -1.5-, -.5 (strict)
    "rounds wait": (TwoSidedNeuron(wait=3, rounds=True), [-0.5] * 3, [-1, 0, 0]),
    # T = 1
    "one step": (Neuron(leak=0.25, threshold=2.0), [2.5], [1]),
}  # fmt: skip


@pytest.mark.parametrize("name", BY_HAND)
def test_by_hand(name: str) -> None:
    """Rules S9 to S14, and S29, of docs/semantics.md."""
    op, currents, expected = BY_HAND[name]
    assert train(op, currents) == expected


def test_integer_leak_rounds_towards_minus_infinity() -> None:
    # p: -3, floor(-2.25) = -3, -3+8 = 5* -> 1, 0+4 = 4, 3+2 = 5*
    op = Neuron(threshold=4.0, leak=0.75)
    assert train(op, [-3.0, 0.0, 8.0, 4.0, 2.0], integer=True) == [0, 0, 1, 0, 1]


def test_integer_leak_is_exact_for_large_potentials() -> None:
    leak, u = 32767 / 32768, 2**31 - 1
    start = torch.tensor([float(u)], dtype=torch.float64)
    state, _ = population(Neuron(leak=leak, wait=1), integer=True).step(
        State(start, torch.zeros_like(start)), None, 0
    )
    assert int(state.u) == (32767 * u) >> 15


def test_constant_current_equals_the_repeated_one() -> None:
    op = Neuron(leak=0.875, v_init=0.25, wait=1)
    x = torch.rand(1, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    constant = population(op).run(x, 6)
    torch.testing.assert_close(constant, population(op).run(x.repeat(6, 1, 1), 6), rtol=0, atol=0)
    assert constant.shape == (6, 3, 4)


@pytest.mark.parametrize("steps", [1, 5])
def test_a_batch_stepped_in_parts_equals_the_whole(
    steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = torch.rand(steps, 7, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    whole = population(Neuron(leak=0.875)).run(x, 5)
    monkeypatch.setattr("snnc.interp.stateful.STATE_VALUES", 9)
    assert torch.equal(population(Neuron(leak=0.875)).run(x, 5), whole)
    assert whole.shape == (5, 7, 4) and whole.any()


def test_parameters_per_channel_and_per_neuron() -> None:
    x = torch.ones(1, 1, 2, 2, dtype=torch.float64)
    one = torch.tensor(1.0, dtype=torch.float64)
    channel = torch.tensor([0.5, 1.5], dtype=torch.float64).reshape(2, 1, 1)[:, 0]
    each = torch.tensor([[0.5, 2.5], [1.5, 0.5]], dtype=torch.float64)
    by_channel = Population(Neuron(), channel, None, one * 0).run(x, 2).sum(0)[0]
    by_neuron = Population(Neuron(), each, None, one * 0).run(x, 2).sum(0)[0]
    assert by_channel.tolist() == [[2, 2], [1, 1]]
    assert by_neuron.tolist() == [[2, 0], [1, 2]]


@given(
    st.lists(st.integers(-20, 40), min_size=1, max_size=8), st.integers(1, 15), st.integers(0, 14)
)
def test_waiting_for_all_input_is_a_quantiser(
    currents: list[int], threshold: int, v_init: int
) -> None:
    """Rule S13 of docs/semantics.md."""
    window = len(currents)
    op = Neuron(threshold=float(threshold), v_init=float(v_init), wait=window)
    spikes = train(op, [float(c) for c in currents])
    total = v_init + sum(currents)
    level = min(window, max(0, -(-total // threshold) - 1))
    assert sum(spikes) == level
    assert spikes == [1] * level + [0] * (window - level)


@given(
    st.lists(st.integers(-20, 40), min_size=2, max_size=10),
    st.integers(0, 10),
    st.sampled_from(["subtract", "zero"]),
)
def test_without_leak_the_second_order_is_the_first_one_step_later(
    currents: list[int], v_init: int, reset: str
) -> None:
    op = Neuron(threshold=10.0, v_init=float(v_init), reset=reset)  # type: ignore[arg-type]
    values = [float(c) for c in currents]
    first, second = train(op, values), train(replace(op, order=SECOND), values)
    assert second == [0, *first[:-1]]


@given(st.lists(st.integers(-30, 30), min_size=1, max_size=12), st.integers(0, 9))
def test_signed_population_never_takes_back_more_than_it_gave(
    currents: list[int], v_init: int
) -> None:
    """Rule S11 of docs/semantics.md."""
    op = Neuron(threshold=10.0, v_init=float(v_init), signed=True)
    spikes = train(op, [float(c) for c in currents])
    assert min(np.cumsum(spikes)) >= 0


@given(
    st.lists(st.integers(-30, 30), min_size=1, max_size=12),
    st.integers(-5, 5),
    st.integers(0, 3),
    st.booleans(),
)
def test_a_two_sided_population_has_no_side(
    currents: list[int], v_init: int, wait: int, rounds: bool
) -> None:
    """Rule S29 of docs/semantics.md: mirrored input gives mirrored spikes, and none is lost.

    After every step the spikes are the input so far, off by half a threshold at most if rounded.
    """
    op = TwoSidedNeuron(threshold=10.0, v_init=float(v_init), wait=wait, rounds=rounds)
    values = [float(c) for c in currents]
    spikes = train(op, values)
    mirrored = train(replace(op, v_init=-op.v_init), [-c for c in values])
    assert mirrored == [-s for s in spikes]
    if all(abs(c) <= 10 for c in currents) and not wait:
        for t in range(1, len(currents) + 1):
            off = v_init + sum(currents[:t]) - 10 * sum(spikes[:t])
            assert abs(off) <= (5 if rounds else 10)


def test_a_longer_window_begins_with_the_shorter_one() -> None:
    currents = [0.7, -0.2, 1.9, 0.1, 0.4]
    for op in (Neuron(leak=0.9), Neuron(order=SECOND), Neuron(signed=True), TwoSidedNeuron()):
        assert train(op, currents)[:3] == train(op, currents[:3])
