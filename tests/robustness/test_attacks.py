"""Attacks against a direct implementation, their limits, and what is said of their results."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from snnc.errors import DataError, UsageError
from snnc.robustness import (
    METHODS,
    AttackResult,
    Budget,
    DifferentiableNetwork,
    Evaluation,
    RobustnessReport,
    chosen,
    evaluate,
)
from snnc.robustness.adaptive import adaptive
from snnc.robustness.library_attacks import fgsm, pgd
from snnc.training import Atan, Triangle

EPS = 0.15


def direct_fgsm(network: Any, x: Tensor, y: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(F.cross_entropy(network(x), y), x)
    return (x + EPS * slope.sign()).clamp(0, 1).detach()


def direct_pgd(network: Any, x: Tensor, y: Tensor, start: Any, steps: int) -> Tensor:
    now = (x + torch.from_numpy(start)).clamp(0, 1)
    for _ in range(steps):
        now = now.clone().requires_grad_()
        (slope,) = torch.autograd.grad(F.cross_entropy(network(now), y), now)
        now = now.detach() + 2.5 * EPS / steps * slope.sign()
        now = torch.minimum(torch.maximum(now, x - EPS), x + EPS).clamp(0, 1)
    return now


def test_the_library_on_the_ann_equals_a_direct_implementation(digits: Any) -> None:
    """The same inputs, PGD from the same random start."""
    x, y = torch.from_numpy(digits.x), torch.from_numpy(digits.y)
    network = DifferentiableNetwork(digits.ann, 1)
    found = fgsm(network, digits.x, digits.y, Budget(eps=EPS))
    np.testing.assert_allclose(found, direct_fgsm(network, x, y), atol=1e-6)
    found = pgd(network, digits.x, digits.y, Budget(eps=EPS, steps=20, seed=5))
    rng = np.random.RandomState(5)
    start = rng.uniform(-EPS, EPS, (len(x), x[0].numel())).astype(np.float32)
    expected = direct_pgd(network, x, y, start.reshape(x.shape), 20)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_every_attack_stays_within_the_budget_and_repeats(digits: Any, name: str) -> None:
    graph = digits.compiled("convert{bits=8}").graph
    method, x, y = METHODS[name], digits.x[:10], digits.y[:10]
    budget = Budget(eps=0.1, steps=4, seed=5)
    state = np.random.get_state()[1].copy()  # type: ignore[union-attr]
    made = [
        method.run(DifferentiableNetwork(graph, 8, method.surrogate(Atan()), seed=1), x, y, budget)
        for _ in range(2)
    ]
    np.testing.assert_array_equal(made[0], made[1])
    assert made[0].dtype == np.float32 and np.abs(made[0] - x).max() <= 0.1 + 1e-6
    assert made[0].min() >= 0 and made[0].max() <= 1 and (made[0] != x).any()
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # type: ignore[arg-type]


def evaluation(*methods: str, **changed: Any) -> Evaluation:
    known = {"budget": Budget(eps=EPS, steps=20), "surrogate": Atan(), "draws": 2}
    return Evaluation(methods=methods, **{**known, **changed})


def test_adaptive_is_not_weaker_than_pgd(digits: Any) -> None:
    """On a spiking network, at equal steps and an eps where neither fools all."""
    how = evaluation("pgd", "adaptive", budget=Budget(eps=0.06, steps=20))
    found = evaluate(digits.target(), digits.data, how)
    pgd_, adaptive_ = (found.attacks[name].accuracy for name in ("pgd", "adaptive"))
    assert 0.1 < adaptive_ <= pgd_ + 0.01
    assert found.adversarial_accuracy <= min(adaptive_, pgd_)
    assert not [text for text in found.warnings() if "masked" in text]


class Noisy(torch.nn.Module):
    """Scores of two classes for one value: the second grows with it, with noise."""

    def __init__(self, random: bool) -> None:
        super().__init__()
        self.random = random
        self._generator = torch.Generator().manual_seed(0)

    def forward(self, x: Tensor) -> Tensor:
        noise = torch.randn(x.shape, generator=self._generator)
        return torch.cat([torch.zeros_like(x), 50 * (x - 0.5) + noise], 1)


def test_adaptive_goes_on_where_a_wrong_answer_is_chance() -> None:
    """Else an input that a draw got wrong at the first step would stay as it is."""
    x, y = np.full((50, 1), 0.5, np.float32), np.zeros(50, np.int64)
    budget = Budget(eps=EPS, steps=20)
    moved = [adaptive(Noisy(random), x, y, budget) for random in (True, False)]  # type: ignore[arg-type]
    assert moved[0].min() > 0.5 + 0.9 * EPS
    assert moved[1].min() < 0.5 + 0.5 * EPS, "classified wrong is enough"


def test_a_narrow_derivative_is_called_masked(digits: Any) -> None:
    how = evaluation("noise", "pgd", surrogate=Triangle(1e-3))
    found = evaluate(digits.target(), digits.data, how)
    assert found.attacks["pgd"].accuracy > 0.5
    assert any("masked" in text and "zero on" in text for text in found.warnings())
    assert any("no stronger than noise" in text for text in found.warnings())
    wide = evaluate(digits.target(), digits.data, evaluation("noise", "pgd"))
    assert wide.attacks["pgd"].accuracy < 0.5 and not wide.warnings()


def test_transfer_is_made_on_the_source_and_judged_on_the_target(digits: Any) -> None:
    how = evaluation("transfer", source=digits.target_of_ann())
    found = evaluate(digits.target(), digits.data, how)
    assert list(found.attacks) == ["transfer-pgd", "transfer-adaptive"]
    assert found.attacks["transfer-pgd"].accuracy < found.clean.mean() - 0.2
    assert found.warnings() == (
        "no attack that knows the network was run: this is no claim of robustness",
    )


def test_random_answers_are_judged_by_several_seeds(digits: Any) -> None:
    target = digits.target("convert{encode=poisson bits=8}")
    found = evaluate(target, digits.data, evaluation("noise", seeds=4))
    assert found.clean.shape == (4, 60) and len(np.unique(found.clean, axis=0)) > 1
    assert evaluate(digits.target(), digits.data, evaluation("noise")).clean.shape == (1, 60)


def test_the_claim_is_the_least_over_attacks_for_every_sample() -> None:
    clean = np.array([[1, 1, 1, 0], [1, 1, 1, 0]], bool)
    one = AttackResult(np.array([[1, 0, 1, 0], [1, 0, 0, 0]], bool))
    two = AttackResult(np.array([[0, 1, 1, 0], [0, 1, 1, 1]], bool))
    found = RobustnessReport(clean, {"pgd": one, "fgsm": two}, 0.1)
    assert found.adversarial_accuracy == (0 + 0 + 0.5 + 0) / 4
    assert found.report()["attacks"]["pgd"] == {"accuracy": 0.375}


def result(accuracy: float) -> AttackResult:
    return AttackResult(np.arange(100)[None] < 100 * accuracy)


@pytest.mark.parametrize(
    ("attacks", "told"),
    [
        ({"pgd": 0.5, "square": 0.4}, "square (40.0%), which uses no gradient"),
        ({"pgd": 0.5, "transfer-pgd": 0.4}, "transfer-pgd (40.0%)"),
        ({"pgd": 0.5, "adaptive": 0.2, "adaptive-half": 0.3}, "still gains by more steps"),
        ({"pgd": 0.5, "pgd-width-2": 0.3}, "the derivative masks"),
        ({"pgd": 0.5, "noise": 0.5}, "no stronger than noise"),
        ({"noise": 0.5}, "no claim"),
    ],
)
def test_warnings(attacks: dict[str, float], told: str) -> None:
    made = {name: result(accuracy) for name, accuracy in attacks.items()}
    found = RobustnessReport(result(0.9).correct, made, 0.1)
    assert any(told in text for text in found.warnings()), found.warnings()
    healthy = {"pgd": 0.1, "adaptive": 0.1, "adaptive-half": 0.11, "square": 0.3, "noise": 0.8}
    healthy |= {"pgd-width-2": 0.12, "transfer-pgd": 0.4}
    made = {name: result(accuracy) for name, accuracy in healthy.items()}
    assert RobustnessReport(result(0.9).correct, made, 0.1).warnings() == ()


def test_more_restarts_are_not_weaker(digits: Any) -> None:
    network = DifferentiableNetwork(digits.ann, 1)
    x, y = digits.x, digits.y
    budget = Budget(eps=0.05, steps=3)
    right = [
        (network(torch.from_numpy(adaptive(network, x, y, each))).argmax(1).numpy() == y).mean()
        for each in (budget, replace(budget, restarts=3))
    ]
    assert right[1] <= right[0]


@pytest.mark.parametrize(
    "wrong", [{"eps": 0.0}, {"eps": 2.0}, {"steps": 0}, {"restarts": 0}, {"bounds": (1.0, 0.0)}]
)
def test_wrong_budgets(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"--{next(iter(wrong))}"):
        Budget(**{"eps": 0.1, **wrong})


def test_inputs_outside_the_bounds_are_refused(digits: Any) -> None:
    data = [(2 * digits.x, digits.y)]
    with pytest.raises(DataError, match="outside 0 to 1"):
        evaluate(digits.target_of_ann(), data, evaluation("noise"))
    with pytest.raises(DataError, match="no samples"):
        evaluate(digits.target_of_ann(), [], evaluation("noise"))


def test_which_methods_are_run() -> None:
    assert chosen(["all"], False) == tuple(METHODS)
    assert chosen(["all"], True)[-1] == "transfer"
    assert chosen(["pgd", "noise", "pgd"], False) == ("pgd", "noise")
    with pytest.raises(UsageError, match="unknown method 'cw'") as caught:
        chosen(["cw"], False)
    listed = "noise, fgsm, pgd, apgd, square, potential, adaptive, transfer, all"
    assert caught.value.hint == f"one of: {listed}"
    with pytest.raises(UsageError, match="needs another network"):
        chosen(["transfer"], False)
    with pytest.raises(UsageError, match="--source: without the method transfer"):
        chosen(["pgd"], True)
