"""choose-schedule: window and waits for a latency; convert{latency=N} uses it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from snnc.driver import JobOptions
from snnc.errors import UsageError
from snnc.ir import Add, Graph, Input, Linear, Neuron, Readout, Relu
from snnc.pipeline import Pipeline
from snnc.report import latency_timesteps
from snnc.transform import PassContext
from snnc_passes.choose.choose_schedule import ChooseSchedule, Schedule, apply, possible
from snnc_passes.recipes.convert import Convert

DATA = np.random.default_rng(11).normal(size=(160, 12)).astype(np.float32)


def network() -> Graph:
    """Three layers in a row, and one beside the last two."""
    graph, rng = Graph(), np.random.default_rng(2)

    def layer(name: str, source: str, inputs: int) -> str:
        weight = rng.normal(size=(24, inputs)) / np.sqrt(inputs / 2)
        op = Linear(weight=graph.set_param(f"{name}.weight", weight.astype(np.float32)))
        return graph.add(f"relu.{name}", Relu(), [graph.add(name, op, [source])])

    graph.add("x", Input(shape=(12,)))
    a = layer("a", "x", 12)
    last = layer("c", layer("b", a, 24), 24)
    last = graph.add("add", Add(), [last, layer("d", a, 24)])
    weight = graph.set_param("out.weight", rng.normal(size=(5, 24)).astype(np.float32))
    graph.outputs = (graph.add("out", Linear(weight=weight), [last]),)
    return graph


def spiking(timesteps: int) -> tuple[Graph, PassContext]:
    ctx = PassContext(timesteps=timesteps, calibration=[(DATA[:80], None), (DATA[80:], None)])
    result = Pipeline.from_text("activations-to-neurons").run(network(), ctx)
    return result.graph, replace(ctx, ann=result.ann)


def waits(graph: Graph) -> dict[str, int]:
    return {n.name: n.op.wait for n in graph.nodes if isinstance(n.op, Neuron)}


def test_every_schedule_has_the_latency_and_most_of_it_is_window() -> None:
    graph, _ = spiking(8)
    assert possible(graph, 16) == [
        Schedule(16, 0),
        Schedule(14, 1),
        Schedule(12, 2),
        Schedule(8, 4),
    ]
    assert possible(graph, 6) == [Schedule(6, 0), Schedule(4, 1)]
    assert possible(graph, 3) == [Schedule(3, 0)]
    for schedule in possible(graph, 16):
        apply(graph, schedule)
        assert latency_timesteps(graph, schedule.timesteps) == 16
    assert waits(graph) == {"relu.a": 0, "relu.b": 4, "relu.c": 4, "relu.d": 4}


def test_the_schedule_of_the_least_disagreement_is_set() -> None:
    graph, ctx = spiking(8)
    result = ChooseSchedule(latency=10, fitted=64, samples=64).run(graph.clone(), ctx)
    measured, chosen = result.metrics["measured"], result.metrics
    assert sorted(measured) == ["T=10 wait=0", "T=6 wait=2", "T=8 wait=1"]
    name = f"T={chosen['timesteps']} wait={chosen['wait']}"
    assert measured[name] == min(measured.values()) < 0.5
    assert result.graph.meta["timesteps"] == chosen["timesteps"]
    assert latency_timesteps(result.graph, chosen["timesteps"]) == 10
    apply(graph, Schedule(chosen["timesteps"], chosen["wait"]))
    assert result.graph.fingerprint() == graph.fingerprint()  # nothing else has changed


def test_a_wait_that_helps_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(graph: Graph, schedule: Schedule, *_: object) -> float:
        return {0: 0.2, 1: 0.1}.get(schedule.wait, 0.3)

    monkeypatch.setattr("snnc_passes.choose.choose_schedule._measure", measure)
    graph, ctx = spiking(16)
    result = ChooseSchedule().run(graph, ctx)
    assert result.metrics["latency_timesteps"] == 16
    assert (result.metrics["timesteps"], result.metrics["wait"]) == (14, 1)


def test_the_recipe_fits_the_network_to_the_latency_whatever_T_is() -> None:
    ctx = PassContext(timesteps=8, calibration=[(DATA, None)])
    pipeline = Pipeline.from_text(Convert(latency=5, bits=8).pipeline())
    result = pipeline.run(network(), ctx)
    metrics = {step.name: step.metrics for step in result.steps}
    assert latency_timesteps(result.graph, result.graph.meta["timesteps"]) == 5
    readout = result.graph.node(result.graph.outputs[0]).op
    assert isinstance(readout, Readout) and readout.start == metrics["late-readout"]["start"]
    assert len(metrics["late-readout"]["agreement"]) == metrics["choose-schedule"]["timesteps"]


NEURONS = "activations-to-neurons"
CHOOSE = "choose-schedule{latency=5}"


@pytest.mark.parametrize(
    ("options", "used"),
    [
        ({"passes": f"{NEURONS},{CHOOSE}"}, False),
        ({"recipe": "convert{latency=5}"}, False),
        ({"passes": f"{NEURONS},choose-schedule"}, True),
        ({"passes": f"{NEURONS},profile,{CHOOSE}"}, True),
        ({"recipe": "convert"}, True),
    ],
)
def test_a_window_beside_a_latency_is_refused_unless_a_pass_uses_it(
    options: Any, used: bool
) -> None:
    job = JobOptions(timesteps=8, **options).job(network())
    if used:
        assert job.pipeline()
    else:
        with pytest.raises(UsageError, match="-T 8: latency=5 chooses the window"):
            job.pipeline()
    assert JobOptions(**options).job(network()).pipeline()


def test_the_recipe_offers_the_passes_that_fit() -> None:
    for recipe in (Convert(), Convert(calibrate=False), Convert(thresholds="quantized")):
        fitting = Pipeline(recipe.fitting())
        assert len(fitting.passes) == 2 + recipe.calibrate
        assert str(fitting) in str(Pipeline.from_text(recipe.pipeline()))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"latency": 0}, "must be positive"),
        ({"latency": 8, "wait": 4}, "leave out wait=4"),
        ({"latency": 8, "calibrate": False}, "with calibrate=true"),
    ],
)
def test_options_that_contradict_a_latency_are_refused(options, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Convert(**options)
