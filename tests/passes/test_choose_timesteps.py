"""choose-timesteps: the least window within a budget, by real runs."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest

import snnc
from snnc.artifact import open_artifact
from snnc.errors import PassError, UsageError
from snnc.interp import run_ann, run_snn
from snnc.ir import Graph, Linear, Neuron
from snnc.pipeline import Pipeline
from snnc.testing import Style, build, sample_inputs
from snnc.transform import PassContext, PassResult
from snnc_passes._window import longest_wait
from snnc_passes.choose.choose_timesteps import ChooseTimesteps, bisect
from snnc_passes.choose.early_exit import EarlyExit

CONVERT = "activations-to-neurons,threshold-balance,initialize-potential,fold-scale"
T, SAMPLES = 12, 300


def converted(**neuron: object) -> tuple[Graph, PassContext]:
    """A random residual network for T, all of whose classes occur, and its context."""
    ann = build("residual", Style.ANN, seed=3, lowered=True)
    x = sample_inputs(ann, SAMPLES)
    (output,) = run_ann(ann, x).values()
    op = ann.node(ann.outputs[0]).op
    assert isinstance(op, Linear)
    bias = ann.array(op.bias) if op.bias is not None else 0  # without what is the same for all
    ref = ann.own_param("fc", "bias", (bias - output.numpy().mean(0)).astype(np.float32))
    ann.replace_op("fc", replace(op, bias=ref))
    ctx = PassContext(timesteps=T, ann=ann, calibration=[(x, None)])
    graph = Pipeline.from_text(CONVERT).run(ann, ctx).graph
    for node in graph.nodes:
        if isinstance(node.op, Neuron):
            graph.replace_op(node.name, replace(node.op, **neuron))
    return graph, ctx


def agreement(graph: Graph, ctx: PassContext, timesteps: int) -> float:
    """Fraction of the calibration data, by a run of its own."""
    assert ctx.ann is not None and ctx.calibration is not None
    ((x, _),) = ctx.calibration
    (theirs,) = run_ann(ctx.ann, x).values()
    ours = run_snn(graph, x, timesteps=timesteps).outputs[graph.outputs[0]]
    return float(np.mean(ours.numpy().argmax(1) == theirs.numpy().argmax(1)))


def chosen(graph: Graph, ctx: PassContext, **options: object) -> PassResult:
    return ChooseTimesteps(**options).run(graph.clone(), ctx)  # pyright: ignore


def test_the_least_window_within_the_budget_is_taken() -> None:
    graph, ctx = converted()
    values = {t: agreement(graph, ctx, t) for t in range(1, T + 1)}
    assert 0.65 < values[T] < 0.8 and values[2] < values[1]  # rises, but not always
    for budget in (35.0, 45.0):
        result = chosen(graph, ctx, budget=budget)
        within = [t for t, value in values.items() if value >= 1 - budget / 100]
        assert result.graph.meta["timesteps"] == result.metrics["timesteps"] == min(within)
        measured = {int(t): value for t, value in result.metrics["measured"].items()}
        assert measured == pytest.approx(values, abs=1e-12)
        assert 1 < min(within) < T
        assert result.metrics["measure"] == "agreement" and result.metrics["within_budget"]


def test_waiting_networks_are_run_anew_and_wait_less() -> None:
    graph, ctx = converted(wait=T)
    result = chosen(graph, ctx, budget=20)
    t, wait = result.metrics["timesteps"], result.metrics["longest_wait"]
    assert t < T and longest_wait(result.graph) == wait <= t
    found = agreement(result.graph, ctx, t)
    assert found == result.metrics["value"] >= 0.8
    assert len(result.metrics["measured"]) <= 5  # by bisection
    kept = chosen(graph, ctx, budget=20, shorten_wait=False)
    assert kept.metrics["longest_wait"] == kept.metrics["timesteps"] == t


def test_labels_count_before_agreement_and_validation_before_calibration() -> None:
    graph, ctx = converted()
    assert ctx.ann is not None
    x = sample_inputs(graph, 120, seed=5)
    (theirs,) = run_ann(ctx.ann, x).values()
    wrong = theirs.numpy().argmin(1)
    labels = np.where(np.arange(120) < 30, wrong, theirs.numpy().argmax(1))
    labelled = replace(ctx, validation=[(x[:50], labels[:50]), (x[50:], labels[50:])])
    result = chosen(graph, labelled, budget=30, samples=100)
    assert result.metrics["measure"] == "accuracy" and result.metrics["samples"] == 100
    assert result.metrics["reference"] == pytest.approx(0.7)
    assert result.metrics["value"] >= 0.4 - 1e-9


def test_out_of_reach_keeps_the_window_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    graph, ctx = converted()
    with caplog.at_level(logging.WARNING):
        result = chosen(graph, replace(ctx, timesteps=2), budget=20)
    assert result.metrics["timesteps"] == 2 and result.metrics["within_budget"] is False
    (line,) = [r.getMessage() for r in caplog.records]
    assert "T=2 stays" in line and "larger -T" in line and "\n" not in line


def test_a_dip_above_the_window_is_told(caplog: pytest.LogCaptureFixture) -> None:
    graph, ctx = converted()
    with caplog.at_level(logging.WARNING):
        result = chosen(
            graph, replace(ctx, timesteps=4), budget=100 * (1 - agreement(graph, ctx, 1))
        )
    assert result.metrics["timesteps"] == 1
    assert "T=1 is within the budget, though T=2, 3 is not" in caplog.text


def test_what_has_no_classes_is_refused() -> None:
    graph, ctx = converted()
    real = [(sample_inputs(graph, 4), np.zeros((4, 5), np.float32))]
    with pytest.raises(PassError, match="real numbers"):
        chosen(graph, replace(ctx, calibration=real))
    with pytest.raises(PassError, match="from 0 to 4"):
        chosen(graph, replace(ctx, calibration=[(real[0][0], np.full(4, 7))]))
    one = Pipeline.from_text("choose-timesteps")
    with pytest.raises(UsageError, match="needs validation or calibration"):
        one.run(graph, replace(ctx, calibration=None))


def test_the_compiled_network_has_the_chosen_window(tmp_path) -> None:
    ann = build("plain", Style.ANN)
    recipe = str(Pipeline.from_text(snnc_convert()))
    compiled = snnc.compile(
        ann,
        output=tmp_path / "net.snnc",
        target="reference",
        passes=f"{recipe},choose-timesteps{{budget=20}},quantize{{bits=8}}",
        timesteps=16,
        calibration=sample_inputs(ann, 100),
    )
    found = compiled.report["steps"][-2]["metrics"]["timesteps"]
    assert found < 16
    assert compiled.report["timesteps"] == compiled.report["latency_timesteps"] == found
    assert compiled.program.timesteps == found
    graph = open_artifact(tmp_path / "net.snnc").graph()
    assert graph.meta["timesteps"] == found == graph.meta["quantize"]["timesteps"]


def snnc_convert() -> str:
    return f"fold-batchnorm,lower-avgpool,{CONVERT}"


def test_an_exit_rule_for_another_window_is_dropped() -> None:
    graph, ctx = converted()
    ruled = EarlyExit().run(graph, ctx).graph
    assert "early_exit" in ruled.meta
    assert "early_exit" not in chosen(ruled, ctx, budget=40).graph.meta


def test_bisection_finds_the_first_good_one() -> None:
    for first in range(1, 10):
        tried: list[int] = []

        def good(t: int, first: int = first, tried: list[int] = tried) -> bool:
            tried.append(t)
            return t >= first

        assert bisect(1, 9, good) == first
        assert len(tried) <= 4
