"""threshold-balance{source=quantized}: thresholds from the ranges of a quantised model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from snnc.activation_range import ACTIVATION_RANGES, ActivationRange, activation_ranges, to_meta
from snnc.errors import PassError
from snnc.ir import Graph, Input, Linear, Neuron, Relu
from snnc.pipeline import Pipeline
from snnc.transform import PassContext
from snnc_passes.recipes.convert import Convert
from snnc_passes.threshold.threshold_balance import ThresholdBalance

TEXT = "activations-to-neurons,threshold-balance{source=quantized}"
RANGE = ActivationRange(0.5, -28, 127)


def network(upper: float | None = None) -> Graph:
    graph = Graph()
    graph.add("x", Input(shape=(3,)))
    weight = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    graph.add("fc", Linear(weight=graph.set_param("fc.weight", weight)), ["x"])
    graph.add("relu", Relu(upper=upper), ["fc"])
    graph.outputs = ("relu",)
    return graph


def threshold(graph: Graph) -> float:
    snn = Pipeline.from_text(TEXT).run(graph, PassContext(timesteps=8)).graph
    op = snn.node("relu").op
    assert isinstance(op, Neuron)
    return float(snn.array(op.threshold))


def test_the_largest_value_is_the_threshold() -> None:
    graph = network()
    graph.meta.update(to_meta({"relu": RANGE}))
    assert activation_ranges(graph.meta) == {"relu": RANGE}
    assert threshold(graph) == RANGE.high == 77.5


def test_a_bounded_activation_stays_below_its_bound() -> None:
    graph = network(upper=6.0)
    graph.meta.update(to_meta({"relu": RANGE}))
    assert threshold(graph) == 6.0


@pytest.mark.parametrize(
    "meta",
    [
        {},
        {ACTIVATION_RANGES: [1]},
        {ACTIVATION_RANGES: {"relu": {"scale": "1", "zero_point": 0, "largest": 3}}},
        {ACTIVATION_RANGES: {"relu": {"scale": 1.0, "zero_point": 0}}},
        {ACTIVATION_RANGES: {"relu": {"scale": float("inf"), "zero_point": 0, "largest": 3}}},
        {ACTIVATION_RANGES: {"other": {"scale": 1.0, "zero_point": 0, "largest": 3}}},
    ],
)
def test_a_population_without_a_range_is_named(meta: dict[str, Any]) -> None:
    graph = network()
    graph.meta.update(meta)
    with pytest.raises(PassError, match="no quantised model gives a range for relu"):
        threshold(graph)


def test_options() -> None:
    with pytest.raises(ValueError, match="source=ann"):
        ThresholdBalance(source="quantized", statistic="mse")
    with pytest.raises(ValueError, match="source=current"):
        ThresholdBalance(source="quantized", timesteps=3)
    with pytest.raises(ValueError, match="data or quantized"):
        Convert(thresholds="none")  # pyright: ignore
    pipeline = Pipeline.from_text(Convert(thresholds="quantized", calibrate=False).pipeline())
    assert not any("calibration" in each.requirements() for each in pipeline.passes)
