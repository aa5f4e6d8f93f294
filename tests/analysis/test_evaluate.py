"""Errors in the outputs' own unit, and what an early exit gives, as `snnc eval` reports them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import snnc
from snnc.analysis import Ann, evaluate
from snnc.cli.main import run
from snnc.early_exit import ExitRule
from snnc.ir import Graph, Input, Linear, Relu, Reshape
from snnc.testing import Style, build, sample_inputs

CONVERT = "activations-to-neurons,threshold-balance,initialize-potential,fold-scale"
T, SAMPLES = 6, 40


def dense() -> Graph:
    """Of outputs (1, 2, 3): no classes."""
    rng = np.random.default_rng(0)
    graph = Graph()
    graph.add("x", Input(shape=(4,)))
    weight = graph.set_param("w1", rng.normal(size=(9, 4)).astype(np.float32))
    graph.add("relu", Relu(), [graph.add("fc1", Linear(weight=weight), ["x"])])
    weight = graph.set_param("w2", rng.normal(size=(6, 9)).astype(np.float32))
    graph.add("fc2", Linear(weight=weight), ["relu"])
    graph.outputs = (graph.add("shaped", Reshape(shape=(1, 2, 3)), ["fc2"]),)
    return graph


def test_dense_outputs_have_errors_and_no_agreement() -> None:
    graph = dense()
    x = sample_inputs(graph, SAMPLES)
    wanted = np.random.default_rng(1).normal(size=(SAMPLES, 1, 2, 3)).astype(np.float32)
    compiled = snnc.compile(graph, target="reference", passes=CONVERT, timesteps=T, calibration=x)
    theirs = wanted + 0.5
    theirs[0] = wanted[0]
    data = [(x[:15], wanted[:15]), (x[15:], wanted[15:])]
    told = iter((theirs[:15], theirs[15:]))
    found = evaluate(
        compiled.program,
        compiled.graph,
        data,
        timesteps=T,
        sweep=(2,),
        ann=Ann(lambda _: next(told)),
    ).report()
    output = compiled.program.run(x).output.astype(np.float64)
    assert found["mean_absolute_error"] == pytest.approx(np.abs(output - wanted).mean())
    assert found["root_mean_square_error"] == pytest.approx(
        np.sqrt(np.square(output - wanted).mean())
    )
    assert found["ann_mean_absolute_error"] == pytest.approx(0.5 * (SAMPLES - 1) / SAMPLES)
    assert found["ann_output_mean_absolute_error"] == pytest.approx(np.abs(output - theirs).mean())
    assert found["ann_output_root_mean_square_error"] == pytest.approx(
        np.sqrt(np.square(output - theirs).mean())
    )
    assert not {"agreement", "accuracy", "early_exit"} & found.keys()
    assert found["sweep"][0]["root_mean_square_error"] != found["root_mean_square_error"]


def test_classes_keep_their_agreement_and_gain_the_error_of_the_output() -> None:
    graph = build("plain", Style.ANN, lowered=True)
    x = sample_inputs(graph, SAMPLES)
    compiled = snnc.compile(graph, target="reference", passes=CONVERT, timesteps=T, calibration=x)
    output = compiled.program.run(x).output
    found = evaluate(
        compiled.program, compiled.graph, [(x, None)], timesteps=T, ann=Ann(lambda _: output + 1)
    ).report()
    assert found["agreement"] == 1.0
    assert found["ann_output_mean_absolute_error"] == pytest.approx(1.0, rel=1e-4)


def test_eval_tells_what_the_rule_in_the_artifact_gives(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = build("plain", Style.ANN, lowered=True)
    x = sample_inputs(graph, SAMPLES)
    y = np.random.default_rng(0).integers(0, 5, SAMPLES)
    np.savez(tmp_path / "d.npz", x=x, y=y)
    passes = f"activations-to-neurons{{wait=2}}{CONVERT.removeprefix('activations-to-neurons')}"
    compiled = snnc.compile(
        graph,
        output=tmp_path / "net.snnc",
        target="reference",
        passes=f"{passes},early-exit{{budget=3}}",
        timesteps=T,
        calibration=str(tmp_path / "d.npz"),
    )
    rule = ExitRule.of(compiled.graph.meta)
    assert rule is not None
    outputs = compiled.program.run(x, prefixes=tuple(range(1, T))).stats["prefixes"]
    outputs = np.stack([*(outputs[t] for t in range(1, T)), compiled.program.run(x).output])
    steps = rule.steps(outputs)
    right = outputs.argmax(2)[steps - 1, np.arange(SAMPLES)] == y

    command = ["eval", str(tmp_path / "net.snnc"), "--data", str(tmp_path / "d.npz")]
    capsys.readouterr()
    assert run([*command, "--json", "--batch-size", "7"]) == 0
    report = json.loads(capsys.readouterr().out)
    told = report["early_exit"]
    assert told["margin"] == rule.margin and told["accuracy"] == right.mean()
    assert told["mean_timesteps"] == steps.mean() < T
    assert told["mean_latency_timesteps"] == steps.mean() + report["latency_timesteps"] - T
    assert report["latency_timesteps"] > T
    assert sum(each["fraction"] for each in told["exits"]) == pytest.approx(1)
    assert run(command) == 0
    assert f"early exit         after {steps.mean():.2f} of 6 steps" in capsys.readouterr().out
