"""Training with the errors of the target's cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnc.ir import Graph, Weighted
from snnc.training import to_torch
from snnc_passes.train._target_errors import TargetErrors
from snnc_passes.train.learn import Learn

FAST: dict[str, Any] = {"epochs": 2, "batch": 8, "lr": 1e-2}


class Halved:
    """A target whose cells lose a part of every weight, another one in every draw."""

    def __init__(self) -> None:
        self.drawn: list[float] = []
        self.limits = {"weight_bits": 8, "levels_us": (0.0, 25.0)}

    def read_weights(self, weights: Any, rng: np.random.Generator) -> Any:
        assert np.abs(weights).max(0).tolist() == [127] * weights.shape[1]
        self.drawn.append(float(rng.uniform(0.2, 0.8)))
        return weights * self.drawn[-1]


def test_weights_learn_with_the_errors_of_the_target(ran: Any, plain: Graph) -> None:
    target = Halved()
    exact = ran(Learn(**FAST), target=target)
    assert not target.drawn
    trained = ran(Learn(**FAST, target_errors=True), target=target)
    assert len(set(target.drawn)) == len(target.drawn) >= 2
    assert trained.metrics["epochs"][0]["loss"] != exact.metrics["epochs"][0]["loss"]
    weights = [n.op.weight for n in plain.nodes if isinstance(n.op, Weighted)]
    for weight in weights:
        moved = np.abs(trained.graph.array(weight) - plain.array(weight)).max()
        assert 0 < moved < 0.2 * np.abs(plain.array(weight)).max(), "errors are taken off again"
    again = ran(Learn(**FAST, target_errors=True), target=Halved())
    assert again.graph.fingerprint() == trained.graph.fingerprint()
    assert Learn(**FAST, target_errors=True).requirements() >= {"target", "train"}


def test_a_finished_run_is_resumed(ran: Any, tmp_path: Path) -> None:
    learn = Learn(**FAST, target_errors=True)
    trained = ran(learn, target=Halved(), workdir=tmp_path)
    idle = Halved()
    resumed = ran(learn, target=idle, workdir=tmp_path, resume=True)
    assert resumed.graph.fingerprint() == trained.graph.fingerprint() and not idle.drawn


def test_errors_are_taken_off_again_if_a_step_fails(plain: Graph) -> None:
    network = to_torch(plain, 4)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(RuntimeError), TargetErrors(network, Halved()).added():  # type: ignore[arg-type]
        assert any(not value.equal(before[n]) for n, value in network.state_dict().items())
        raise RuntimeError
    assert all(value.equal(before[n]) for n, value in network.state_dict().items())
