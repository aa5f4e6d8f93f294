"""late-readout: the steps before the output has come through are left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from snnc.errors import PassError
from snnc.interp import Interpreter, run_snn
from snnc.ir import Graph, Readout
from snnc.pipeline import Pipeline
from snnc.testing.builder import NetBuilder, Style
from snnc.transform import PassContext
from snnc_passes._reference import Reference
from snnc_passes.choose.late_readout import LateMeans, LateReadout
from snnc_passes.recipes.convert import Convert

T = 24
CONVERT = (
    "activations-to-neurons,threshold-balance{percentile=100},"
    "initialize-potential{fraction=0},fold-scale"
)


@pytest.fixture(scope="module")
def deep() -> tuple[Graph, PassContext]:
    """Eight layers whose neurons start at 0, so that the first spikes come through late."""
    net = NetBuilder(Style.ANN, (12,), seed=1)
    x = net.input
    for layer in range(8):
        x = net.act(f"relu{layer}", net.linear(f"fc{layer}", x, 24))
    graph = net.finish(net.linear("last", x, 6))
    seeds = range(4)
    data = [
        (np.random.default_rng(i).normal(size=(64, 12)).astype(np.float32), None) for i in seeds
    ]
    ctx = PassContext(timesteps=T, calibration=data)
    result = Pipeline.from_text(CONVERT).run(graph, ctx)
    return result.graph, replace(ctx, ann=result.ann)


def start_of(graph: Graph) -> int:
    """The start of the only readout."""
    op = graph.node(graph.outputs[0]).op
    assert isinstance(op, Readout)
    return op.start


def images(ctx: PassContext) -> np.ndarray:
    """The calibration data."""
    return np.concatenate([x for x, _ in ctx.calibration or ()])


def expected(ctx: PassContext) -> np.ndarray:
    """Outputs of the ANN for them."""
    assert ctx.ann is not None
    return Interpreter(ctx.ann).ann(images(ctx))[ctx.ann.outputs[0]].numpy()


def test_integers_take_the_start_that_agrees_best_and_keep_their_biases(
    deep: tuple[Graph, PassContext],
) -> None:
    graph, ctx = deep
    integers = Pipeline.from_text("quantize{bits=8}").run(graph, ctx).graph
    result = LateReadout().run(integers.clone(), ctx)
    by_start, start = result.metrics["agreement"], start_of(result.graph)
    assert start == result.metrics["start"] > 0
    assert by_start[str(start)] == max(by_start.values()) > by_start["0"] + 0.05
    output = run_snn(result.graph, images(ctx), timesteps=T).outputs[graph.outputs[0]].numpy()
    measured = (output.argmax(1) == expected(ctx).argmax(1)).mean()
    assert measured == pytest.approx(by_start[str(start)], abs=1e-9)
    assert set(result.graph.params) == set(integers.params)


def test_a_given_start_is_taken_and_the_mean_output_corrected(
    deep: tuple[Graph, PassContext],
) -> None:
    graph, ctx = deep
    result = LateReadout(start=4).run(graph.clone(), ctx)
    assert start_of(result.graph) == 4
    output = run_snn(result.graph, images(ctx), timesteps=T).outputs[graph.outputs[0]].numpy()
    assert np.allclose(output.mean(0), expected(ctx).mean(0), atol=1e-3)


def test_a_start_outside_the_window_is_refused(deep: tuple[Graph, PassContext]) -> None:
    graph, ctx = deep
    with pytest.raises(PassError, match="not below the window of 24 steps"):
        LateReadout(start=T).run(graph.clone(), ctx)


def test_a_start_for_any_window_is_judged_by_all_quarters(
    deep: tuple[Graph, PassContext],
) -> None:
    graph, ctx = deep
    measured = LateReadout(prefixes="all").run(graph.clone(), ctx).metrics["agreement"]
    assert [*measured] == [str(start) for start in range(T // 4)]
    right = []
    for end in (T // 4, T // 2, 3 * T // 4, T):
        output = run_snn(graph, images(ctx), timesteps=end).outputs[graph.outputs[0]].numpy()
        right.append((output.argmax(1) == expected(ctx).argmax(1)).mean())
    assert measured["0"] == pytest.approx(np.mean(right), abs=0.1)
    with pytest.raises(PassError, match="not below the window of 6 steps"):
        LateReadout(start=T // 4, prefixes="all").run(graph.clone(), ctx)


def test_the_recipe_for_any_window_fits_and_reads_it() -> None:
    pipeline = Convert(prefixes="all").pipeline()
    assert "calibrate{prefixes=all},late-readout{prefixes=all}" in pipeline
    assert "prefixes" not in Convert().pipeline()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prefixes": "some"}, "last or all"),
        ({"prefixes": "all", "wait": 2}, "do not wait"),
        ({"prefixes": "all", "latency": 8}, "-T as the window"),
        ({"prefixes": "all", "calibrate": False}, "calibrate=true"),
    ],
)
def test_what_contradicts_prefixes_is_refused(options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Convert(**options)


def test_step_0_stays_for_a_gain_within_its_standard_error() -> None:
    wanted = np.eye(2)[np.arange(100) % 2]
    wrong = wanted[:, ::-1]
    few, many = wanted.copy(), wanted.copy()
    few[:1], many[:20] = wrong[:1], wrong[:20]
    reference = Reference((), None, wanted)
    assert LateMeans("x", reference, np.stack([few, wanted])).best() == 0
    assert LateMeans("x", reference, np.stack([many, wanted])).best() == 1


def test_outputs_that_are_no_classes_are_judged_by_their_error() -> None:
    wanted = np.random.default_rng(0).normal(size=(20, 3, 2, 2))
    outputs = np.stack([wanted + 1, wanted + 0.1, wanted + 0.5])
    means = LateMeans("x", Reference((), None, wanted), outputs)
    assert means.best() == 1
    assert means.by_start()["2"] == pytest.approx(0.5)
