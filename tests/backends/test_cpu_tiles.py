"""Layers of tiles: windows of every form, steps, digits; who takes them, and who may."""

from __future__ import annotations

import json
import os
import platform
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import pytest

import snnc
from snnc.artifact import open_artifact
from snnc.driver import open_program
from snnc.errors import ArtifactError, UsageError
from snnc.interp.program import ReferenceProgram
from snnc.ir import (
    Conv,
    EncodePoisson,
    Graph,
    Input,
    Linear,
    Neuron,
    Readout,
    Reshape,
    Stage,
    SumPool,
)
from snnc.native import amx
from snnc.native.cache import open_cache
from snnc.native.jit import LEVELS, Host, host, largest
from snnc.testing import Style, assert_equal_runs, random_graph, sample_inputs, windows
from snnc_backends.cpu.kernels import PLAIN, EventLayer, TileLayer, Work
from snnc_backends.cpu.lower import lower
from snnc_backends.cpu.plan import Plan
from snnc_backends.cpu.program import CpuProgram, load

ALWAYS = type("TileLayer", (TileLayer,), {"cost": lambda *_: 0.0, "tiled": False})
"""Taken wherever it fits, on any processor."""
PATHS = ("sse2", "avx2", "avx512", "amx")
SAME: dict[str, Any] = {"padding": ((1, 1), (1, 1))}


def program(graph: Graph, timesteps: int, target: Host, threads: int = 1) -> CpuProgram:
    """The program of a graph with layers of tiles wherever they fit."""
    plan, weights = lower(graph, timesteps, (*PLAIN, ALWAYS))
    return load(plan.to_json(), weights, threads, open_cache(), target)


def layers(ours: CpuProgram) -> list[TileLayer]:
    """The layers of tiles."""
    return [s.kernel for s in ours.plan.steps if isinstance(s.kernel, TileLayer)]


def convolved(
    channels: int, outputs: int, rows: int, pool: int = 1, size: int = 3, **options: Any
) -> Graph:
    """Spikes, counts of `pool` x `pool` of them, a layer, neurons, and a layer of all of them."""
    rng, graph = np.random.default_rng(channels + outputs), Graph(Stage.SNN)
    graph.add("x", Input(shape=(channels, rows * pool, (rows + 1) * pool)))
    last = graph.add("encode", EncodePoisson(scale=1 / 255), ["x"])
    if pool > 1:
        each = windows((rows * pool, (rows + 1) * pool), pool, pool)
        last = graph.add("pool", SumPool(windows=each), [last])
    weight = rng.integers(-127, 128, (outputs, channels, size, size)).astype(np.int8)
    graph.add("conv", Conv(weight=graph.set_param("w", weight), **options), [last])
    graph.add("a", Neuron(threshold=2000, v_init=700), ["conv"])
    flat = int(np.prod(graph.types()["a"].shape))
    graph.add("flat", Reshape(shape=(flat,)), ["a"])
    ten = rng.integers(-127, 128, (10, flat)).astype(np.int8)
    graph.add("fc", Linear(weight=graph.set_param("v", ten)), ["flat"])
    graph.add("out", Readout(), ["fc"])
    graph.outputs = ("out",)
    return graph


def real(graph: Graph) -> Graph:
    """The same with real weights on no grid."""
    result, rng = graph.clone(), np.random.default_rng(7)
    for name, array in graph.params.items():
        moved = array.astype(np.float64) * (1 + rng.standard_normal(array.shape) / 100)
        result.set_param(name, (moved / 50).astype(np.float32))
    result.replace_op("a", replace(graph.node("a").op, threshold=40.0, v_init=0.0))
    return result


def inputs(graph: Graph, rate: float = 0.3) -> np.ndarray:
    """Three samples of events of this rate; one of them is empty."""
    x = np.random.default_rng(1).random((3, *graph.types()["x"].shape)).astype(np.float32)
    x[1] = 0
    return x * 2 * rate


def assert_equal(graph: Graph, ours: CpuProgram, timesteps: int, rate: float = 0.3) -> None:
    """Both give the same spikes and sums."""
    x = inputs(graph, rate)
    theirs = ReferenceProgram(graph, timesteps).run(x, record="spikes")
    assert_equal_runs(ours.run(x, record="spikes", timesteps=timesteps), theirs, "tiles")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("channels", "outputs", "rows", "options"),
    [
        (64, 64, 7, SAME),
        (16, 16, 18, SAME),
        (70, 33, 7, {"size": 5, "stride": (2, 2), "padding": ((2, 1), (0, 3))}),
        (33, 130, 6, {"size": 2, "dilation": (2, 1), "padding": ((3, 0), (1, 0))}),
        (128, 20, 7, {"stride": (1, 3)}),
        (64, 40, 8, {"size": 1, "stride": (2, 2)}),
        (5, 48, 3, {"size": 1, "padding": ((2, 2), (4, 0))}),
    ],
)
def test_windows_of_every_form(
    this_processor: Any, path: str, channels: int, outputs: int, rows: int, options: dict[str, Any]
) -> None:
    graph = convolved(channels, outputs, rows, **options)
    for planned, steps in ((1, 3), (4, 10)):
        ours = program(graph, planned, this_processor(path))
        assert len(layers(ours)) == 2
        assert_equal(graph, ours, steps)


def test_tiles_of_one_step_and_of_several() -> None:
    """Narrow channels fill a tile with a row of taps, small maps with their steps; of large maps
    few steps are computed at a time."""
    wide, small = (
        layers(program(convolved(*sizes, **SAME), 8, host("sse2")))[0]
        for sizes in ((16, 16, 32), (128, 64, 2))
    )
    assert (wide.together, wide.sets, wide.across, wide.depth) == (1, 4, 11, 48)
    assert (small.together, small.sets, small.across, small.depth) == (8, 1, 2, 64)


@pytest.mark.parametrize("path", PATHS)
def test_counts_and_bytes_of_every_size(this_processor: Any, path: str) -> None:
    graph = convolved(66, 40, 3, pool=11, **SAME)
    ours = program(graph, 2, this_processor(path))
    assert len(layers(ours)) == 2
    for rate in (0.05, 0.5, 2.0):
        assert_equal(graph, ours, 2, rate)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("channels", "rows"), [(66, 5), (130, 2)])
def test_weights_of_24_bits(this_processor: Any, path: str, channels: int, rows: int) -> None:
    """They give what events give, to the last bit."""
    graph = real(convolved(channels, 40, rows, **SAME))
    ours = program(graph, 3, this_processor(path))
    assert {each.digits for each in layers(ours)} == {3}
    events = type("EventLayer", (EventLayer,), {"cost": lambda *_: 0.0})
    plan, weights = lower(graph, 3, (*PLAIN, events))
    theirs = load(plan.to_json(), weights, 1, open_cache(), host("sse2"))
    for steps in (3, 11):
        found, expected = (
            each.run(inputs(graph), record="spikes", timesteps=steps) for each in (ours, theirs)
        )
        assert_equal_runs(found, expected, "24 bits")
        assert found.spikes["a"].any()


@pytest.mark.parametrize(
    "seed", [*range(8), *(pytest.param(n, marks=pytest.mark.long) for n in range(8, 20))]
)
def test_random_graphs(this_processor: Any, seed: int) -> None:
    graph = random_graph(seed, Style.QUANTIZED)
    x = sample_inputs(graph, 2)
    theirs = ReferenceProgram(graph, 5).run(x, record="spikes")
    ours = program(graph, 5, this_processor("amx"))
    assert_equal_runs(ours.run(x, record="spikes"), theirs, f"graph {seed}")


def profiled(rate: float, rows: int = 16, width: int = 64) -> Graph:
    """Two convolutions; the events that the second one reads have this rate."""
    rng, graph = np.random.default_rng(0), Graph(Stage.SNN)
    graph.add("x", Input(shape=(2, rows, rows)))
    last = graph.add("encode", EncodePoisson(scale=1 / 255), ["x"])
    for name, channels, outputs in (("first", 2, width), ("second", width, width)):
        weight = rng.integers(-127, 128, (outputs, channels, 3, 3)).astype(np.int8)
        conv = Conv(weight=graph.set_param(f"{name}.weight", weight), **SAME)
        last = graph.add(name, conv, [last])
        last = graph.add(f"{name}.spikes", Neuron(threshold=900), [last])
    graph.add("out", Readout(), [last])
    graph.outputs = ("out",)
    graph.stats["first.spikes"] = {"rate": rate}
    return graph


def test_rates_choose_tiles_beside_another_kernel() -> None:
    """Whatever processor lowers the graph; the kernel for all others stays what it was."""
    many, few = (lower(profiled(rate, 2, 512), 4)[0].steps[1] for rate in (0.2, 0.02))
    assert many.kernel.name == few.kernel.name == "event-layer" and few.tiled is None
    assert many.tiled is not None and many.tiled.kernel.name == "tile-layer"
    work = Work((0.2,), 4, tiles=True)
    assert many.tiled.kernel.cost(work) < many.kernel.cost(work)


def test_every_processor_takes_its_steps_of_one_plan() -> None:
    plan, _ = lower(profiled(0.1), 4)
    for level in PATHS:
        steps = plan.on(largest(level).machine).steps
        assert steps[1].kernel.name == ("tile-layer" if level == "amx" else "event-layer")
        assert not any(step.tiled for step in steps)


def stored(folder: Path) -> Path:
    """The graph `profiled(0.1)`, compiled."""
    graph, file = profiled(0.1), folder / "net.snnc"
    graph.meta["timesteps"] = 4
    snnc.compile(graph, output=file, target="cpu", passes="", timesteps=4)
    return file


def test_an_artifact_runs_with_tiles_and_without(this_processor: Any, tmp_path: Path) -> None:
    graph, file = profiled(0.1), stored(tmp_path)
    theirs = ReferenceProgram(graph, 4).run(inputs(graph), record="spikes")
    for level in PATHS:
        this_processor(level)
        ours = open_program(open_artifact(file), f"cpu{{features={level}}}")
        assert_equal_runs(ours.run(inputs(graph), record="spikes"), theirs, level)
        assert isinstance(ours, CpuProgram) and bool(layers(ours)) == (level == "amx")


def test_a_plan_of_version_4_runs() -> None:
    graph = profiled(0.1)
    plan, weights = lower(graph, 4)
    data = json.loads(plan.to_json()) | {"version": 4}
    for step in data["steps"]:
        del step["tiled"]
    assert_equal(graph, load(json.dumps(data).encode(), weights, 1, open_cache()), 4)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda tiled: tiled["kernel"].update(out_channels=65), "output does not fit"),
        (lambda tiled: tiled["kernel"].update(channels=65), "inputs do not fit"),
        (lambda tiled: tiled["kernel"].update(name="add"), "add: wrong set of fields"),
        (lambda tiled: tiled["arrays"].update(weight=1 << 40), "outside"),
        (lambda tiled: tiled["arrays"].pop("weight"), "wrong set of arrays"),
        (lambda tiled: tiled.pop("arrays"), "no 'arrays'"),
    ],
)
def test_tiles_that_do_not_fit_are_refused(edit: Any, message: str) -> None:
    plan, weights = lower(profiled(0.1), 4)
    data = json.loads(plan.to_json())
    edit(data["steps"][1]["tiled"])
    with pytest.raises(ArtifactError, match=message):
        Plan.from_json(json.dumps(data).encode(), np.frombuffer(weights, np.uint8))


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_share_tiles(
    this_processor: Any, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a sample and of a batch: every thread sets its registers."""
    monkeypatch.setattr("snnc_backends.cpu.parts.NS_PER_PART", 1000)
    processor = this_processor("amx")
    for sizes in ((64, 64, 32), (512, 512, 3)):
        graph = convolved(*sizes, **SAME)
        plan, weights = lower(graph, 4, (*PLAIN, ALWAYS))
        cache = open_cache()
        alone, ours = (load(plan.to_json(), weights, n, cache, processor) for n in (1, threads))
        assert ours.parts(4) > 1 and layers(ours)
        x = inputs(graph)
        for batch in (x[:1], np.concatenate([x] * 3)):
            one, several = (each.run(batch, record="spikes") for each in (alone, ours))
            assert_equal_runs(several, one, f"{threads} threads")


def test_tiles_in_several_python_threads_and_behind_a_fork(this_processor: Any) -> None:
    graph = convolved(64, 64, 12, **SAME)
    ours, x = program(graph, 4, this_processor("amx")), inputs(graph)
    expected = ours.run(x).output
    found: list[bool] = []

    def run() -> None:
        found.extend(np.array_equal(ours.run(x).output, expected) for _ in range(20))

    others = [threading.Thread(target=run) for _ in range(3)]
    for each in others:
        each.start()
    for each in others:
        each.join()
    assert found == [True] * 60
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(ours.run(x).output, expected) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


class System:
    """Counts what it is asked."""

    def __init__(self, answer: int) -> None:
        self.answer, self.count = answer, 0

    def __call__(self) -> int:
        self.count += 1
        return self.answer


@pytest.fixture(name="asked")
def _asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[System]:
    """A system that is asked for tiles, and refuses them."""
    system = System(-1)
    monkeypatch.setattr(amx, "_asked", system)
    amx.allowed.cache_clear()
    yield system
    amx.allowed.cache_clear()


@pytest.fixture
def _tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor that has all instructions."""
    found = llvm.get_host_cpu_features()
    found.update({name: True for level in LEVELS.values() for name in level.needs})
    monkeypatch.setattr(llvm, "get_host_cpu_features", lambda: type(found)(found))


@pytest.mark.usefixtures("_tiles")
def test_the_system_is_asked_once(asked: System) -> None:
    if sys.platform != "linux" or platform.machine() != "x86_64":
        assert not host().machine.tiles and not asked.count
        return
    for _ in range(3):
        assert not host().machine.tiles and "+amx" not in host().features
    assert host("avx512").machine == largest("avx512").machine and asked.count == 1
    amx.allowed.cache_clear()
    asked.answer = 0
    for _ in range(3):
        assert host().machine.tiles and host("amx").machine.tiles
    assert asked.count == 2


@pytest.mark.usefixtures("_tiles")
def test_tiles_that_are_refused_cannot_be_asked_for(asked: System, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="lacks amx-tile, amx-int8 or the system refuses them"):
        host("amx")
    file = stored(tmp_path)
    with pytest.raises(UsageError, match=r"features=amx.*the system refuses"):
        open_program(open_artifact(file), "cpu{features=amx}")


def test_a_network_runs_where_tiles_are_refused(asked: System, tmp_path: Path) -> None:
    file, graph = stored(tmp_path), profiled(0.1)
    ours = open_program(open_artifact(file), "cpu")
    theirs = ReferenceProgram(graph, 4).run(inputs(graph), record="spikes")
    assert_equal_runs(ours.run(inputs(graph), record="spikes"), theirs, "refused")
    assert isinstance(ours, CpuProgram) and not layers(ours) and asked.count <= 1
