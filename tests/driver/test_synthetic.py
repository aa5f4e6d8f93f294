"""Synthetic calibration inputs: their statistics, their units, and when there are any."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

import snnc
from snnc.artifact import open_artifact
from snnc.driver import Job, ModelSource, dry_run, load_model
from snnc.driver.synthetic import (
    FEWEST,
    SAMPLES,
    WARNING,
    synthesize,
    with_synthetic_calibration,
)
from snnc.errors import UsageError
from snnc.ir import Graph, Stage
from snnc.pipeline import Pipeline
from snnc.testing import Style, build
from snnc.transform import Pass, PassContext, PassResult

MEAN, STD = (0.5, 0.25), (0.1, 0.3)


def network(scale: float = 1.0) -> nn.Sequential:
    """Two batch norms whose statistics are those of uniform inputs in [0, scale]."""
    torch.manual_seed(0)
    layers = (nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6, momentum=1.0), nn.ReLU())
    more = (nn.Conv2d(6, 8, 3), nn.BatchNorm2d(8, momentum=1.0), nn.ReLU())
    model = nn.Sequential(*layers, *more, nn.Flatten(), nn.Linear(8 * 16, 3))
    model.train()(scale * torch.rand(256, 2, 6, 6))
    return model.eval()


def graph_of(model: nn.Module, **options: Any) -> Graph:
    return load_model(ModelSource(model=model, **options))


def distance(model: nn.Sequential, x: NDArray[np.float32]) -> float:
    """Mean of |mean - running mean| / sigma before the batch norms."""
    value, found = torch.from_numpy(x), []
    with torch.no_grad():
        for layer in model:
            if isinstance(layer, nn.BatchNorm2d):
                away = value.mean((0, 2, 3)) - layer.running_mean
                found.append((away.abs() / layer.running_var.sqrt()).mean())
            value = layer(value)
    return float(torch.stack(found).mean())


@pytest.mark.parametrize("scale", [1.0, 20.0])
def test_inputs_come_to_match_the_batch_norms(scale: float) -> None:
    model = network(scale)
    graph = graph_of(model)
    start, made = synthesize(graph, 0, steps=0), synthesize(graph, 0, steps=200)
    assert start.method == "standard normal" and start.mismatch is None
    assert made.method == "batch-norm statistics" and made.mismatch is not None
    assert made.mismatch < 0.05
    assert distance(model, made.inputs) < 0.2 * distance(model, start.inputs)
    assert made.inputs.shape == (SAMPLES, 2, 6, 6) and made.inputs.dtype == np.float32


def test_the_same_seed_gives_the_same_samples() -> None:
    graph = graph_of(network())
    first, again, other = (synthesize(graph, seed).inputs for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_without_batch_norms_they_are_normal_after_the_normalisation() -> None:
    plain = nn.Sequential(nn.Conv2d(2, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(96, 3))
    made = synthesize(graph_of(plain, mean=MEAN, std=STD), 0, samples=400)
    assert made.report() == {"samples": 400, "method": "standard normal"}
    np.testing.assert_allclose(made.inputs.mean((0, 2, 3)), MEAN, atol=0.02)
    np.testing.assert_allclose(made.inputs.std((0, 2, 3)), STD, rtol=0.05)


def test_a_large_network_gets_few_samples() -> None:
    large = nn.Sequential(nn.Conv2d(3, 64, 7, padding=3), nn.Conv2d(64, 64, 5, padding=2))
    graph = graph_of(large, input_shape=(3, 96, 96))
    assert len(synthesize(graph, 0).inputs) == FEWEST


def test_a_compilation_without_calibration_says_so(tmp_path: Path, caplog: Any) -> None:
    path = tmp_path / "net.snnc"
    with caplog.at_level(logging.WARNING):
        compiled = snnc.compile(network(), output=path, target="reference")
    assert [r.message for r in caplog.records if r.levelname == "WARNING"].count(WARNING) == 1
    for found in (compiled.report, open_artifact(path).manifest["info"]):
        assert found["calibrated"] is False and found["calibration"] is None
        assert found["synthetic"]["samples"] == SAMPLES and found["synthetic"]["mismatch"] < 1
    assert "accuracy" not in compiled.report
    again = tmp_path / "again.snnc"
    snnc.compile(network(), output=again, target="reference")
    assert path.read_bytes() == again.read_bytes()


def test_with_calibration_nothing_is_made_up(caplog: Any) -> None:
    x = np.random.default_rng(0).random((20, 2, 6, 6), np.float32)
    with caplog.at_level(logging.WARNING):
        report = snnc.compile(network(), target="reference", calibration=x).report
    assert report["calibrated"] is True and report["synthetic"] is None
    assert WARNING not in caplog.text


def test_a_dry_run_guesses_too(caplog: Any) -> None:
    job = Job(source=ModelSource(model=network()), target="reference")
    with caplog.at_level(logging.WARNING):
        assert dry_run(job) == []
    assert WARNING in caplog.text
    missing = dry_run(replace(job, calibration="none.npz"))
    assert len(missing) == 1 and "none.npz" in missing[0].message


@dataclass(frozen=True, kw_only=True)
class Learns(Pass):
    """Needs samples with labels."""

    name = "learns"
    takes = gives = Stage.ANN
    needs = frozenset({"train", "calibration"})

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        """Never reached."""
        raise AssertionError


def test_labelled_data_are_never_made_up(caplog: Any) -> None:
    graph, pipeline = build("plain", Style.ANN), Pipeline([Learns()])
    ctx, made = with_synthetic_calibration(pipeline, graph, PassContext(), 0)
    assert made is None and WARNING not in caplog.text
    with pytest.raises(UsageError, match="learns needs train"):
        pipeline.check(graph.stage, ctx)


def test_a_spiking_graph_gets_none() -> None:
    pipeline = Pipeline.from_text("threshold-balance{source=ann}")
    graph = build("plain", Style.SNN)
    ctx, made = with_synthetic_calibration(pipeline, graph, PassContext(), 0)
    assert made is None and ctx.calibration is None
