"""Warnings about a model and its data are logged once and stand in the report."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

import snnc
from snnc.artifact import open_artifact
from snnc.driver.artifacts import evaluate
from snnc.driver.benchmarking import benchmark
from snnc.driver.diagnosing import diagnose_artifact
from snnc.driver.job import JobOptions
from snnc.driver.models import ModelSource
from snnc.driver.running import run_on_data
from snnc.ir.integer_bounds import proved_window
from snnc.report.page import render
from snnc.testing import Style, build

X = np.random.default_rng(0).random((60, 3, 4, 4), np.float32)
FAR: dict[str, Any] = {"mean": (123.7, 116.3, 103.5), "std": (58.4, 57.1, 57.4)}


def network(*, trained: bool) -> nn.Module:
    module = nn.Sequential(nn.Flatten(), nn.Linear(48, 32), nn.ReLU(), nn.Linear(32, 5)).eval()
    for parameter in module.parameters():
        parameter.data *= 3 if trained else 1
    return module


def compiled(module: nn.Module, output: Path | None = None, **options: Any) -> dict[str, Any]:
    made = snnc.compile(
        module, input_shape=(3, 4, 4), target="reference", timesteps=4, output=output, **options
    )
    return dict(made.report)


def causes(report: Any) -> list[str]:
    return [warning["cause"] for warning in report["warnings"]]


def test_each_warning_is_logged_once_with_a_remedy(caplog: pytest.LogCaptureFixture) -> None:
    report = compiled(network(trained=False), calibration=X, **FAR)
    assert causes(report) == ["untrained-weights", "wrong-normalisation"]
    logged = [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]
    assert len(logged) == 2 and all(" Try: give the " in text for text in logged)
    assert "nearly the same number everywhere" in logged[1]
    assert f'<p class="alarm" role="alert"><b>{report["warnings"][0]["text"]}</b>' in render(report)


def test_a_trained_network_with_its_data_has_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    assert causes(compiled(network(trained=True), calibration=X)) == []
    assert causes(compiled(network(trained=False))) == ["untrained-weights"]
    texts = [each.getMessage() for each in caplog.records]
    assert sum("not trained" in text for text in texts) == 1


def test_data_outside_the_calibrated_range(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, module = tmp_path / "net.snnc", network(trained=True)
    compiled(module, path, calibration=X)
    assert causes(evaluate(path, X).report()) == []
    run_on_data(path, X[:3])
    assert not caplog.records
    assert causes(evaluate(path, 255 * X).report()) == ["input-range"]
    run_on_data(path, 255 * X[:3])
    texts = [each.getMessage() for each in caplog.records]
    assert len(texts) == 2 and all("times as much" in text for text in texts)
    far, right = (
        diagnose_artifact(path, module, JobOptions(calibration=data)).findings
        for data in (255 * X, X)
    )
    assert [str(each.cause) for each in far][:1] == ["input-range"]
    assert all(each.cause != "input-range" for each in right)


def test_nothing_is_compared_without_calibration_data(tmp_path: Path) -> None:
    path = tmp_path / "net.snnc"
    compiled(network(trained=True), path)
    assert causes(evaluate(path, 255 * X).report()) == []


def test_a_model_compared_with_that_is_untrained(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "net.snnc"
    compiled(network(trained=True), path, calibration=X)
    report = evaluate(path, X, compare=ModelSource(model=network(trained=False))).report()
    assert causes(report) == ["untrained-weights"]
    assert sum("not trained" in each.getMessage() for each in caplog.records) == 1


@pytest.mark.parametrize("recipe", ["convert", "convert{bits=3}", "convert{split=1.5}"])
def test_a_model_compared_with_that_is_another_one(tmp_path: Path, recipe: str) -> None:
    path, module = tmp_path / "net.snnc", network(trained=True)
    compiled(module, path, calibration=X, recipe=recipe)
    wider = nn.Sequential(nn.Flatten(), nn.Linear(48, 33), nn.ReLU(), nn.Linear(33, 5)).eval()
    for parameter in wider.parameters():
        parameter.data *= 3
    for other, expected in (
        (module, []),
        (network(trained=True), ["other-model"]),
        (wider, ["other-model"]),
    ):
        compare = ModelSource(model=other)
        assert causes(evaluate(path, X, compare=compare).report()) == expected
        found = diagnose_artifact(path, other, JobOptions(calibration=X)).findings
        assert [str(each.cause) for each in found][:1] == expected or not expected
        assert expected or "other-model" not in [str(each.cause) for each in found]


def test_a_window_beyond_the_one_that_was_fitted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "net.snnc"
    compiled(network(trained=True), path, calibration=X)
    assert causes(evaluate(path, X, sweep=(1, 4)).report()) == []
    assert not caplog.records
    assert causes(evaluate(path, X, sweep=(1, 4, 8)).report()) == ["beyond-window"]
    run_on_data(path, X[:3], timesteps=8)
    benchmark(path, timesteps=8, seconds=0)
    texts = [each.getMessage() for each in caplog.records]
    assert len(texts) == 3 and all("fitted for T=4, and runs for 8" in text for text in texts)


def test_what_was_fitted_to_nothing_has_no_window_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "net.snnc"
    snnc.compile(build("plain", Style.SNN), target="reference", timesteps=4, output=path)
    x = np.zeros((1, *open_artifact(path).manifest["input_shape"]), np.float32)
    assert causes(evaluate(path, x, timesteps=8).report()) == []


def test_integers_are_refused_where_they_could_overflow_and_not_before(tmp_path: Path) -> None:
    path = tmp_path / "net.snnc"
    snnc.compile(
        network(trained=True),
        input_shape=(3, 4, 4),
        recipe="convert{bits=8}",
        timesteps=4,
        calibration=X,
        output=path,
    )
    longest = proved_window(open_artifact(path).graph())
    assert run_on_data(path, X[:1], timesteps=longest).timesteps == longest > 4
    for run in (partial(run_on_data, path), snnc.load(path).run):
        with pytest.raises(snnc.SnncError, match=f"proved not to overflow for .*{longest}"):
            run(X[:1], timesteps=longest + 1)


@pytest.mark.parametrize(("samples", "said"), [(1, "1 sample "), (16, "16 samples "), (32, "")])
def test_few_calibration_samples(samples: int, said: str, caplog: pytest.LogCaptureFixture) -> None:
    module = network(trained=True)
    assert causes(compiled(module, calibration=X[:samples])) == (["few-samples"] if said else [])
    texts = [each.getMessage() for each in caplog.records]
    assert sum(f"fitted to {said}of calibration data" in text for text in texts) == bool(said)


def test_few_samples_are_enough_for_passes_that_fit_nothing() -> None:
    passes = "activations-to-neurons"
    assert causes(compiled(network(trained=True), calibration=X[:3], passes=passes)) == []


def test_a_benchmark_on_random_inputs_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "net.snnc"
    compiled(network(trained=True), path, calibration=X)
    caplog.clear()
    caplog.set_level(logging.INFO)
    benchmark(path, seconds=0)
    benchmark(path, data=X, seconds=0)
    texts = [each.getMessage() for each in caplog.records]
    assert sum("inputs are random, and times depend on their spikes" in text for text in texts) == 1
