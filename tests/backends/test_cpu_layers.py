"""Kernels of a layer and what follows it equal the reference, and state what they touch."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from snnc.errors import ArtifactError, UsageError
from snnc.interp.program import ReferenceProgram
from snnc.ir import (
    Add,
    Conv,
    EncodeDirect,
    EncodePoisson,
    Graph,
    Input,
    Linear,
    Neuron,
    Readout,
    Scale,
    Stage,
    SumPool,
    TwoSidedNeuron,
)
from snnc.native.cache import open_cache
from snnc.native.jit import host
from snnc.testing import assert_equal_runs, sample_inputs, windows
from snnc_backends.cpu import CpuBackend
from snnc_backends.cpu.kernels import PLAIN, DenseLayer, EventLayer, Kernel, TileLayer
from snnc_backends.cpu.lower import lower
from snnc_backends.cpu.plan import Plan
from snnc_backends.cpu.program import CpuProgram, load

KINDS: tuple[type[Kernel], ...] = (EventLayer, DenseLayer, TileLayer)


def always(kind: type[Kernel]) -> type[Kernel]:
    """A kernel that is taken wherever it fits, on any processor."""
    return type(kind.__name__, (kind,), {"cost": lambda *_: 0.0, "tiled": False})


def programs(graph: Graph, timesteps: int, *kinds: type[Kernel]) -> CpuProgram:
    """The program of a graph with these kernels wherever they fit."""
    preferred = map(always, kinds)
    plan, weights = lower(graph, timesteps, (*PLAIN, *preferred))
    return load(plan.to_json(), weights, 1, open_cache())


def used(program: CpuProgram) -> list[str]:
    """The names of the kernels."""
    return [step.kernel.name for step in program.plan.steps]


def residual(channels: int, rows: int = 6, **neuron: Any) -> Graph:
    """Signed pixels, blocks with a layer and with scaled spikes as the shortcut, counts."""
    rng, graph = np.random.default_rng(3), Graph(Stage.SNN)

    def weight(*shape: int) -> Any:
        values = rng.integers(-127, 128, shape).astype(np.int8)
        return graph.set_param(f"w{len(graph.params)}", values)

    def layer(name: str, source: str, inputs: int, **options: Any) -> str:
        size = options.pop("size", 3)
        graph.add(name, Conv(weight=weight(channels, inputs, size, size), **options), [source])
        return name

    same: dict[str, Any] = {"padding": ((1, 1), (1, 1))}
    graph.add("x", Input(shape=(3, rows, rows)))
    graph.add("encode", EncodeDirect(scale=1 / 100, lo=-127, hi=127), ["x"])
    bias = graph.set_param("b", rng.integers(-500, 500, (channels, rows, rows)).astype(np.int32))
    graph.add("first", Conv(weight=weight(channels, 3, 3, 3), bias=bias, **same), ["encode"])
    graph.add("a", Neuron(threshold=3000, v_init=1500, **neuron), ["first"])
    layer("down", "a", channels, stride=(2, 2), **same)
    graph.add("b", Neuron(threshold=900, **neuron), ["down"])
    layer("second", "b", channels, **same)
    layer("side", "a", channels, size=1, stride=(2, 2))
    graph.add("sum", Add(), ["side", "second"])
    graph.add("c", Neuron(threshold=1100, **neuron), ["sum"])
    factor = graph.set_param("f", rng.integers(100, 900, channels).astype(np.int32))
    graph.add("around", Scale(factor=factor), ["c"])
    half = -(-rows // 2)
    graph.add("again", Conv(weight=weight(channels, channels, 1, 1)), ["c"])
    graph.add("sum2", Add(), ["again", "around"])
    graph.add("d", Neuron(threshold=700, **neuron), ["sum2"])
    graph.add("pool", SumPool(windows=windows((half, half), 2, 2)), ["d"])
    layer("last", "pool", channels, size=1)
    graph.add("e", Neuron(threshold=1500, **neuron), ["last"])
    graph.add("out", Readout(), ["e"])
    graph.outputs = ("out",)
    return graph


def assert_equal(graph: Graph, timesteps: int, program: CpuProgram) -> None:
    x = 2 * sample_inputs(graph, 2) - 1
    theirs = ReferenceProgram(graph, timesteps).run(x, record="spikes")
    assert any(spikes.any() for spikes in theirs.spikes.values())
    assert_equal_runs(program.run(x, record="spikes", timesteps=timesteps), theirs, "layers")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [16, 37, 130])
def test_every_kernel_gives_the_spikes_of_the_reference(kind: type[Kernel], channels: int) -> None:
    graph = residual(channels)
    program = programs(graph, 4, kind)
    assert used(program).count(kind.name) >= 4
    for steps in (1, 7, 19):  # several blocks of steps
        assert_equal(graph, steps, program)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "neuron",
    [
        {"signed": True},
        {"reset": "zero"},
        {"leak": 29491 / 32768},
        {"order": "fire-integrate"},
        {"wait": 3},
        {"wait": 21, "leak": 32113 / 32768},
        {"wait": 2, "signed": True, "order": "fire-integrate"},
    ],
)
def test_every_kind_of_neuron_behind_a_layer(kind: type[Kernel], neuron: dict[str, Any]) -> None:
    graph = residual(20, 4, **neuron)
    program = programs(graph, 4, kind)
    assert ("neuron" in used(program)) == (kind is not DenseLayer)
    for steps in (2, 18):  # fewer than the wait too
        assert_equal(graph, steps, program)


@pytest.mark.parametrize(
    ("options", "summed"),
    [
        ({"wait": 3}, {4}),  # the neurons may fire at the fourth step
        ({"wait": 3, "order": "fire-integrate"}, {3}),
        ({"wait": 3, "reset": "zero"}, {4}),
        ({"wait": 300}, {255, 63}),  # as many as a byte holds of spikes, and of counts
        ({"wait": 4, "signed": True}, {5}),
        ({"wait": 4, "leak": 29491 / 32768}, {1}),
    ],
)
def test_steps_in_which_no_neuron_fires_are_summed(
    options: dict[str, Any], summed: set[int]
) -> None:
    graph = residual(20, 4, **options)
    program = programs(graph, 4, DenseLayer)
    kernels = [s.kernel for s in program.plan.steps if isinstance(s.kernel, DenseLayer)]
    assert {k.summed for k in kernels} - {1} == summed - {1}
    for steps in (2, 4, 9, 70):  # a part of a sum, one, a sum and steps, several sums
        assert_equal(graph, steps, program)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rounds", [False, True])
def test_two_sided_neurons_behind_a_layer(kind: type[Kernel], rounds: bool) -> None:
    graph = residual(20, 4)
    graph.replace_op("e", TwoSidedNeuron(threshold=1500, rounds=rounds))
    assert_equal(graph, 6, programs(graph, 4, kind))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [127, -127])
def test_sums_beyond_16_bits(kind: type[Kernel], value: int) -> None:
    graph = Graph(Stage.SNN)
    graph.add("x", Input(shape=(900,)))
    graph.add("encode", EncodePoisson(scale=1 / 255), ["x"])
    weight = np.full((40, 900), value, np.int8)
    weight[1::2] = 1
    graph.add("fc", Linear(weight=graph.set_param("w", weight)), ["encode"])
    graph.add("out", Readout(), ["fc"])
    graph.outputs = ("out",)
    program = programs(graph, 3, kind)
    assert used(program) == [kind.name]
    x = np.ones((1, 900), np.float32)
    theirs = ReferenceProgram(graph, 3).run(x)
    assert theirs.readout is not None and np.abs(theirs.readout).max() > 3 * 2**15
    np.testing.assert_array_equal(program.run(x).readout, theirs.readout)


def real_network(unit: float, wait: int = 0) -> Graph:
    """Real weights and a shortcut; the weights behind spikes are whole multiples of `unit`."""
    rng, graph = np.random.default_rng(5), Graph(Stage.SNN)

    def real(name: str, array: np.ndarray) -> Any:
        return graph.set_param(name, (array * unit).astype(np.float32))

    graph.add("x", Input(shape=(2, 5, 5)))
    graph.add("encode", EncodeDirect(), ["x"])
    first = (rng.integers(-8, 9, (20, 2, 3, 3)) / 8).astype(np.float32)
    graph.add("first", Conv(weight=graph.set_param("v", first)), ["encode"])
    graph.add("a", Neuron(threshold=0.5), ["first"])
    same: dict[str, Any] = {"padding": ((1, 1), (1, 1))}
    weight = real("w", rng.integers(-100, 101, (20, 20, 3, 3)))
    bias = real("b", rng.integers(-100, 101, 20))
    graph.add("conv", Conv(weight=weight, bias=bias, **same), ["a"])
    factor = graph.set_param("f", rng.random(20).astype(np.float32))
    graph.add("around", Scale(factor=factor), ["a"])
    graph.add("sum", Add(), ["around", "conv"])
    graph.add("c", Neuron(threshold=1.0, v_init=0.5, leak=0.5, wait=wait), ["sum"])
    graph.add("out", Readout(), ["c"])
    graph.outputs = ("out",)
    return graph


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wait", [0, 2])
def test_real_weights_on_a_grid_are_summed_as_integers(kind: type[Kernel], wait: int) -> None:
    graph = real_network(1 / 64, wait)
    program = programs(graph, 4, kind)
    assert used(program) == ["conv", "neuron", kind.name]
    x = (np.rint(sample_inputs(graph, 2) * 8) / 8).astype(np.float32)
    ours, theirs = (
        program.run(x, record="spikes"),
        ReferenceProgram(graph, 4).run(x, record="spikes"),
    )
    assert theirs.spikes["c"].any() and not theirs.spikes["c"].all()
    for name, spikes in theirs.spikes.items():
        np.testing.assert_array_equal(ours.spikes[name], spikes)
    off_grid = [step.kernel for step in programs(real_network(1 / 70), 4, kind).plan.steps[2:]]
    if kind is DenseLayer:
        assert "conv" in [k.name for k in off_grid]
    else:
        assert [k.digits for k in off_grid if isinstance(k, EventLayer | TileLayer)] == [3]


EDITS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "channels": (lambda k: k.update(channels=k["channels"] + 4), "inputs do not fit"),
    "outputs": (lambda k: k.update(out_channels=k["out_channels"] * 9), "fit|outside"),
    "rows": (lambda k: k.update(out_height=k["out_height"] + 1), "output does not fit"),
    "taps": (lambda k: k.update(kernel_h=10**6), "outside"),
    "addends": (lambda k: k.update(addends=["i32"], addend_constant=[False]), "fit|arrays"),
    "constant addend": (lambda k: k.update(addends=["i8"], addend_constant=[]), "length"),
    "neuron": (lambda k: k.update(neuron="conv"), "none of"),
    "no neuron": (lambda k: k.update(neuron="none"), "output does not fit"),
    "state": (lambda k: k.update(state="f32"), "none of"),
    "wait": (lambda k: k.update(wait=-1), "wait -1"),
    "wait of nobody": (lambda k: k.update(wait=1, neuron="none"), "without neurons"),
    "leak": (lambda k: k.update(leaky=True), "wrong set of arrays"),
    "bias": (lambda k: k.update(bias="map"), "wrong set of arrays|outside"),
    "dilation": (lambda k: k.update(dilation_w=2), "gaps"),
    "source": (lambda k: k.update(source="f32"), "none of"),
}
OWN: dict[str, dict[str, tuple[dict[str, Any], str]]] = {
    "event-layer": {
        "slab": ({"slab": 48}, "whole units"),
        "wide slab": ({"slab": 1024}, "slab of more"),
        "unit": ({"unit": 8}, "unit of neither"),
        "copies": ({"copies": 99}, "more than"),
        "limit": ({"limit": 0}, "not positive"),
        "constant": ({"constant": True}, "same at all steps|fit"),
    },
    "dense-layer": {
        "lowest": ({"lowest": -999}, "lowest"),
        "summed": ({"summed": 2}, "steps that differ"),
        "not summed": ({"summed": 0}, "summed=0"),
        "bytes of a pixel": ({"tight": False, "channels": 21}, "fit|outside"),
    },
    "tile-layer": {
        "rows": ({"together": 17, "sets": 1}, "together=17"),
        "sets": ({"together": 2, "sets": 3}, "sets of tiles"),
        "no sets": ({"sets": 0}, "not positive"),
        "digits": ({"digits": 2}, "neither"),
        "digits of integers": ({"digits": 3}, "no real numbers"),
        "phases": ({"together": 4, "sets": 1, "stride_w": 99, "kernel_w": 99}, "phases"),
        "source": ({"source": "i32"}, "no bytes"),
        "constant": ({"constant": True}, "same at all steps"),
    },
}


@pytest.fixture(name="stored", params=KINDS, ids=lambda kind: kind.name)
def _stored(request: pytest.FixtureRequest) -> tuple[dict[str, Any], np.ndarray, str]:
    plan = programs(residual(20, 4), 4, request.param).plan
    _, weights = lower(residual(20, 4), 4, (*PLAIN, always(request.param)))
    return json.loads(plan.to_json()), np.frombuffer(weights, np.uint8), request.param.name


def test_a_wrong_layer_is_refused(stored: tuple[dict[str, Any], np.ndarray, str]) -> None:
    data, weights, name = stored
    own = {key: (lambda k, e=edit: k.update(e), why) for key, (edit, why) in OWN[name].items()}
    for key, (edit, message) in {**EDITS, **own}.items():
        changed = json.loads(json.dumps(data))
        steps = [s for s in changed["steps"] if s["kernel"]["name"] == name]
        edit(steps[-1]["kernel"])
        with pytest.raises(ArtifactError, match=message):
            Plan.from_json(json.dumps(changed).encode(), weights)
            pytest.fail(key)


def test_a_plan_of_version_2_runs(stored: tuple[dict[str, Any], np.ndarray, str]) -> None:
    data, weights, _ = stored
    for step in data["steps"]:
        if "addends" in step["kernel"]:
            assert step["kernel"].pop("wait") == 0
    text = json.dumps(data | {"version": 2}).encode()
    assert_equal(residual(20, 4), 4, load(text, weights.tobytes(), 1, open_cache()))


def test_a_plan_of_version_1_runs() -> None:
    graph = residual(20, 4)
    plan, weights = lower(graph, 4, PLAIN)
    data = json.loads(plan.to_json()) | {"version": 1}
    assert_equal(graph, 4, load(json.dumps(data).encode(), weights, 1, open_cache()))


def test_rates_choose_the_kernel() -> None:
    graph = residual(130)
    chosen: list[list[str]] = []
    for rate in (0.01, 0.9):
        for name in ("a", "b", "c", "d", "pool"):
            graph.stats[name] = {"rate": rate}
        plan, _ = lower(graph, 4)
        chosen.append([step.kernel.name for step in plan.steps])
    assert chosen[0].count("event-layer") > chosen[1].count("event-layer")


def test_levels_that_do_not_exist_are_refused() -> None:
    with pytest.raises(UsageError, match="none of sse2, avx2, avx512"):
        CpuBackend(features="mmx")
    with pytest.raises(ValueError, match="none of sse2"):
        host("mmx")
