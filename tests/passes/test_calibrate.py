"""calibrate: the correction of every layer, and that it is the layer's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from snnc.errors import PassError
from snnc.interp import run_ann, run_snn
from snnc.ir import (
    Add,
    AvgPool,
    Conv,
    Graph,
    Input,
    Linear,
    MaxPool,
    Neuron,
    Relu,
    Reshape,
    verify,
)
from snnc.pipeline import Pipeline
from snnc.transform import PassContext
from snnc_passes._sweep.paired_sweep import PairedSweep
from snnc_passes.calibrate.calibrate import Calibrate

T = 4
BEFORE = "lower-avgpool,activations-to-neurons{%s},threshold-balance{statistic=mse}," + (
    "initialize-potential"
)
RNG = np.random.default_rng(7)
DATA = np.abs(RNG.normal(size=(256, 2, 8, 8))).astype(np.float32)
OTHERS = np.abs(RNG.normal(size=(256, 2, 8, 8))).astype(np.float32)


def residual() -> Graph:
    """conv, residual block, pool, linear; negative biases keep some neurons silent."""
    graph, rng = Graph(), np.random.default_rng(3)

    def conv(name: str, source: str, shape: tuple[int, ...]) -> str:
        weight = rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]) / 2)
        bias = rng.normal(size=shape[:1]) / 4
        op = Conv(
            weight=graph.set_param(f"{name}.weight", weight.astype(np.float32)),
            bias=graph.set_param(f"{name}.bias", bias.astype(np.float32)),
            padding=((1, 1), (1, 1)),
        )
        return graph.add(name, op, [source])

    graph.add("x", Input(shape=(2, 8, 8)))
    a = graph.add("relu1", Relu(), [conv("conv1", "x", (6, 2, 3, 3))])
    b = graph.add("relu2", Relu(), [conv("conv2", a, (6, 6, 3, 3))])
    c = graph.add("add", Add(), [conv("conv3", b, (6, 6, 3, 3)), a])
    d = graph.add("relu3", Relu(), [c])
    halves = tuple((i, i + 4) for i in (0, 4))
    pool = AvgPool(windows=(halves, halves), divisors=((4, 4), (4, 4)))
    flat = graph.add("flat", Reshape(shape=(24,)), [graph.add("pool", pool, [d])])
    weight = graph.set_param("fc.weight", rng.normal(size=(5, 24)).astype(np.float32))
    graph.outputs = (graph.add("fc", Linear(weight=weight), [flat]),)
    verify(graph)
    return graph


def context(timesteps: int = T) -> PassContext:
    return PassContext(timesteps=timesteps, calibration=[(DATA[:100], None), (DATA[100:], None)])


def converted(*passes: str, options: str = "", timesteps: int = T) -> Graph:
    text = ",".join([BEFORE % options, *passes])
    return Pipeline.from_text(text).run(residual(), context(timesteps)).graph


def error(graph: Graph, timesteps: int = T) -> float:
    """Squared error of the outputs on other data, as a fraction of their variance."""
    wanted = run_ann(residual(), OTHERS)["fc"].numpy()
    told = run_snn(graph, OTHERS, timesteps=timesteps).outputs["readout"].numpy()
    return float(np.sum((told - wanted) ** 2) / np.sum((wanted - wanted.mean(0)) ** 2))


@pytest.mark.parametrize("options", ["", "signed=true", "wait=2", "wait=4"])
def test_every_correction_brings_the_outputs_closer_on_other_data(options: str) -> None:
    plain = error(converted(options=options))
    assert error(converted("calibrate{weights=false potential=false}", options=options)) < plain
    assert error(converted("calibrate{bias=false potential=false}", options=options)) < plain
    assert error(converted("calibrate", options=options)) < 0.92 * plain


@pytest.mark.parametrize("options", ["", "signed=true", "wait=2", "wait=4", "wait=6"])
def test_what_was_fitted_is_what_the_graph_does(options: str) -> None:
    """The error the pass measured on each population is that of the network it returns."""
    run = Pipeline.from_text(f"{BEFORE % options},calibrate{{samples=128}}").run(
        residual(), context()
    )
    measured = run.steps[-1].metrics["errors"]
    assert run.steps[-1].metrics["samples"] == 128
    names = list(measured)
    wanted = run_ann(residual(), DATA[:128], keep=names)
    spikes = run_snn(run.graph, DATA[:128], timesteps=T, keep=names).values
    for name in names:
        op = run.graph.node(name).op
        assert isinstance(op, Neuron)
        rates = spikes[name].mean(0).numpy() * run.graph.array(op.threshold)[:, None, None]
        activation = wanted[name].numpy()
        found = np.mean((rates - activation) ** 2) / np.var(activation)
        assert found == pytest.approx(measured[name], rel=0.02, abs=1e-4)


def test_a_network_for_any_window_answers_early() -> None:
    timesteps = 16
    last = converted("calibrate{samples=128}", timesteps=timesteps)
    every = converted("calibrate{samples=128 prefixes=all}", timesteps=timesteps)
    assert error(every, 4) < 0.85 * error(last, 4)
    assert error(every, timesteps) < 2 * error(last, timesteps)


def test_folding_and_integers_keep_what_calibration_reached() -> None:
    real, folded = converted("calibrate"), converted("calibrate", "fold-scale")
    integer = converted("calibrate", "fold-scale", "quantize{bits=8}")
    assert error(folded) == pytest.approx(error(real), rel=0.05)
    assert error(integer) < 1.3 * error(real)


def test_the_readout_tells_the_mean_without_an_error() -> None:
    graph = converted("calibrate{weights=false}")
    wanted = run_ann(residual(), DATA)["fc"].numpy()
    told = run_snn(graph, DATA, timesteps=T).outputs["readout"].numpy()
    assert np.max(np.abs((told - wanted).mean(0))) < 0.01 * wanted.std()


def test_batches_do_not_matter_and_runs_are_alike() -> None:
    first = converted("calibrate")
    text = f"{BEFORE % ''},calibrate"
    one = PassContext(timesteps=T, calibration=[(DATA, None)])
    assert Pipeline.from_text(text).run(residual(), one).graph.fingerprint() == first.fingerprint()


def test_samples_are_bounded_by_steps() -> None:
    for timesteps, samples in ((8, 256), (64, 128)):
        run = Pipeline.from_text(f"{BEFORE % ''},calibrate").run(residual(), context(timesteps))
        assert run.steps[-1].metrics["samples"] == samples


def test_no_layer_is_computed_again_for_those_behind_it(monkeypatch) -> None:
    """Of each convolution, one run over all steps and a mean for its weights."""
    seen: dict[str, int] = {}
    value = PairedSweep.value

    def counted(self: PairedSweep, name: str, rows: slice) -> torch.Tensor:
        seen[name] = seen.get(name, 0) + rows.stop - rows.start
        return value(self, name, rows)

    monkeypatch.setattr(PairedSweep, "value", counted)
    converted("calibrate")
    assert set(seen.values()) == {len(DATA)}
    assert len(seen) == 3


# -- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", ["leak=0.9", "reset=zero", "order=fire-integrate"])
def test_neurons_of_other_kinds_are_refused(options: str) -> None:
    with pytest.raises(PassError, match="leaks, resets to zero or fires") as caught:
        converted("calibrate", options=options)
    assert "relu1" in str(caught.value)


def test_integers_are_refused() -> None:
    with pytest.raises(PassError, match="quantised already"):
        converted("fold-scale", "quantize", "calibrate")


@pytest.mark.parametrize("options", [{"rounds": 0}, {"ridge": 0.0}, {"samples": 0}])
def test_wrong_options_are_named(options) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        Calibrate(**options)


def test_a_layer_behind_a_max_pool_of_spikes_is_calibrated() -> None:
    """There the mean of the maxima is not the maximum of the means."""
    graph, rng = Graph(), np.random.default_rng(5)
    graph.add("x", Input(shape=(2, 4, 4)))
    first = graph.set_param("a.weight", rng.normal(size=(3, 2, 1, 1)).astype(np.float32))
    graph.add("relu1", Relu(), [graph.add("a", Conv(weight=first), ["x"])])
    graph.outputs = ("relu1",)
    snn = Pipeline.from_text("activations-to-neurons").run(graph, PassContext(timesteps=T)).graph
    halves = ((0, 2), (2, 4))
    snn.insert_after("relu1", "max", MaxPool(windows=(halves, halves)))
    sweep = PairedSweep(snn, graph, DATA[:8, :, :4, :4].copy(), T)
    layer = next(iter(sweep.layers()))
    ones = torch.ones(3)
    sweep.fire_on(layer, ones, ones / 2, _nothing(layer.shape))
    rows = slice(0, 8)
    assert torch.allclose(sweep.mean("max", rows), sweep.value("max", rows).mean(0))


def _nothing(shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    empty: NDArray[np.float32] = np.empty((T, 0, *shape), np.float32)
    return torch.from_numpy(empty), torch.from_numpy(empty[0])


def test_values_that_float32_cannot_square_are_refused() -> None:
    ctx = PassContext(timesteps=T, calibration=[(DATA * np.float32(1e22), None)])
    with pytest.raises(PassError, match=r"relu1.*so large here that float32 does not hold"):
        Pipeline.from_text(",".join([BEFORE % "", "calibrate"])).run(residual(), ctx)


def test_a_layer_of_one_input_is_fitted_alike_every_time() -> None:
    """Of a single column torch 2.13 gives wrong sums of bytes, other ones at every call."""

    def fitted() -> tuple[str, float]:
        graph = Graph()
        graph.add("x", Input(shape=(1,)))
        for number, shape in enumerate(((1, 1), (4, 1))):
            weight = graph.set_param(f"w{number}", np.ones(shape, np.float32))
            source = "x" if number == 0 else "relu0"
            graph.add(f"fc{number}", Linear(weight=weight), [source])
            graph.add(f"relu{number}", Relu(), [f"fc{number}"])
        graph.outputs = ("relu1",)
        x = DATA.reshape(-1, 1)[:4096]
        ctx = PassContext(timesteps=16, calibration=[(x, None)])
        text = "activations-to-neurons{wait=T-1},threshold-balance{statistic=mse},calibrate"
        result = Pipeline.from_text(text).run(graph, ctx)
        return result.graph.fingerprint(), result.steps[-1].metrics["errors"]["relu1"]

    assert len({fitted() for _ in range(4)}) == 1
    assert fitted()[1] < 0.01
