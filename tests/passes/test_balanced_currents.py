"""threshold-balance{source=current}: thresholds from the currents of the spiking network."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from snnc.interp import run_snn
from snnc.ir import Graph, Input, Neuron, Relu
from snnc.pipeline import Pipeline
from snnc.testing import Style, build, sample_inputs
from snnc.transform import PassContext
from snnc_passes.threshold.threshold_balance import ThresholdBalance


def converted(ann: Graph, timesteps: int = 4) -> Graph:
    """The network with neurons of threshold 1."""
    ctx = PassContext(timesteps=timesteps)
    return Pipeline.from_text("activations-to-neurons").run(ann, ctx).graph


def batches(graph: Graph, count: int) -> list:
    return [(sample_inputs(graph, count), None)]


def test_sequential_currents_are_those_of_the_network_balanced_so_far() -> None:
    ann = build("plain", Style.ANN)
    text = "fold-batchnorm,lower-avgpool,activations-to-neurons"
    snn = Pipeline.from_text(text).run(ann, PassContext()).graph
    ctx = PassContext(calibration=batches(ann, 70), timesteps=6)
    each = ThresholdBalance(source="current", percentile=90, granularity="layer")
    balanced = each.run(snn.clone(), ctx).graph
    x = ctx.calibration[0][0]  # type: ignore[index]
    sources = {n.name: balanced.inputs_of(n.name)[0] for n in snn if isinstance(n.op, Neuron)}
    keep = set(sources.values())
    values = run_snn(balanced, x, timesteps=6, keep=keep, dtype=torch.float32).values
    for name, source in sources.items():
        steps = np.sort(values[source].numpy().reshape(len(values[source]), -1), axis=1)
        k = round(0.9 * (steps.shape[1] - 1))
        assert balanced.node(name).op.threshold == pytest.approx(float(steps[:, k].max()), rel=1e-5)


def test_currents_that_do_not_fit_into_memory_are_computed_again(monkeypatch) -> None:
    ann = build("plain", Style.ANN, lowered=True)
    snn = converted(ann, 5)
    ctx = PassContext(calibration=batches(ann, 70), timesteps=5)
    each = ThresholdBalance(source="current", percentile=90)
    held = each.run(snn.clone(), ctx).graph.fingerprint()
    monkeypatch.setattr("snnc_passes.threshold._currents.HELD_BYTES", 0)
    assert each.run(snn.clone(), ctx).graph.fingerprint() == held


def test_currents_of_another_number_of_steps_than_the_window() -> None:
    ann = build("plain", Style.ANN, lowered=True)
    data = batches(ann, 20)
    short, long, wanted = (
        ThresholdBalance(source="current", timesteps=steps)
        .run(converted(ann, 2), PassContext(calibration=data, timesteps=timesteps))
        .graph
        for steps, timesteps in ((None, 2), (None, 9), (9, 2))
    )
    assert wanted.fingerprint() == long.fingerprint() != short.fingerprint()


def test_a_layer_whose_percentile_is_negative_takes_its_maximum() -> None:
    graph = Graph()
    graph.add("x", Input(shape=(1,)))
    graph.add("relu", Relu(), ["x"])
    x = np.linspace(-9, 1, 101, dtype=np.float32)[:, None]
    ctx = PassContext(calibration=[(x, None)])
    each = ThresholdBalance(source="current", percentile=50)
    graph.outputs = ("relu",)
    result = each.run(converted(graph), ctx).graph
    assert result.node("relu").op.threshold == 1.0  # type: ignore[attr-defined]


def test_balancing_on_currents_needs_no_ann() -> None:
    assert ThresholdBalance(source="current").requirements() == {"calibration"}
    assert ThresholdBalance().requirements() == {"calibration", "ann"}
