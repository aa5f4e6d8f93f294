"""Learning on inputs that fool the network."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import snnc
from snnc.errors import SpecError
from snnc.ir import Graph
from snnc.pipeline import Pipeline, parse_one
from snnc.plugins import RECIPES, Registry
from snnc.training import to_torch
from snnc_passes.train._adversary import Pgd
from snnc_passes.train.learn import Learn

EPS = 0.1


def loss_of(y: Any) -> Any:
    target = torch.from_numpy(y)
    return lambda output: F.cross_entropy(output, target, reduction="sum")


def attacked(graph: Graph, attack: Pgd, x: Tensor, y: Any, seed: int = 1) -> tuple[Any, Tensor]:
    network = to_torch(graph, 4)
    generator = torch.Generator().manual_seed(seed)
    return network, attack.moved(network, x, loss_of(y), generator)


@pytest.mark.parametrize("encode", ["", "{encode=poisson}"])
def test_inputs_fool_the_network_within_the_limits(digits: Any, encode: str) -> None:
    passes = f"activations-to-neurons{encode},threshold-balance{{statistic=mse}},fold-scale"
    graph = digits.spiking(4, passes)
    ((x, y),) = digits.test
    x, y = torch.from_numpy(x[:64]), y[:64]
    network, moved = attacked(graph, Pgd(eps=EPS, steps=4), x, y)
    assert not moved.requires_grad and (moved - x).abs().max() <= EPS + 1e-6
    assert moved.min() >= 0 and moved.max() <= 1
    assert all(p.grad is None for p in network.parameters())
    loss = loss_of(y)
    with torch.no_grad():
        assert loss(network(moved)) > 1.5 * loss(network(x))
    assert torch.equal(moved, attacked(graph, Pgd(eps=EPS, steps=4), x, y)[1])
    assert not torch.equal(moved, attacked(graph, Pgd(eps=EPS, steps=4), x, y, seed=2)[1])


def test_what_lies_outside_the_range_is_not_moved_further_out(digits: Any) -> None:
    ((x, y),) = digits.test
    x, y = torch.from_numpy(3 * x[:16] - 1), y[:16]
    _, moved = attacked(digits.spiking(4), Pgd(eps=EPS), x, y)
    assert (moved[x < 0] >= x[x < 0]).all() and (moved[x > 1] <= x[x > 1]).all()
    assert (moved != x)[(x < 0) | (x > 1)].any()


def accuracy_under_attack(graph: Graph, x: Any, y: Any) -> float:
    network, moved = attacked(graph, Pgd(eps=EPS, steps=10), torch.from_numpy(x), y)
    with torch.no_grad():
        return float((network(moved).argmax(1).numpy() == y).mean())


def test_the_recipe_makes_a_network_that_is_harder_to_fool(digits: Any) -> None:
    common = "epochs=3 lr=0.003 batch=32 calibration-steps=10"
    made = {
        recipe: snnc.compile(
            digits.ann,
            recipe=recipe,
            timesteps=4,
            calibration=[(digits.train[0][0][:200], None)],
            train=digits.train,
            validation=digits.validation,
        )
        for recipe in (f"diet{{{common} dropout=0}}", f"robust{{{common} eps={EPS}}}")
    }
    ((x, y),) = digits.test
    plain, robust = (accuracy_under_attack(each.graph, x, y) for each in made.values())
    assert robust > plain + 0.1, (plain, robust)
    (learnt,) = (s["metrics"] for s in made.popitem()[1].report["steps"] if s["name"] == "learn")
    assert learnt["epochs"][-1]["measure"] == "adversarial accuracy"
    assert learnt["epochs"][-1]["validation"] == pytest.approx(robust, abs=0.1)


def test_the_recipe_hands_its_options_on() -> None:
    recipe = parse_one("robust{eps=0.2 steps=5 low=-1 leak=0.9 bits=8}", Registry(RECIPES))
    text = str(Pipeline.from_text(recipe.pipeline()))
    assert "adversarial=pgd{eps=0.2 steps=5 low=-1}" in text and "leak=false" in text
    assert "activations-to-neurons{leak=0.9}" in text and text.endswith("quantize")


@pytest.mark.parametrize("wrong", ["eps=0", "steps=0", "low=1"])
def test_wrong_options_are_refused(wrong: str) -> None:
    with pytest.raises(SpecError, match=wrong.split("=")[0]):
        parse_one(f"robust{{{wrong}}}", Registry(RECIPES))
    with pytest.raises(SpecError, match=wrong.split("=")[0]):
        Pipeline.from_text(f"learn{{adversarial=pgd{{{wrong}}}}}")


def test_checkpoints_without_an_attack_are_known_as_before() -> None:
    assert "adversarial" not in Learn().as_numbers()
    numbers = json.loads(json.dumps(Learn(adversarial=Pgd(eps=0.25)).as_numbers()))
    assert numbers["adversarial"] == {"name": "pgd", "eps": 0.25, "steps": 3, "low": 0, "high": 1}
