"""calibrate-readout: values of the ANN's size, in real numbers and in integers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from snnc.data import open_data
from snnc.errors import PassError
from snnc.interp import run_ann, run_snn
from snnc.ir import Conv, Graph, Input, Linear, Readout, Relu, Reshape
from snnc.pipeline import Pipeline
from snnc.testing import Style, build, sample_inputs
from snnc.transform import PassContext
from snnc_passes.calibrate.calibrate_readout import CalibrateReadout

CONVERT = "activations-to-neurons,threshold-balance,initialize-potential,fold-scale"
T = 2
Images = NDArray[np.float32]


def digits() -> Images:
    """(900, 1, 8, 8), 600 to calibrate on and 300 to judge by."""
    pytest.importorskip("sklearn")
    ((x, _),) = open_data("digits#train[:900]", batch_size=900)
    return x


def regressor(x: Images, hidden: int = 64) -> Graph:
    """Three random layers, and a least-squares readout of the rows' brightness: (8,)."""
    rng = np.random.default_rng(0)
    graph = Graph()
    graph.add("x", Input(shape=(1, 8, 8)))
    last = graph.add("flatten", Reshape(shape=(64,)), ["x"])
    for i in range(3):
        w = rng.normal(size=(hidden, 64 if i == 0 else hidden)) / np.sqrt(hidden / 2)
        weight = graph.set_param(f"w{i}", w.astype(np.float32))
        last = graph.add(f"relu{i}", Relu(), [graph.add(f"fc{i}", Linear(weight=weight), [last])])
    graph.outputs = (last,)
    features = run_ann(graph, x)[last].numpy()
    w = np.linalg.lstsq(features, x[:, 0].mean(axis=2), rcond=1e-2)[0].T
    graph.add("out", Linear(weight=graph.set_param("w", w.astype(np.float32))), [last])
    graph.outputs = ("out",)
    return graph


def autoencoder(x: Images, channels: int = 12) -> Graph:
    """Three random convolutions, and the least-squares one back: (1, 8, 8)."""
    rng = np.random.default_rng(1)
    graph = Graph()
    last = graph.add("x", Input(shape=(1, 8, 8)))
    padding = ((1, 1), (1, 1))
    for i in range(3):
        w = rng.normal(size=(channels, 1 if i == 0 else channels, 3, 3)) / 3 / (1 + i)
        weight = graph.set_param(f"w{i}", w.astype(np.float32))
        conv = graph.add(f"conv{i}", Conv(weight=weight, padding=padding), [last])
        last = graph.add(f"relu{i}", Relu(), [conv])
    graph.outputs = (last,)
    features = run_ann(graph, x)[last].numpy().transpose(0, 2, 3, 1).reshape(-1, channels)
    w = np.linalg.lstsq(features, x.reshape(-1), rcond=1e-2)[0].reshape(1, channels, 1, 1)
    bias = graph.set_param("b", np.zeros(1, np.float32))
    weight = graph.set_param("w", w.astype(np.float32))
    graph.add("out", Conv(weight=weight, bias=bias), [last])
    graph.outputs = ("out",)
    return graph


def error(graph: Graph, ann: Graph, x: Images, timesteps: int = T) -> float:
    """Root mean square against the ANN."""
    (theirs,) = run_ann(ann, x).values()
    ours = run_snn(graph, x, timesteps=timesteps).outputs[graph.outputs[0]]
    return float(np.sqrt(np.mean((ours.double().numpy() - theirs.double().numpy()) ** 2)))


def converted(ann: Graph, x: Images, then: str = "") -> tuple[Graph, PassContext]:
    ctx = PassContext(timesteps=T, ann=ann, calibration=[(x[:350], None), (x[350:600], None)])
    return Pipeline.from_text(CONVERT + then).run(ann, ctx).graph, ctx


@pytest.mark.parametrize("then", ["", ",quantize{bits=8}"])
@pytest.mark.parametrize(("network", "factor"), [(regressor, 0.7), (autoencoder, 0.7)])
def test_the_error_falls_on_images_it_was_not_fitted_to(network, factor: float, then: str) -> None:
    x = digits()
    ann = network(x)
    graph, ctx = converted(ann, x, then)
    result = Pipeline([CalibrateReadout()]).run(graph, ctx)
    fitted = result.graph
    (step,) = result.steps
    before, after = error(graph, ann, x[600:]), error(fitted, ann, x[600:])
    print(f"{network.__name__}{then}: {before:.5f} -> {after:.5f}")
    assert after < factor * before
    assert step.metrics["samples"] == 600
    assert step.metrics["error_before"] == pytest.approx(error(graph, ann, x[:600]), rel=1e-4)
    assert step.metrics["error_after"] == pytest.approx(error(fitted, ann, x[:600]), rel=0.02)
    assert fitted.type_of(fitted.outputs[0]).quantized == bool(then)


def test_a_wrong_scale_and_bias_are_undone() -> None:
    x = digits()
    ann = regressor(x)
    graph, ctx = converted(ann, x)
    right = CalibrateReadout().run(graph.clone(), ctx).graph
    name = graph.outputs[0]
    op = graph.node(name).op
    assert isinstance(op, Readout)
    spoilt = graph.clone()
    factor = spoilt.set_param("spoilt", np.linspace(0.1, 3, 8).astype(np.float32))
    spoilt.replace_op(name, replace(op, scale=factor))
    again = CalibrateReadout().run(spoilt, ctx).graph
    assert error(again, ann, x[:200]) == pytest.approx(error(right, ann, x[:200]), rel=1e-3)


def test_batches_do_not_matter_and_bounds_are_raised() -> None:
    x = digits()
    graph, ctx = converted(regressor(x), x, ",quantize{bits=8}")
    one = CalibrateReadout().run(graph.clone(), ctx).graph
    other = replace(ctx, calibration=[(part, None) for part in np.split(x[:600], 12)])
    assert CalibrateReadout().run(graph.clone(), other).graph.fingerprint() == one.fingerprint()
    (source,) = one.inputs_of(one.outputs[0])
    op = one.node(source).op
    assert isinstance(op, Linear) and op.bias is not None
    bias = one.array(op.bias)
    assert bias.dtype == np.int32 and np.any(bias)
    proved, raised = (g.meta["quantize"]["bounds"][g.outputs[0]]["step"] for g in (graph, one))
    assert raised == proved + int(np.abs(bias).max())


def test_a_silent_channel_gets_the_mean() -> None:
    x = digits()
    ann = regressor(x)
    graph, ctx = converted(ann, x)
    op = graph.node("out").op
    assert isinstance(op, Linear)
    weight = np.array(graph.array(op.weight))
    weight[3] = 0
    graph.replace_op("out", replace(op, weight=graph.own_param("out", "weight", weight)))
    fitted = CalibrateReadout().run(graph, ctx).graph
    output = run_snn(fitted, x[:5], timesteps=T).outputs[fitted.outputs[0]].numpy()
    (theirs,) = run_ann(ann, x[:600]).values()
    np.testing.assert_allclose(output[:, 3], theirs.numpy()[:, 3].mean(), rtol=1e-4)


def test_another_shape_is_refused() -> None:
    graph = build("plain", Style.SNN)
    other = build("residual", Style.ANN)
    data = [(sample_inputs(graph, 2), None)]
    ann = other.clone()
    ann.outputs = ("act0",)
    with pytest.raises(PassError, match="shape"):
        CalibrateReadout().run(graph, PassContext(timesteps=2, ann=ann, calibration=data))
