"""The figures of a layer against their equations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
import torch

from snnc.analysis.diagnosis import diagnose_graphs
from snnc.analysis.diagnosis.layer_errors import (
    ideal_counts,
    ideal_rounded_counts,
    ideal_two_sided_counts,
)
from snnc.analysis.diagnosis.stages import border_of
from snnc.errors import DataError
from snnc.interp import Interpreter, Population
from snnc.ir import Conv, Graph, Input, Neuron, Relu, TwoSidedNeuron
from snnc.pipeline import Pipeline
from snnc.testing import Style, build, sample_inputs
from snnc.transform import PassContext

T = 6
PASSES = (
    "fold-batchnorm,fold-normalization,lower-avgpool,activations-to-neurons,"
    "threshold-balance,initialize-potential{fraction=0.5},fold-scale"
)


@pytest.fixture(scope="module")
def graphs() -> tuple[Graph, Graph, Graph]:
    """(snn, ann, model)."""
    model = build("plain", Style.ANN)
    x = sample_inputs(model, 40)
    ctx = PassContext(timesteps=T, calibration=[(x, None)])
    result = Pipeline.from_text(PASSES).run(model, ctx)
    assert result.ann is not None
    return result.graph, result.ann, model


def test_an_ideal_neuron_is_one_that_waits_for_all_its_input() -> None:
    rng = np.random.default_rng(0)
    current = rng.normal(size=(T, 200, 3)).astype(np.float32)
    op = Neuron(threshold=0.7, v_init=0.35, wait=T)
    threshold, start = torch.tensor(0.7), torch.tensor(0.35)
    population = Population(op=op, threshold=threshold, leak=None, v_init=start)
    counts = population.run(torch.from_numpy(current), T).sum(0).numpy()
    ideal = ideal_counts(current.mean(0), np.float32(0.7), np.float32(0.35), T)  # type: ignore[arg-type]
    np.testing.assert_array_equal(counts, ideal)
    assert set(np.unique(ideal)) >= {0, 1, 2, T}


@pytest.mark.parametrize("rounds", [False, True])
def test_an_ideal_two_sided_neuron_is_one_that_waits_for_all_its_input(rounds: bool) -> None:
    rng = np.random.default_rng(0)
    current = rng.normal(size=(T, 200, 3)).astype(np.float32)
    threshold, start = torch.tensor(0.4), torch.tensor(-0.1)
    op = TwoSidedNeuron(threshold=0.4, v_init=-0.1, wait=T, rounds=rounds)
    population = Population(op=op, threshold=threshold, leak=None, v_init=start)
    counts = population.run(torch.from_numpy(current), T).sum(0).numpy()
    ideal_of = ideal_rounded_counts if rounds else ideal_two_sided_counts
    ideal = ideal_of(current.mean(0), np.float32(0.4), np.float32(-0.1), T)  # type: ignore[arg-type]
    np.testing.assert_array_equal(counts, ideal)
    assert set(np.unique(ideal)) >= {-T, -1, 0, 1, T}


def test_the_parts_of_a_two_sided_layer_make_its_error() -> None:
    """Rule S29 of docs/semantics.md: negative activations are no error of clipping."""
    model = build("bottlenecks", Style.ANN, lowered=True)
    x = sample_inputs(model, 40)
    ctx = PassContext(timesteps=64, calibration=[(x, None)])
    passes = "activations-to-neurons,threshold-balance{statistic=max},initialize-potential"
    result = Pipeline.from_text(passes).run(model, ctx)
    assert result.ann is not None
    found = diagnose_graphs(result.graph, result.ann, None, [(x, None)], 64)
    layers = {layer.name: layer for layer in found.layers}
    for name in ("linear1", "linear2"):
        layer = layers[name]
        assert layer.error is not None and layer.error < 0.2, layer
        assert layer.clipping is not None and layer.clipping < 0.02, layer
        assert layer.correlation is not None and layer.correlation > 0.97
        assert layer.dead_channels == 0 == layer.silent_channels


@pytest.mark.parametrize("start", [0.5, 0.0, -1.5, 2.0])
def test_the_parts_are_those_of_the_equations(
    graphs: tuple[Graph, Graph, Graph], start: float
) -> None:
    snn, ann, model = graphs
    if start != 0.5:
        snn = snn.clone()
        for node in snn.nodes:
            if isinstance(node.op, Neuron):
                threshold = np.asarray(snn.array(node.op.threshold), np.float32)
                value = snn.own_param(node.name, "v_init", np.float32(start) * threshold)
                snn.replace_op(node.name, replace(node.op, v_init=value))
    x = sample_inputs(snn, 30, seed=1)
    layers = diagnose_graphs(snn, ann, model, [(x[:11], None), (x[11:], None)], T).layers
    kept: dict[str, Any] = {}
    Interpreter(snn, torch.float32).snn(
        x, T, observe=lambda node, inputs, value: kept.update({node.name: (inputs, value)})
    )
    with torch.no_grad():
        expected = Interpreter(ann, torch.float32).ann(x, "all")
    assert [each.name for each in layers] == ["act1", "act2", "act3"]
    for layer in layers:
        op = cast(Neuron, snn.node(layer.name).op)
        (current, *_), spikes = kept[layer.name]
        a, z, r = expected[layer.name].numpy(), current.mean(0).numpy(), spikes.mean(0).numpy()
        column = (-1, *(1,) * (a.ndim - 2))
        th, v0 = (
            np.asarray(snn.array(v), np.float32).reshape(column) for v in (op.threshold, op.v_init)
        )
        z = z + (v0 - th / 2) / T
        own = np.maximum(z, 0)
        q = np.clip(np.ceil(T * z / th + 0.5) - 1, 0, T) * th / T
        parts = {
            "error": a - r * th,
            "inherited": a - own,
            "clipping": own - np.minimum(own, th),
            "quantisation": np.minimum(own, th) - q,
            "unevenness": q - r * th,
        }
        for name, part in parts.items():
            found = np.linalg.norm(part) / np.linalg.norm(a)
            assert getattr(layer, name) == pytest.approx(found, rel=1e-4, abs=1e-6), name
        np.testing.assert_allclose(parts["error"], sum(list(parts.values())[1:]), atol=1e-5)
        assert layer.correlation == pytest.approx(
            np.corrcoef((r * th).ravel(), a.ravel())[0, 1], rel=1e-4
        )
        assert layer.silent == pytest.approx(1 - (r > 0).any(0).mean())
        assert layer.saturated == pytest.approx((r == 1).mean())
    if start == 0.5:  # the input of the first is constant in time
        assert layers[0].unevenness == pytest.approx(0, abs=1e-6)


def test_the_output_is_compared_over_the_window(graphs: tuple[Graph, Graph, Graph]) -> None:
    snn, ann, model = graphs
    x = sample_inputs(snn, 30, seed=1)
    found = diagnose_graphs(snn, ann, model, [(x, None)], 64)
    assert [each.timesteps for each in found.over_t][:3] == [1, 2, 3]
    first, last = found.over_t[0], found.over_t[-1]
    assert last.timesteps == 64
    with torch.no_grad():
        wanted = Interpreter(model, torch.float32).ann(x)[model.outputs[0]].numpy()
    given = next(iter(Interpreter(snn, torch.float32).snn(x, 64).outputs.values())).numpy()
    error = np.linalg.norm(given - wanted) / np.linalg.norm(wanted)
    assert last.error == pytest.approx(error, rel=1e-4)
    assert first.error is not None and last.error is not None and first.error > 3 * last.error
    assert last.agreement == np.mean(given.argmax(1) == wanted.argmax(1))


def test_integers_are_looked_at_in_units_of_the_ann(graphs: tuple[Graph, Graph, Graph]) -> None:
    snn, ann, model = graphs
    ctx = PassContext(timesteps=T, calibration=[(sample_inputs(snn, 40), None)])
    whole = Pipeline.from_text("quantize{bits=8}").run(snn, ctx).graph
    data = [(sample_inputs(snn, 30, seed=1), None)]
    real = diagnose_graphs(snn, ann, model, data, T, rounded=whole)
    alone = diagnose_graphs(whole, ann, model, data, T)
    for one, two in zip(real.layers, alone.layers, strict=True):
        assert one.threshold == pytest.approx(two.threshold, rel=0.02)
        assert one.error == pytest.approx(two.error, abs=0.1)
        assert one.quantisation == pytest.approx(two.quantisation, abs=0.05)
        assert one.rounding is not None and 0 < one.rounding < 0.3 and two.rounding is None
    assert real.rounded is not None and real.rounded.error == pytest.approx(alone.over_t[-1].error)


def test_the_border_is_where_windows_stick_out() -> None:
    graph = Graph()
    graph.add("x", Input(shape=(1, 6, 5)))
    weight = graph.set_param("w", np.ones((1, 1, 3, 3), np.float32))
    op = Conv(weight=weight, stride=(2, 1), padding=((1, 1), (0, 2)))
    graph.add("conv", op, ["x"])
    graph.add("relu", Relu(), ["conv"])
    found = border_of(graph, "relu")
    assert found is not None
    rows, columns = [True, False, False], [False, False, False, True, True]
    np.testing.assert_array_equal(found, np.logical_or.outer(rows, columns))


def test_no_samples_and_no_steps_are_refused(graphs: tuple[Graph, Graph, Graph]) -> None:
    with pytest.raises(DataError, match="no samples"):
        diagnose_graphs(*graphs, [], T)
    with pytest.raises(DataError, match="at least one"):
        diagnose_graphs(*graphs, [], 0)
