"""`tune`: the whole network adjusted to its ANN, on calibration data without labels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from snnc.errors import PassError
from snnc.interp import run_ann, run_snn
from snnc.ir import AnyNeuron, Graph
from snnc.pipeline import Pipeline
from snnc.transform import PassContext
from snnc_passes.recipes.convert import Convert
from snnc_passes.train.tune import Tune

T = 2


def context(digits: Any) -> PassContext:
    """Calibration data without labels, and no other data."""
    calibration = [(x, None) for x, _ in digits.train]
    given = digits.context(timesteps=T, calibration=calibration)
    return replace(given, train=None, validation=None)


@pytest.fixture(scope="module")
def converted(digits: Any) -> Graph:
    return digits.spiking(T)


@pytest.fixture(scope="module")
def tuned(digits: Any, converted: Graph) -> Any:
    return Tune(epochs=6, lr=2e-3).run(converted.clone(), context(digits))


def apart(digits: Any, graph: Graph) -> tuple[float, float]:
    """On test data: other classes than the ANN's (fraction), and the divergence from its answers.

    The answers are class probabilities at the temperature of the pass.
    """
    ((x, _),) = digits.test
    (wanted,) = (each.float() for each in run_ann(digits.ann, x).values())
    (found,) = run_snn(graph, x, timesteps=T, dtype=torch.float32).outputs.values()
    logs = [F.log_softmax(each / 4, 1) for each in (found, wanted)]
    other = (wanted.argmax(1) != found.argmax(1)).float().mean()
    return float(other), float(F.kl_div(*logs, reduction="batchmean", log_target=True))


def test_the_network_agrees_more_with_the_ann_on_other_data(
    digits: Any, converted: Graph, tuned: Any
) -> None:
    before, after = (apart(digits, graph) for graph in (converted, tuned.graph))
    assert after[0] < before[0] - 0.01, (before, after)
    assert after[1] < 0.8 * before[1], (before, after)
    assert tuned.metrics["samples"] == 1000
    assert tuned.metrics["chosen"] == 6


def test_leaks_stay_and_everything_else_moves(converted: Graph, tuned: Any) -> None:
    for node in converted.nodes:
        if not isinstance(node.op, AnyNeuron):
            continue
        old, new = node.op, tuned.graph.node(node.name).op
        for field in ("threshold", "v_init"):
            arrays = converted.array(getattr(old, field)), tuned.graph.array(getattr(new, field))
            assert not np.array_equal(*np.broadcast_arrays(*arrays)), (node.name, field)
        assert np.array_equal(converted.array(old.leak), tuned.graph.array(new.leak))


def test_the_same_seed_gives_the_same_bytes(digits: Any, converted: Graph) -> None:
    tune = Tune(epochs=1)
    first, second = (tune.run(converted.clone(), context(digits)).graph for _ in range(2))
    assert first.fingerprint() == second.fingerprint() != converted.fingerprint()


def test_the_recipe_tunes_real_values_and_then_rounds() -> None:
    names = [p.name for p in Pipeline.from_text(Convert(tune=3, bits=8).pipeline()).passes]
    assert names[-3:] == ["fold-scale", "tune", "quantize"]
    (tune,) = Pipeline.from_text(Convert(tune=3, prefixes="all").pipeline()).passes[-1:]
    assert tune == Tune(epochs=3, prefixes="all")
    (tune,) = Pipeline.from_text(Convert(tune=3, precision="bfloat16").pipeline()).passes[-1:]
    assert tune == Tune(epochs=3, precision="bfloat16")


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"tune": 0}, "tune must be positive, not 0"),
        ({"precision": "bfloat16"}, "precision=bfloat16 is of tuning: add tune=4"),
        ({"tune": 1, "precision": "float16"}, "precision must be float32 or bfloat16"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: Any, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        Convert(**options)


def test_integers_are_refused(digits: Any, converted: Graph) -> None:
    rounded = Pipeline.from_text("quantize{bits=8}").run(converted, digits.context(timesteps=T))
    with pytest.raises(PassError, match="quantised already"):
        Tune().run(rounded.graph, context(digits))
