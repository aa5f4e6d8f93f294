"""The same plan on every set of instructions: run where this processor has it, else emitted."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snnc
from snnc.artifact import open_artifact
from snnc.driver import open_program
from snnc.ir import (
    EncodeDirect,
    EncodePoisson,
    Graph,
    Input,
    Linear,
    Neuron,
    Readout,
    Stage,
)
from snnc.native.cache import open_cache
from snnc.native.jit import LEVELS, NEON, Host, assembly, host, largest
from snnc.target import RunResult
from snnc.testing import assert_equal_runs, quantized_cases, sample_inputs, snn_cases
from snnc_backends.cpu.kernels import KERNELS, PLAIN, DenseLayer, EventLayer, Kernel, TileLayer
from snnc_backends.cpu.lower import lower
from snnc_backends.cpu.module import build
from snnc_backends.cpu.plan import Plan
from snnc_backends.cpu.program import load

WITHOUT_VNNI = "avx512 without vnni"
"""AVX-512 as processors before VNNI have it."""
PATHS = (*LEVELS, WITHOUT_VNNI)


def target(path: str, level: Callable[[str], Host]) -> Host:
    """The processor of a path, from that of a level."""
    if path != WITHOUT_VNNI:
        return level(path)
    found = level("avx512")
    return replace(found, features=found.features.replace(",+avx512vnni", ""))


def preferring(kind: type[Kernel]) -> tuple[type[Kernel], ...]:
    """The kernels, of which one is taken wherever it fits."""
    fields = {"cost": lambda *_: 0.0, "tiled": False}
    return (*PLAIN, type(kind.__name__, (kind,), fields))


def layers() -> Graph:
    """Signed pixels, layers of more channels than a vector has, neurons that wait and others."""
    rng, graph = np.random.default_rng(0), Graph(Stage.SNN)

    def weight(*shape: int) -> Any:
        values = rng.integers(-127, 128, shape).astype(np.int8)
        return graph.set_param(f"w{len(graph.params)}", values)

    graph.add("x", Input(shape=(48,)))
    graph.add("encode", EncodeDirect(scale=1 / 100, lo=-127, hi=127), ["x"])
    graph.add("first", Linear(weight=weight(144, 48)), ["encode"])
    graph.add("a", Neuron(threshold=3000, wait=1), ["first"])
    graph.add("again", Linear(weight=weight(144, 144)), ["a"])
    graph.add("b", Neuron(threshold=900), ["again"])
    graph.add("out", Readout(), ["b"])
    graph.outputs = ("out",)
    return graph


def one_layer() -> Graph:
    """Spikes, a layer, neurons."""
    graph = Graph(Stage.SNN)
    graph.add("x", Input(shape=(64,)))
    graph.add("encode", EncodePoisson(scale=1.0), ["x"])
    weight = np.random.default_rng(0).integers(-127, 128, (144, 64)).astype(np.int8)
    graph.add("layer", Linear(weight=graph.set_param("w", weight)), ["encode"])
    graph.add("a", Neuron(threshold=3000), ["layer"])
    graph.add("out", Readout(), ["a"])
    graph.outputs = ("out",)
    return graph


def named(cases: Any, name: str) -> Graph:
    return next(case.graph for case in cases() if case.name == name)


def plans() -> dict[str, tuple[Graph, Plan, bytes]]:
    """Graphs with their plans, which have all kernels there are."""
    mixed, real = named(quantized_cases, "branches"), named(snn_cases, "bottlenecks")
    return {
        "events": (layers(), *lower(layers(), 4, preferring(EventLayer))),
        "dense": (layers(), *lower(layers(), 4, preferring(DenseLayer))),
        "tiles": (layers(), *lower(layers(), 4, preferring(TileLayer))),
        "mixed": (mixed, *lower(mixed, 4)),
        "real": (real, *lower(real, 4)),
    }


@pytest.fixture(scope="module", name="expected")
def _expected() -> dict[str, RunResult]:
    """What this processor gives with all that it has."""
    return {name: run(*each, host()) for name, each in plans().items()}


def run(graph: Graph, plan: Plan, weights: bytes, processor: Host) -> RunResult:
    x = 2 * sample_inputs(graph, 3) - 1
    return load(plan.to_json(), weights, 1, open_cache(), processor).run(x, record="spikes")


def test_these_plans_have_all_kernels() -> None:
    used = {step.kernel.name for _, plan, _ in plans().values() for step in plan.steps}
    assert used == set(KERNELS)


@pytest.mark.parametrize("path", PATHS)
def test_every_path_of_this_processor_gives_the_same(
    path: str, expected: dict[str, RunResult], this_processor: Callable[[str], Host]
) -> None:
    processor = target(path, this_processor)
    for name, each in plans().items():
        assert_equal_runs(run(*each, processor), expected[name], f"{path}: {name}")
        assert any(spikes.any() for spikes in expected[name].spikes.values())


@pytest.fixture(scope="module", name="emitted")
def _emitted() -> dict[tuple[str, str], str]:
    """Machine code as text, of event layers and dense layers, for processors there may not be."""
    processors = {**{path: target(path, largest) for path in PATHS}, "neon": NEON}
    return {
        (name, path): assembly(build(plan, processor.machine), processor)
        for name, kind in (("events", EventLayer), ("dense", DenseLayer), ("tiles", TileLayer))
        for plan, _ in [lower(one_layer(), 4, preferring(kind))]
        for path, processor in processors.items()
    }


INSTRUCTIONS = {
    ("events", "sse2"): r"\bpaddw\s.*xmm",
    ("events", "avx2"): r"\bvpaddw\s.*ymm",
    ("events", "avx512"): r"\bvpaddw\s.*zmm",
    ("events", WITHOUT_VNNI): r"\bvpaddw\s.*zmm",
    ("events", "neon"): r"\badd\s+v\d+\.8h, v\d+\.8h, v\d+\.8h",
    ("dense", "sse2"): r"\bpmaddwd\s.*xmm",
    ("dense", "avx2"): r"\bvpmaddwd\s.*ymm",
    ("dense", "avx512"): r"\bvpdpbusd\s.*zmm",
    ("dense", WITHOUT_VNNI): r"\bvpmaddwd\s.*[yz]mm",
    ("tiles", "avx2"): r"\bvpmaddwd\s.*ymm",
    ("tiles", "avx512"): r"\bvpdpbusd\s.*zmm",
    ("tiles", "amx"): r"\btdpbusd\s+%tmm5, %tmm4, %tmm0",
    ("dense", "neon"): r"\bsmlal2?\s+v\d+\.4s, v\d+\.[48]h, v\d+\.[48]h",
}


@pytest.mark.parametrize(("kind", "path"), INSTRUCTIONS, ids=" ".join)
def test_code_is_made_of_the_instructions_of_the_path(
    kind: str, path: str, emitted: dict[tuple[str, str], str]
) -> None:
    text = emitted[kind, path]
    assert re.search(INSTRUCTIONS[kind, path], text)
    if path not in ("avx512", "amx"):
        assert "vpdpbusd" not in text
    own = [text.count(name) for name in ("ldtilecfg", "tilerelease")]
    assert own == ([1, 1] if (kind, path) == ("tiles", "amx") else [0, 0])
    if path in ("sse2", "avx2"):
        assert "zmm" not in text
    if path == "neon":
        assert not re.search("[xyz]mm", text)


def test_an_artifact_of_one_machine_runs_on_a_lesser_one(tmp_path: Path) -> None:
    """A plan says nothing of the processor that it was made on."""
    graph, file = layers(), tmp_path / "net.snnc"
    graph.meta["timesteps"] = 4
    snnc.compile(graph, output=file, target="cpu", passes="", timesteps=4)
    x = 2 * sample_inputs(graph, 3) - 1
    own = snnc.load(file).run(x, record="spikes")
    lesser = open_program(open_artifact(file), "cpu{features=sse2}").run(x, record="spikes")
    assert_equal_runs(lesser, own, "sse2")
    made = open_artifact(file)
    other = tmp_path / "other.snnc"
    snnc.compile(graph, output=other, target="cpu{features=sse2}", passes="", timesteps=4)
    for name in ("cpu/plan.json", "cpu/weights.bin"):
        assert open_artifact(other).read(name) == made.read(name)
