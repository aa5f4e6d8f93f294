"""A sigmoid or tanh on an output is applied by `run` and `eval`, not by programs (S28)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import snnc
from snnc.driver.artifacts import evaluate
from snnc.driver.models import ModelSource
from snnc.driver.running import run_on_data

X = np.random.default_rng(0).random((64, 6), np.float32)


class Head(nn.Module):
    """A hidden layer, then an output layer of `outputs` values, squashed."""

    def __init__(self, function: nn.Module, outputs: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.function = nn.Linear(6, 16), nn.Linear(16, outputs), function
        with torch.no_grad():
            self.b.weight *= 6
            self.b.bias -= self.b(torch.relu(self.a(torch.from_numpy(X)))).mean(0)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.b(torch.relu(self.a(x))))


@pytest.mark.parametrize(("function", "outputs"), [(nn.Sigmoid(), 1), (nn.Tanh(), 4)])
def test_run_and_eval_apply_it(tmp_path: Path, function: nn.Module, outputs: int) -> None:
    path, model = tmp_path / "net.snnc", Head(function, outputs)
    with torch.no_grad():
        wanted = model(torch.from_numpy(X)).numpy()
    compiled = snnc.compile(
        model, input_shape=(6,), calibration=X, target="cpu", timesteps=64, output=path
    )
    readout = compiled.program.run(X).output
    given = run_on_data(path, X).output
    np.testing.assert_allclose(given, function(torch.from_numpy(readout)).numpy(), rtol=1e-5)
    assert np.abs(given - wanted).max() < 0.1

    labels = (wanted[:, 0] > 0.5).astype(np.int64) if outputs == 1 else wanted.argmax(axis=1)
    assert 0 < labels.mean() < outputs  # more than one class
    report = evaluate(path, (X, labels), compare=ModelSource(model=model)).report()
    assert report["ann_accuracy"] == 1 and report["accuracy"] > 0.9
    assert report["ann_max_abs_diff"] < 1e-5


def test_real_targets_are_compared_with_the_squashed_output(tmp_path: Path) -> None:
    path, model = tmp_path / "net.snnc", Head(nn.Sigmoid(), 2)
    with torch.no_grad():
        wanted = model(torch.from_numpy(X)).numpy()
    snnc.compile(
        model, input_shape=(6,), calibration=X, target="reference", timesteps=64, output=path
    )
    report = evaluate(path, (X, wanted)).report()
    errors = [value for key, value in report.items() if "error" in key and "accuracy" not in key]
    assert errors and max(errors) < 0.2


def test_classes_are_those_of_the_readout_where_the_function_saturates(tmp_path: Path) -> None:
    path, model = tmp_path / "net.snnc", Head(nn.Sigmoid(), 3)
    with torch.no_grad():
        model.b.weight *= 100
        model.b.bias += 200
        labels = model.b(torch.relu(model.a(torch.from_numpy(X)))).argmax(1).numpy()
    snnc.compile(model, input_shape=(6,), calibration=X, target="cpu", timesteps=64, output=path)
    assert np.all(run_on_data(path, X).output.max(axis=1) == 1)
    assert evaluate(path, (X, labels)).report()["accuracy"] > 0.9
