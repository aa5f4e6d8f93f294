"""The shape of the input of a model that takes several: that of its data."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import snnc
from snnc.driver import JobOptions, dry_run
from snnc.errors import DataError, UsageError

SHAPE = (2, 6, 8)


def any_size() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)),
    )


@pytest.fixture
def x() -> Any:
    return np.random.default_rng(0).random((40, *SHAPE), dtype=np.float32)


@pytest.fixture
def place(tmp_path: Path, x: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    np.savez("x.npz", x=x, y=np.arange(40) % 3)
    np.savez("flat.npz", x=x.reshape(40, -1))
    torch.save(any_size(), "net.pt")
    return tmp_path


@pytest.mark.parametrize("option", ["calibration", "train"])
def test_the_shape_is_that_of_the_data(
    x: Any, caplog: pytest.LogCaptureFixture, option: str
) -> None:
    labels = np.arange(40) % 3
    loader = DataLoader(TensorDataset(torch.from_numpy(x), torch.from_numpy(labels)), batch_size=8)
    data: Any
    for data in (x, (x, labels), torch.from_numpy(x), loader, loader.dataset):
        with caplog.at_level(logging.INFO, "snnc"):
            caplog.clear()
            graph = JobOptions(**{option: data}).job(any_size()).graph()
        assert graph.type_of(graph.input).shape == SHAPE
        assert f"input shape 2,6,8, that of the samples of --{option}" in caplog.text


def test_a_shape_that_is_given_or_inferred_is_taken(x: Any) -> None:
    given = JobOptions(calibration=x, input_shape=(2, 9, 9)).job(any_size())
    with pytest.raises(
        DataError, match=r"shape \(2, 6, 8\), the model takes \(2, 9, 9\)"
    ) as caught:
        given.context(given.graph())
    assert "--input-shape 2,6,8" in (caught.value.hint or "")
    fixed = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
    graph = JobOptions(calibration=x).job(fixed).graph()
    assert graph.type_of(graph.input).shape == (2, 6, 6)


def test_lists_and_no_data_do_not_tell(x: Any) -> None:
    for data in (None, [x[:20], x[20:]], list(x)):
        with pytest.raises(UsageError, match="several sizes") as caught:
            JobOptions(calibration=data).job(any_size()).graph()
        assert "--input-shape 2,32,32" in (caught.value.hint or "")


def test_compile_diagnose_and_attack(place: Path) -> None:
    compiled = snnc.compile("net.pt", calibration="x.npz", timesteps=4)
    assert compiled.graph.type_of(compiled.graph.input).shape == SHAPE
    assert dry_run(JobOptions(calibration="x.npz").job("net.pt")) == []
    found = snnc.diagnose("net.pt", calibration="x.npz", timesteps=4)
    assert found.samples == 40
    report = snnc.attack("net.pt", "x.npz", method=("noise",), eps=0.1)
    assert report.report()["samples"] == 40


def test_data_that_the_model_does_not_take(place: Path) -> None:
    with pytest.raises(snnc.errors.ModelError, match="does not take an input of shape 96"):
        snnc.compile("net.pt", calibration="flat.npz")
    with pytest.raises(DataError, match="none.npz"):
        snnc.compile("net.pt", calibration="none.npz")
