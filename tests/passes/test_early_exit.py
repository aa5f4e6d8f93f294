"""early-exit: the margin is as low as the budget allows, and no lower."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from snnc.data import open_data
from snnc.driver import ModelSource, load_model
from snnc.early_exit import ExitRule, first_step, margins
from snnc.interp import run_snn
from snnc.ir import Graph
from snnc.pipeline import Pipeline
from snnc.transform import PassContext
from snnc_passes.choose.early_exit import EarlyExit, least_margin

CONVERT = (
    "fold-batchnorm,lower-avgpool,activations-to-neurons,threshold-balance,"
    "initialize-potential,fold-scale"
)
T = 16


@pytest.fixture(scope="module")
def digits(repository) -> tuple[Graph, PassContext]:
    """The digits network for T, with 300 images to choose the margin on."""
    pytest.importorskip("sklearn")
    folder = repository / "examples" / "digits"
    source = ModelSource(
        model=f"{folder / 'net.py'}:build",
        weights=folder / "weights.safetensors",
        input_shape=(1, 8, 8),
    )
    ctx = PassContext(
        timesteps=T,
        calibration=open_data("digits#train[:200]"),
        validation=open_data("digits#train[200:500]"),
    )
    result = Pipeline.from_text(CONVERT).run(load_model(source), ctx)
    return result.graph, replace(ctx, ann=result.ann)


def test_digits_are_answered_early_and_right(digits: tuple[Graph, PassContext]) -> None:
    graph, ctx = digits
    result = EarlyExit(budget=0.5).run(graph.clone(), ctx)
    rule = ExitRule.of(result.graph.meta)
    assert rule is not None and result.metrics["measure"] == "accuracy"
    assert result.metrics["exit"] >= result.metrics["whole"] - 0.005
    assert result.metrics["mean_timesteps"] < 5  # of 16

    ((x, y),) = open_data("digits#test[:250]", batch_size=250)
    run = run_snn(graph, x, timesteps=T, prefixes=range(1, T + 1))
    outputs = np.stack([run.prefixes[t][graph.outputs[0]].numpy() for t in range(1, T + 1)])
    steps = rule.steps(outputs)
    right = outputs.argmax(2)[steps - 1, np.arange(len(x))] == y
    assert steps.mean() < 5 and right.mean() > 0.97


def test_a_larger_budget_exits_earlier(digits: tuple[Graph, PassContext]) -> None:
    graph, ctx = digits
    found = [EarlyExit(budget=b).run(graph.clone(), ctx).metrics for b in (0, 1, 5, 100)]
    steps = [each["mean_timesteps"] for each in found]
    assert steps == sorted(steps, reverse=True) and steps[-1] == 1.0
    assert found[0]["exit"] >= found[0]["whole"]


def test_without_labels_the_answers_of_the_ann_count(digits: tuple[Graph, PassContext]) -> None:
    graph, ctx = digits
    assert ctx.validation is not None
    unlabelled = [(x, None) for x, _ in ctx.validation]
    bare = replace(ctx, validation=unlabelled, calibration=unlabelled)
    metrics = EarlyExit(samples=64).run(graph.clone(), bare).metrics
    assert metrics["measure"] == "agreement" and metrics["samples"] == 64


def test_margins_are_of_what_has_accumulated() -> None:
    outputs = np.array([[[3.0, 1.0, 0.0]], [[2.0, 2.0, 0.0]], [[2.0, 1.0, 0.0]]])
    assert margins(outputs).tolist() == [[2.0], [0.0], [3.0]]
    assert first_step(np.array([[1.0, 5.0], [2.0, 0.0], [0.0, 0.0]]), 2).tolist() == [2, 1]
    assert first_step(np.array([[1.0], [1.0]]), 9).tolist() == [2]


def test_the_search_stops_at_the_first_margin_that_loses_too_much() -> None:
    margin = np.array([[4.0, 2.0, 1.0], [9.0, 9.0, 9.0]]).repeat(100, axis=1)
    right = np.array([[True, False, True], [True, True, True]]).repeat(100, axis=1)
    assert least_margin(margin, right, 0.0) == 4.0  # 2.0 would answer a third wrongly
    assert least_margin(margin, right, 1 / 3) == 4.0  # and perhaps more: 100 ± 10 of 300
    assert least_margin(margin, right, 1 / 3 + 2 * 10 / 300) == 1.0
    assert least_margin(margin, right, -1) > 9.0
