"""split: populations become groups of neurons, and calibrate fits a group as one population."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import snnc
from snnc.analysis.equivalence import compare
from snnc.errors import PassError
from snnc.interp import run_ann, run_snn
from snnc.ir import (
    AnyNeuron,
    EncodeDirect,
    Graph,
    Input,
    Linear,
    Neuron,
    Readout,
    Scale,
    Stage,
)
from snnc.pipeline import Pipeline
from snnc.testing import Style, assert_pass_contract
from snnc.testing.backends import load_program
from snnc.testing.builder import NetBuilder
from snnc.transform import PassContext
from snnc_backends.reference import ReferenceBackend
from snnc_passes._neuron_groups import join, separate, staggered
from snnc_passes.choose.split import Split, allotted
from snnc_passes.recipes.convert import Convert

T = 4
BEFORE = (
    "fold-batchnorm,fold-normalization,lower-avgpool,lower-maxpool,split-sums,"
    "activations-to-neurons%s,threshold-balance{statistic=mse},initialize-potential"
)


def one_neuron(start: float, threshold: float = 1.0) -> Graph:
    """The input is the current of a single neuron."""
    graph = Graph(Stage.SNN)
    graph.add("x", Input(shape=(1,)))
    graph.add("encode", EncodeDirect(), ["x"])
    weight = graph.set_param("w", np.ones((1, 1), np.float32))
    graph.add("fc", Linear(weight=weight), ["encode"])
    graph.add("act", Neuron(threshold=threshold, v_init=start), ["fc"])
    graph.add("scale", Scale(factor=threshold), ["act"])
    graph.outputs = (graph.add("readout", Readout(), ["scale"]),)
    return graph


def residual() -> Graph:
    """Convolutions, a residual block with an identity shortcut, pooling, and two linear layers."""
    net = NetBuilder(Style.ANN, (2, 8, 8), seed=5)
    a = net.act("relu1", net.conv("conv1", net.input, 6))
    b = net.act("relu2", net.conv("conv2", a, 6))
    c = net.act("relu3", net.add("add", net.conv("conv3", b, 6), a))
    halves = tuple((i, i + 4) for i in (0, 4))
    d = net.act("relu4", net.linear("fc1", net.avgpool("pool", c, (halves, halves)), 20))
    return net.finish(net.linear("fc", d, 5))


@cache
def data(seed: int = 7, count: int = 192) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    return np.abs(rng.normal(size=(count, 2, 8, 8))).astype(np.float32)


def context() -> PassContext:
    return PassContext(timesteps=T, calibration=[(data(), None)])


def converted(*passes: str, options: str = "") -> Any:
    text = ",".join([BEFORE % options, *passes])
    return Pipeline.from_text(text).run(residual(), context())


def populations(graph: Graph) -> dict[str, int]:
    return {n.name: graph.type_of(n.name).size for n in graph if isinstance(n.op, AnyNeuron)}


def error(graph: Graph) -> float:
    """Squared error of the outputs on other data, as a fraction of their variance."""
    x = data(8)
    wanted = run_ann(residual(), x)["fc"].numpy()
    told = run_snn(graph, x, timesteps=T).outputs["readout"].numpy()
    return float(np.sum((told - wanted) ** 2) / np.sum((wanted - wanted.mean(0)) ** 2))


# -- the arithmetic of a group -------------------------------------------------------------------


@pytest.mark.parametrize("copies", [2, 3, 4])
def test_a_group_rounds_to_the_levels_of_all_its_neurons(copies: int) -> None:
    graph, threshold = one_neuron(start=1.0, threshold=2.0), 2.0
    separate(graph, {"act": copies})
    steps = copies * T
    x = np.linspace(-0.3, 2.4, 1000, dtype=np.float32)[:, None]
    found = run_snn(graph, x, timesteps=T).outputs["readout"].numpy()
    levels = np.clip(np.rint(x / threshold * steps), 0, steps) * threshold / steps
    np.testing.assert_allclose(found, levels, atol=1e-6)
    assert len(np.unique(found.round(5))) == steps + 1


def test_it_fires_as_one_neuron_that_may_fire_several_times_a_step() -> None:
    """On an uneven current: threshold/K, at most K spikes a step."""
    copies, rng = 3, np.random.default_rng(0)
    current = rng.normal(0.3, 0.8, size=(200, 12))
    starts = np.array(staggered(np.array(0.1), np.array(1.0), copies))
    assert starts.mean() == pytest.approx(0.1)
    u = np.repeat(starts[None], 200, axis=0)
    whole = u.min(axis=1)
    for now in current.T:
        u, whole = u + now[:, None], whole + now
        fired = u > 1
        several = np.clip(np.ceil(whole * copies) - 1, 0, copies)
        np.testing.assert_array_equal(fired.sum(axis=1), several)
        u, whole = u - fired, whole - several / copies


def test_every_neuron_is_an_ordinary_one_of_binary_spikes() -> None:
    graph = converted("split{budget=1}").graph
    kinds = graph.types()
    neurons = [n for n in graph if isinstance(n.op, AnyNeuron)]
    assert {(type(n.op), kinds[n.name].levels, kinds[n.name].signed) for n in neurons} == {
        (Neuron, 1, False)
    }
    sums = {kinds[n.name].levels for n in graph if n.name.endswith(".count")}
    assert sums
    assert sums <= {2, 3, 4}


def test_the_current_of_a_group_is_computed_once() -> None:
    graph, before = converted("split{budget=1}").graph, converted().graph
    layers = [n.name for n in before if isinstance(n.op, Linear)]
    assert [n.name for n in graph if isinstance(n.op, Linear)] == layers
    assert len(populations(graph)) > len(populations(before))


def test_joining_undoes_it() -> None:
    before = converted().graph
    graph = before.clone()
    separate(graph, {"relu1": 3, "relu4": 2})
    assert join(graph) == {"relu1": 3, "relu4": 2}
    assert populations(graph) == populations(before)
    x = data(8)[:16]
    told, wanted = (run_snn(g, x, timesteps=T).outputs["readout"] for g in (graph, before))
    np.testing.assert_allclose(told.numpy(), wanted.numpy(), atol=1e-5)
    assert join(graph) == {}


# -- the choice ----------------------------------------------------------------------------------


def test_the_contract_of_passes() -> None:
    assert_pass_contract(Split(budget=0.7, samples=16))


@pytest.mark.parametrize("budget", [0.2, 1.0, 1.5])
def test_the_budget_is_kept(budget: float) -> None:
    run = converted(f"split{{budget={budget}}}")
    before, after = (sum(populations(g).values()) for g in (converted().graph, run.graph))
    added = after / before - 1
    assert 0 < added <= budget
    assert run.steps[-1].metrics["added"] == pytest.approx(added)
    assert max(run.steps[-1].metrics["copies"].values()) <= 4


def test_the_largest_fall_of_the_effect_per_neuron_comes_first() -> None:
    effects, sizes = {"a": 8.0, "b": 40.0, "c": 0.0}, {"a": 1, "b": 10, "c": 1, "fixed": 8}
    assert allotted(effects, sizes, 0.05, most=3) == {"a": 2, "b": 1, "c": 1}
    assert allotted(effects, sizes, 0.6, most=3) == {"a": 3, "b": 2, "c": 1}
    assert allotted(effects, sizes, 9, most=3) == {"a": 3, "b": 3, "c": 1}


def test_one_seed_gives_one_network() -> None:
    first, second = (converted("split{budget=1},calibrate").graph for _ in range(2))
    assert first.fingerprint() == second.fingerprint()


def test_a_second_split_makes_the_groups_anew() -> None:
    once, twice = (converted(*["split{budget=1}"] * n) for n in (1, 2))
    assert once.steps[-1].metrics["copies"] == twice.steps[-1].metrics["copies"]
    assert populations(once.graph) == populations(twice.graph)


# -- groups in calibration -----------------------------------------------------------------------


@pytest.mark.parametrize("options", ["", "{wait=2}", "{wait=T}"])
def test_groups_bring_the_outputs_closer_on_other_data(options: str) -> None:
    plain = error(converted("calibrate", options=options).graph)
    assert error(converted("split{budget=1.5}", "calibrate", options=options).graph) < 0.6 * plain


@pytest.mark.parametrize("options", ["", "{wait=2}", "{wait=T}"])
def test_calibrate_fits_what_the_graph_does(options: str) -> None:
    run = converted("split{budget=1.5}", "calibrate{samples=128}", options=options)
    graph, measured = run.graph, run.steps[-1].metrics["errors"]
    copies = run.steps[-2].metrics["copies"]
    assert set(measured) == set(copies) == {"relu1", "relu2", "relu3", "relu4"}
    counts = {n: f"{n}.count" if f"{n}.count" in graph else n for n in copies}
    wanted = run_ann(residual(), data()[:128], keep=[*copies])
    events = run_snn(graph, data()[:128], timesteps=T, keep=[*counts.values()]).values
    for name, count in copies.items():
        op = graph.node(name).op
        assert isinstance(op, Neuron)
        shape = wanted[name].shape[1:]
        threshold = graph.array(op.threshold).reshape(-1, *(1,) * (len(shape) - 1))
        rates = events[counts[name]].numpy().mean(0) * threshold / count
        activation = wanted[name].numpy()
        found = np.mean((rates - activation) ** 2) / np.var(activation)
        assert found == pytest.approx(measured[name], rel=0.02, abs=1e-4)


def test_a_group_has_one_threshold_and_staggered_starts() -> None:
    graph = converted("split{budget=1.5}", "calibrate").graph
    checked = 0
    for node in graph:
        if f"{node.name}.group" not in graph:
            continue
        members = graph.inputs_of(f"{node.name}.group")
        ops: list[Any] = [graph.node(member).op for member in members]
        thresholds = [graph.array(op.threshold) for op in ops]
        assert all(np.array_equal(value, thresholds[0]) for value in thresholds)
        gaps = np.diff([graph.array(op.v_init) for op in ops], axis=0)
        each = np.broadcast_to(thresholds[0] / len(ops), gaps.shape)
        np.testing.assert_allclose(gaps, each, rtol=1e-4, atol=1e-6)
        checked += 1
    assert checked >= 2


# -- targets -------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", ["", " bits=8", " bits=4 rounding=data", " wait=T bits=8"])
def test_targets_give_what_the_reference_gives(options: str) -> None:
    targets = ["cpu", *(["crossbar"] if "bits" in options else [])]
    for target in targets:
        compiled = snnc.compile(
            residual(),
            recipe=f"convert{{split=1.5{options}}}",
            timesteps=T,
            calibration=data(),
            target=target,
        )
        graph = compiled.graph
        assert any(node.name.endswith(".group") for node in graph)
        assert graph.quantized == ("bits" in options)
        reference = load_program(ReferenceBackend(), graph, T)
        x = [(data(8)[:24], None)]
        found = compare(compiled.program, reference, graph, x, timesteps=T)
        assert found.passed
        assert found.equal or not graph.quantized


def test_eight_bits_keep_what_calibration_reached() -> None:
    real, integer = (
        converted("split{budget=1.5}", "calibrate", "fold-scale", *more).graph
        for more in ((), ("quantize{bits=8}",))
    )
    assert error(integer) < 1.3 * error(real) + 0.002


# -- what is left alone or refused ---------------------------------------------------------------


def test_max_pooled_populations_are_left_alone() -> None:
    net = NetBuilder(Style.ANN, (2, 8, 8), seed=5)
    a = net.act("pooled", net.conv("conv1", net.input, 6))
    halves = tuple((i, i + 4) for i in (0, 4))
    b = net.act("plain", net.linear("fc1", net.maxpool("pool", a, (halves, halves)), 20))
    run = Pipeline.from_text(f"{BEFORE % ''},split{{budget=3}},calibrate,fold-scale").run(
        net.finish(net.linear("fc", b, 5)), context()
    )
    assert run.steps[-3].metrics["copies"] == {"pooled": 1, "plain": 4}


@pytest.mark.parametrize(
    ("options", "error"),
    [({"budget": 0.0}, "budget=0.0"), ({"most": 1}, "most=1"), ({"samples": 0}, "samples=0")],
)
def test_bad_options(options: dict[str, Any], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        Split(**options)


def test_signed_neurons_are_refused() -> None:
    with pytest.raises(ValueError, match="leave out signed=true"):
        Convert(split=1.5, signed=True)
    with pytest.raises(PassError, match="no population can be split: all are signed"):
        converted("split", options="{signed=true}")


def test_integers_are_refused() -> None:
    with pytest.raises(PassError, match="quantised already"):
        converted("fold-scale", "quantize{bits=8}", "split")


def test_the_recipe_has_it_only_when_asked() -> None:
    assert "split{" not in Convert().pipeline()
    assert "initialize-potential{fraction=0.5},split{budget=1.5},calibrate" in (
        Convert(split=1.5).pipeline()
    )
