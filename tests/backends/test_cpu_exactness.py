"""What is called exact equals the reference in every spike; `mode=exact` refuses all else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snnc
from snnc.artifact import open_artifact
from snnc.cli.main import run
from snnc.driver import open_program
from snnc.errors import ArtifactError, DataError, UnsupportedError, UsageError
from snnc.interp.program import ReferenceProgram
from snnc.ir import Conv, EncodeDirect, EncodePoisson, Graph, Input, Linear, Neuron, Readout, Stage
from snnc.native.cache import open_cache
from snnc.pipeline import parse_one
from snnc.plugins import BACKENDS, Registry
from snnc.testing import quantized_cases, sample_inputs, snn_cases
from snnc_backends.cpu import CpuBackend
from snnc_backends.cpu.exactness import exactness
from snnc_backends.cpu.lower import lower
from snnc_backends.cpu.number_types import EXACT, THREE_DIGITS
from snnc_backends.cpu.program import load

TIMESTEPS = 6
EXACTLY = CpuBackend(mode="exact")
Build = Callable[..., Graph]


def on_grid(small: Build, weight: float = 1 / 64, threshold: float = 40.5) -> Graph:
    """The small network of integers with weights in units of `weight`, and spikes as its input."""
    graph = small(threshold=threshold)
    for name in ("w", "v"):
        graph.set_param(name, graph.params[name].astype(np.float32) * np.float32(weight))
    graph.replace_op("encode", EncodePoisson(scale=1.0))
    graph.replace_op("act", Neuron(threshold=threshold, v_init=threshold / 2))
    graph.replace_op("out", Readout(scale=0.5))
    graph.meta["timesteps"] = TIMESTEPS
    return graph


def assert_equal(graph: Graph, timesteps: int = TIMESTEPS) -> None:
    """Every spike and the output of the CPU are those of the reference."""
    x = sample_inputs(graph, 3)
    plan, weights = lower(graph, timesteps)
    ours = load(plan.to_json(), weights, 1, open_cache()).run(x, record="spikes", seed=1)
    theirs = ReferenceProgram(graph, timesteps).run(x, record="spikes", seed=1)
    for name, spikes in theirs.spikes.items():
        np.testing.assert_array_equal(ours.spikes[name], spikes)
    assert any(spikes.any() for spikes in theirs.spikes.values())
    np.testing.assert_array_equal(ours.output, theirs.output.astype(np.float32))


def test_integers_are_exact() -> None:
    for case in quantized_cases():
        assert EXACTLY.check(case.graph) == [] and EXACTLY.may_differ(case.graph) == ""


@pytest.mark.parametrize("weight", [1 / 64, 2.0, 2.0**-120])
def test_a_grid_is_exact(small: Build, weight: float) -> None:
    graph = on_grid(small, weight, 2592 * weight)
    assert EXACTLY.check(graph) == [] and EXACTLY.may_differ(graph) == ""
    assert_equal(graph)


def test_a_window_is_proved_and_kept(small: Build) -> None:
    graph, start = on_grid(small), 20.25 + 2**-8
    graph.replace_op("act", Neuron(threshold=40.5, v_init=start))
    weight = graph.params["w"].astype(np.float64)
    most = np.abs(weight).reshape(len(weight), -1).sum(1).max()
    assert exactness(graph).window == int((EXACT / 256 - 40.5 - start) / most)
    files = EXACTLY.lower(graph, snnc.PassContext(timesteps=TIMESTEPS))
    plan = files["cpu/plan.json"]
    program = load(plan, files["cpu/weights.bin"], 1, None)
    x = sample_inputs(graph, 1)
    with pytest.raises(DataError, match="at most"):
        program.run(x, timesteps=exactness(graph).window + 1)
    graph.meta["timesteps"] = exactness(graph).window + 1
    (found,) = EXACTLY.check(graph)
    assert "at most" in found.reason and "quantize" in found.remedy


def one_third(graph: Graph) -> None:
    """One weight of many digits."""
    weight = graph.params["v"].copy()
    weight[2, 5] = 1 / 3
    graph.set_param("v", weight)


def biased(graph: Graph) -> None:
    """A bias off the grid."""
    bias = graph.set_param("b", np.full(3, 0.1, np.float32))
    graph.replace_op("conv", Conv(weight=graph.node("conv").op.refs()["weight"], bias=bias))


def neurons(**fields: Any) -> Callable[[Graph], None]:
    return lambda graph: graph.replace_op("act", Neuron(**{"threshold": 40.5, **fields}))


EDITS: dict[str, tuple[Callable[[Graph], object], str]] = {
    "weights": (lambda g: g.set_param("w", np.multiply(g.params["w"], 1.1)), "conv has sums"),
    "large weights": (
        lambda g: g.set_param("w", np.multiply(g.params["w"], np.float32(2.0**120))),
        "conv has sums",
    ),
    "one weight": (one_third, "fc has sums"),
    "pixels": (lambda g: g.replace_op("encode", EncodeDirect()), "encode gives real values"),
    "a leak": (neurons(leak=0.5), "act has a leak"),
    "a threshold": (neurons(threshold=0.1), "act has real potentials"),
    "a start": (neurons(v_init=np.pi), "act has real potentials"),
    "a bias": (biased, "conv has sums"),
}


@pytest.mark.parametrize("largest", [THREE_DIGITS, THREE_DIGITS + 2])
def test_weights_are_exact_up_to_three_digits(largest: int) -> None:
    """Beyond, the kernel for weights of 24 bits drops the last one."""
    weight = np.zeros((64, 64), np.float32)
    weight[:, 0], weight[:, 1] = largest, 3
    graph = Graph(Stage.SNN)
    graph.meta["timesteps"] = 1
    graph.add("input", Input(shape=(64,)))
    graph.add("encode", EncodePoisson(scale=1.0), ["input"])
    graph.add("fc", Linear(weight=graph.set_param("w", weight)), ["encode"])
    graph.add("act", Neuron(threshold=3.0), ["fc"])
    graph.add("out", Readout(), ["act"])
    graph.outputs = ("out",)
    exact = EXACTLY.may_differ(graph) == ""
    assert exact is (largest == THREE_DIGITS)
    plan, weights = lower(graph, 1)
    x = np.zeros((1, 64), np.float32)
    x[0, 1] = 1
    ours = load(plan.to_json(), weights, 1, open_cache()).run(x, record="spikes", seed=1)
    assert not ours.spikes["act"].any() or not exact


@pytest.mark.parametrize("edit", EDITS)
def test_what_rounds_is_refused_in_one_line(small: Build, edit: str) -> None:
    graph, (change, reason) = on_grid(small), EDITS[edit]
    change(graph)
    (found,) = EXACTLY.check(graph)
    assert f"{found.node} {found.reason.removeprefix('mode=exact: it ')}".startswith(reason)
    assert "quantize" in found.remedy and "\n" not in str(found)
    assert CpuBackend().check(graph) == []
    assert CpuBackend().may_differ(graph).startswith(reason)


def test_random_graphs_on_grids_that_are_called_exact_are() -> None:
    exact = 0
    for case in snn_cases():
        graph = case.graph.clone()
        for name, array in case.graph.params.items():
            low = 1 if name.endswith("hreshold") else -64
            graph.set_param(
                name, (np.maximum(np.rint(np.multiply(array, 8)), low) / 8).astype(np.float32)
            )
        for node in graph.nodes:
            if isinstance(node.op, EncodeDirect):
                graph.replace_op(node.name, EncodePoisson(scale=1.0))
            if isinstance(node.op, Neuron):
                graph.replace_op(node.name, replace(node.op, leak=1.0, upper=None))
        if exactness(graph).window >= TIMESTEPS:
            exact += 1
            assert_equal(graph)
    assert exact >= 3


def test_the_user_sees_it_and_a_faithful_artifact_is_refused(
    small: Build, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph, file = on_grid(small), tmp_path / "net.snnc"
    report = snnc.compile(graph, output=file, target="cpu", passes="", timesteps=TIMESTEPS).report
    assert report["exactness"] == {"mode": "exact", "reason": ""}
    artifact = open_artifact(file)
    with pytest.raises(ArtifactError, match="mode=exact"):  # which promises any window
        open_program(artifact, "cpu{mode=exact}")
    EDITS["a leak"][0](graph)
    report = snnc.compile(graph, output=file, target="cpu", passes="", timesteps=TIMESTEPS).report
    assert report["exactness"]["mode"] == "faithful"
    for _ in range(2):
        snnc.load(file)
        with pytest.raises(ArtifactError, match="mode=exact: .*act has a leak"):
            open_program(open_artifact(file), "cpu{mode=exact}")
    assert run(["inspect", str(file)]) == 0
    assert "faithful: spikes may differ" in capsys.readouterr().out
    with pytest.raises(UnsupportedError, match="act.*leak.*quantize"):
        snnc.compile(graph, target="cpu{mode=exact}", passes="", timesteps=TIMESTEPS)
    exact = tmp_path / "exact.snnc"
    snnc.compile(
        on_grid(small), output=exact, target="cpu{mode=exact}", passes="", timesteps=TIMESTEPS
    )
    assert snnc.load(exact).timesteps == TIMESTEPS
    assert run(["inspect", str(exact)]) == 0
    assert "exact: every spike is that of the reference" in capsys.readouterr().out


def test_there_are_two_modes() -> None:
    with pytest.raises(UsageError, match="fast.*exact.*faithful|exact.*faithful"):
        parse_one("cpu{mode=fast}", Registry(BACKENDS))
    backend: Any = parse_one("cpu{mode=exact}", Registry(BACKENDS))
    assert backend.mode == "exact"
