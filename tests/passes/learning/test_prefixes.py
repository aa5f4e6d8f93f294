"""`learn{prefixes=all}`: one network for every number of steps up to its window."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from snnc.errors import PassError
from snnc.ir import Graph
from snnc.pipeline import Pipeline
from snnc.training import to_torch
from snnc_passes.train._objective import Objective
from snnc_passes.train.learn import Learn
from snnc_passes.train.reduce_timesteps import ReduceTimesteps

T = 4
LEARN: dict[str, Any] = {"epochs": 4, "lr": 3e-3, "batch": 32}


@pytest.fixture(scope="module")
def pair(digits: Any) -> tuple[Any, Any]:
    """What is learnt for the window alone, and for all prefixes of it."""
    converted = digits.spiking(T)
    last, every = (
        Learn(**LEARN, prefixes=prefixes).run(converted.clone(), digits.context(timesteps=T))
        for prefixes in ("last", "all")
    )
    return last, every


def accuracies(digits: Any, graph: Graph) -> list[float]:
    return [digits.accuracy(graph, steps) for steps in range(1, T + 1)]


def test_earlier_answers_become_better_and_the_last_is_not_lost(digits: Any, pair: Any) -> None:
    last, every = (accuracies(digits, result.graph) for result in pair)
    assert every[0] > last[0] + 0.02, (every, last)
    assert every[-1] > last[-1] - 0.02, (every, last)


def test_validation_is_the_mean_over_all_windows(digits: Any, pair: Any) -> None:
    ((x, y),) = digits.validation
    value = torch.from_numpy(x)
    for result, windows in zip(pair, ([T], [1, 2, 3, T]), strict=True):
        shown = result.metrics["epochs"][result.metrics["chosen"] - 1]["validation"]
        found = [
            np.mean(to_torch(result.graph, steps)(value).argmax(1).numpy() == y)
            for steps in windows
        ]
        assert shown == pytest.approx(np.mean(found), abs=1e-6)


@pytest.mark.parametrize("loss", ["cross-entropy", "ann", "mse"])
def test_every_output_learns_from_the_data_alike(digits: Any, loss: Any) -> None:
    objective = Objective(loss, digits.spiking(T), digits.ann, "cpu", 3.0)
    ((x, y),) = digits.validation
    labels = np.eye(10)[y[:7]] if loss == "mse" else y[:7]
    wanted = objective.wanted(torch.from_numpy(x[:7]), labels, "training")
    draw = torch.Generator().manual_seed(0)
    outputs = [torch.randn(7, 10, generator=draw, requires_grad=True) for _ in range(3)]
    together = torch.autograd.grad(objective.mean_total(outputs, wanted), outputs)
    for output, gradient in zip(outputs, together, strict=True):
        (alone,) = torch.autograd.grad(objective.total(output, wanted), output)
        assert torch.allclose(gradient, alone / 3, rtol=1e-6)
        assert torch.equal(objective.mean_total([output], wanted), objective.total(output, wanted))


def test_what_has_no_prefixes_is_refused(digits: Any) -> None:
    ctx = digits.context(timesteps=T)
    waiting = digits.spiking(T, "activations-to-neurons{wait=T-1},threshold-balance,fold-scale")
    for each in (Learn(prefixes="all"), ReduceTimesteps(prefixes="all", start=T)):
        with pytest.raises(PassError, match="some population waits"):
            each.run(waiting.clone(), ctx)
    with pytest.raises(ValueError, match="prefixes must be last or all, not some"):
        Learn(prefixes="some")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="computes no single steps"):
        Learn(prefixes="all", even_spikes=True, leak=False)


def test_the_option_is_written_and_checkpoints_without_it_are_known_as_before() -> None:
    assert str(Pipeline.from_text("learn{prefixes=all}")) == "learn{prefixes=all}"
    assert "prefixes" not in Learn().as_numbers()
    assert Learn(prefixes="all").as_numbers()["prefixes"] == "all"
