"""threshold-balance{statistic=mse}: thresholds of the least quantisation error."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from snnc.ir import Graph, Input, Linear, Neuron, Relu
from snnc.pipeline import Pipeline
from snnc.transform import PassContext
from snnc_passes._statistics import CLIPS, Histogram
from snnc_passes.threshold.threshold_balance import ThresholdBalance


def quantiser_error(values: NDArray[np.float64], threshold: float, levels: int) -> float:
    told = np.clip(np.floor(values * levels / threshold + 0.5), 0, levels) * threshold / levels
    return float(np.mean((told - values) ** 2))


@pytest.mark.parametrize("levels", [1, 4, 32])
def test_no_other_candidate_quantises_better(levels: int) -> None:
    values = np.random.default_rng(0).exponential(size=(3, 50_000)) * [[1], [20], [0.01]]
    histogram = Histogram(len(values))
    for part in np.array_split(values.astype(np.float32), 5, axis=1):
        histogram.add(torch.from_numpy(part)[None])
    for row, found in zip(values, histogram.least_squares(levels), strict=True):
        candidates = row.max() * np.arange(1, CLIPS + 1) / CLIPS
        least = min(quantiser_error(row, each, levels) for each in candidates)
        assert quantiser_error(row, found, levels) <= 1.01 * least


def test_a_longer_window_affords_a_higher_threshold() -> None:
    rng = np.random.default_rng(1)
    graph = Graph()
    graph.add("x", Input(shape=(3,)))
    weight = graph.set_param("fc.weight", rng.normal(size=(5, 3)).astype(np.float32))
    graph.add("relu", Relu(), [graph.add("fc", Linear(weight=weight), ["x"])])
    graph.outputs = ("relu",)
    calibration = [(rng.normal(size=(2000, 3)).astype(np.float32), None)]
    text = "activations-to-neurons,threshold-balance{statistic=mse}"

    def thresholds(timesteps: int) -> NDArray[np.float32]:
        ctx = PassContext(timesteps=timesteps, calibration=calibration)
        snn = Pipeline.from_text(text).run(graph.clone(), ctx).graph
        op = snn.node("relu").op
        assert isinstance(op, Neuron)
        return snn.array(op.threshold)

    short, long = thresholds(2), thresholds(64)
    assert np.all(short < 0.8 * long)
    assert np.array_equal(long, thresholds(64))


@pytest.mark.parametrize("options", [{"source": "current"}, {"levels": 0}])
def test_wrong_options_are_named(options) -> None:
    with pytest.raises(ValueError, match="mse|levels"):
        ThresholdBalance(statistic="mse", **options)
