"""choose-wait: the least wait within a tolerance, population by population."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from snnc.errors import PassError
from snnc.interp import run_ann, run_snn
from snnc.ir import Add, Graph, Input, Linear, Neuron, Relu
from snnc.pipeline import Pipeline
from snnc.report import latency_timesteps
from snnc.transform import PassContext, PassResult
from snnc_passes.choose.choose_wait import ChooseWait

T = 16
BEFORE = "activations-to-neurons{%s},threshold-balance{statistic=mse},initialize-potential"
RNG = np.random.default_rng(11)
DATA = RNG.normal(size=(200, 12)).astype(np.float32)


def network(bypass: bool = False) -> Graph:
    """Three layers in a row; with `bypass`, a single one beside the last two."""
    graph, rng = Graph(), np.random.default_rng(2)

    def layer(name: str, source: str, inputs: int) -> str:
        weight = rng.normal(size=(24, inputs)) / np.sqrt(inputs / 2)
        op = Linear(weight=graph.set_param(f"{name}.weight", weight.astype(np.float32)))
        return graph.add(f"relu.{name}", Relu(), [graph.add(name, op, [source])])

    graph.add("x", Input(shape=(12,)))
    a = layer("a", "x", 12)
    last = layer("c", layer("b", a, 24), 24)
    if bypass:
        last = graph.add("add", Add(), [last, layer("d", a, 24)])
    weight = graph.set_param("out.weight", rng.normal(size=(5, 24)).astype(np.float32))
    graph.outputs = (graph.add("out", Linear(weight=weight), [last]),)
    return graph


def chosen(options: str = "", neurons: str = "", bypass: bool = False) -> PassResult:
    text = f"{BEFORE % neurons},choose-wait{{{options}}}".replace("{}", "")
    ctx = PassContext(timesteps=T, calibration=[(DATA, None)])
    run = Pipeline.from_text(text).run(network(bypass), ctx)
    return PassResult(run.graph, metrics=run.steps[-1].metrics)


def waits(graph: Graph) -> dict[str, int]:
    return {n.name: n.op.wait for n in graph.nodes if isinstance(n.op, Neuron)}


def errors(graph: Graph) -> dict[str, float]:
    """Squared error of every rate as a fraction of the activation's variance."""
    names = list(waits(graph))
    wanted = run_ann(network(), DATA[:128], keep=names)
    spikes = run_snn(graph, DATA[:128], timesteps=T, keep=names).values
    found: dict[str, float] = {}
    for name in names:
        op = graph.node(name).op
        assert isinstance(op, Neuron)
        activation = wanted[name].numpy()
        rates = spikes[name].mean(0).numpy() * graph.array(op.threshold)
        found[name] = float(np.mean((rates - activation) ** 2) / np.var(activation))
    return found


def with_wait(graph: Graph, name: str, wait: int) -> Graph:
    twin = graph.clone()
    op = twin.node(name).op
    assert isinstance(op, Neuron)
    twin.replace_op(name, replace(op, wait=wait))
    return twin


def test_an_even_input_needs_no_wait_and_a_strict_tolerance_the_whole_window() -> None:
    """The first population sees the same value at every step."""
    strict, lax = chosen("tolerance=0"), chosen("tolerance=10")
    assert waits(strict.graph)["relu.a"] == 0
    assert waits(strict.graph)["relu.b"] > T // 2
    assert set(waits(lax.graph).values()) == {0}
    assert lax.metrics["latency_timesteps"] == T


def test_the_wait_is_the_least_within_the_tolerance_by_a_run_of_its_own() -> None:
    result = chosen("tolerance=0.001")
    found = waits(result.graph)
    assert found == result.metrics["waits"]
    assert 0 < found["relu.b"] < T
    for name, wait in found.items():
        quantiser = errors(with_wait(result.graph, name, T))[name]
        excess = errors(result.graph)[name] - quantiser
        assert excess == pytest.approx(result.metrics["excess"][name], abs=2e-5)
        assert excess <= 0.00102
        if wait:
            shorter = with_wait(result.graph, name, max(w for w in (0, 2, 4, 8) if w < wait))
            assert errors(shorter)[name] - quantiser > 0.00098


def test_the_latency_is_that_of_the_report() -> None:
    result = chosen("tolerance=0.001")
    assert result.metrics["latency_timesteps"] == latency_timesteps(result.graph, T)


def test_waits_that_were_there_do_not_matter() -> None:
    for neurons in ("wait=T", "wait=3"):
        assert waits(chosen(neurons=neurons).graph) == waits(chosen().graph)


def test_a_shorter_path_waits_as_long_as_the_longer_one_allows() -> None:
    """A single population beside two: it may wait as long as both, up to T - 1."""
    result = chosen("tolerance=0.001", bypass=True)
    found = waits(result.graph)
    assert found["relu.d"] == min(T - 1, found["relu.b"] + found["relu.c"])
    row = {name: wait for name, wait in found.items() if name != "relu.d"}
    assert result.metrics["latency_timesteps"] == T + sum(row.values())


def test_signed_neurons_wait_less() -> None:
    signed = waits(chosen("tolerance=0.001", neurons="signed=true").graph)
    assert sum(signed.values()) < sum(waits(chosen("tolerance=0.001").graph).values())


@pytest.mark.parametrize("neurons", ["leak=0.9", "reset=zero", "order=fire-integrate"])
def test_neurons_of_other_kinds_are_refused(neurons: str) -> None:
    with pytest.raises(PassError, match="leaks, resets to zero or fires") as caught:
        chosen(neurons=neurons)
    assert "relu.a" in str(caught.value) and "choose-wait" in str(caught.value)


@pytest.mark.parametrize("options", [{"tolerance": -0.1}, {"samples": 0}])
def test_wrong_options_are_named(options) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        ChooseWait(**options)
