"""The contract of inexact backends: bounded difference, seeds, silence."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest

from snnc.ir import Conv, Graph, Linear
from snnc.plugins import BACKENDS, Registry
from snnc.target import Diagnostic, RunResult, why_inexact
from snnc.testing import assert_backend_contract, load_program, quantized_cases, sample_inputs
from snnc.testing.inexact import without_biases
from snnc.transform import PassContext

REFERENCE = Registry(BACKENDS).get("reference")()
CASES = quantized_cases()[:4]
TOLERANCE = 0.2


@dataclass(frozen=True)
class Renamed:
    """An artifact with its graph replaced."""

    inner: Any
    changed: Graph

    def graph(self) -> Graph:
        return self.changed


@dataclass(frozen=True)
class Program:
    """The reference with a fault of its own."""

    inner: Any
    fault: str

    @property
    def timesteps(self) -> int:
        return self.inner.timesteps + (self.fault == "window")

    def run(self, x: Any, **options: Any) -> RunResult:
        result = self.inner.run(x, **options)
        spikes = {node: np.array(array) for node, array in result.spikes.items()}
        if self.fault == "unseeded run" and spikes:
            first = next(iter(spikes.values()))
            first.flat[np.random.default_rng().integers(first.size)] ^= True
        if self.fault == "form" and spikes:
            spikes.popitem()
        if self.fault == "prefix" and "prefixes" in result.stats:
            prefixes = {t: array + 1 for t, array in result.stats["prefixes"].items()}
            return replace(result, stats={**result.stats, "prefixes": prefixes})
        if self.fault == "loud":
            counts = {node: array + np.uint32(1) for node, array in result.counts.items()}
            return replace(result, counts=counts)
        return replace(result, spikes=spikes)


@dataclass(frozen=True)
class Noisy:
    """Integer weights that are off by up to `off`, chosen by `chip_seed`."""

    name: ClassVar[str] = "noisy"
    off: int = 1
    chip_seed: int = 0
    fault: str = ""
    reason: str = "weights are noisy"

    @property
    def inexact(self) -> str:
        return self.reason

    def check(self, graph: Graph) -> list[Diagnostic]:
        return REFERENCE.check(graph)

    def legalize(self, graph: Graph) -> str:
        return ""

    def lower(self, graph: Graph, ctx: PassContext) -> dict[str, bytes]:
        return {}

    def load(self, artifact: Any) -> Program:
        rng = np.random.default_rng(None if self.fault == "unseeded chip" else self.chip_seed)
        graph = artifact.graph().clone()
        for node in graph.nodes:
            if isinstance(node.op, Conv | Linear):
                weight = np.asarray(graph.array(node.op.weight))
                moved = weight + rng.integers(-self.off, self.off + 1, weight.shape)
                clipped = np.clip(moved, -127, 127).astype(weight.dtype)
                graph.set_param(node.op.weight.name, clipped)
        return Program(REFERENCE.load(Renamed(artifact, graph)), self.fault)


def test_a_noisy_backend_within_its_tolerance_keeps_the_contract() -> None:
    assert_backend_contract(Noisy(), tolerance=TOLERANCE)


def test_the_test_backend_is_noisy_and_another_chip_is_another() -> None:
    graph = CASES[0].graph
    x = sample_inputs(graph, 4)
    outputs = [load_program(Noisy(20, seed), graph, 6).run(x).output for seed in (0, 0, 1)]
    assert (outputs[0] == outputs[1]).all() and (outputs[0] != outputs[2]).any()


def test_at_least_one_case_is_silent() -> None:
    for case in CASES:
        silent = without_biases(case.graph)
        zeros = np.zeros_like(sample_inputs(silent, 2))
        counts = load_program(REFERENCE, silent, 6).run(zeros, record="counts").counts
        if not any(array.any() for array in counts.values()):
            return
    raise AssertionError("no case is silent")


@pytest.mark.parametrize(
    ("backend", "message"),
    [
        (Noisy(off=100), "spikes differ from the reference"),
        (Noisy(fault="unseeded run"), "run again with the same seed"),
        (Noisy(off=50, fault="unseeded chip"), "compiled again with the same seed"),
        (Noisy(fault="form"), "instead of"),
        (Noisy(fault="window"), "timesteps is"),
        (Noisy(fault="prefix"), "as a prefix"),
        (Noisy(fault="loud"), "the reference has none"),
    ],
)
def test_the_contract_detects_every_fault(backend: Noisy, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        assert_backend_contract(backend, cases=CASES, tolerance=TOLERANCE)


def test_only_inexact_backends_take_a_tolerance() -> None:
    with pytest.raises(AssertionError, match="promises equality and needs no tolerance"):
        assert_backend_contract(REFERENCE, tolerance=0.1)
    with pytest.raises(AssertionError, match="promises equality and needs no tolerance"):
        assert_backend_contract(Noisy(reason=""), tolerance=0.1)
    with pytest.raises(AssertionError, match="promises no equality: give a tolerance"):
        assert_backend_contract(Noisy())
    with pytest.raises(AssertionError, match="is not a fraction"):
        assert_backend_contract(Noisy(), tolerance=1.5)


def test_an_inexact_backend_states_its_reason() -> None:
    assert why_inexact(Noisy()) == "weights are noisy"
    assert why_inexact(REFERENCE) == ""
    assert why_inexact(Registry(BACKENDS).get("crossbar")()) == ""
