"""The backend contract holds for our backends, and detects a wrong spike or integer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from snnc.ir import Graph
from snnc.plugins import BACKENDS, Registry
from snnc.target import Diagnostic, Program, RunResult
from snnc.testing import assert_backend_contract, quantized_cases
from snnc.transform import PassContext


@pytest.mark.parametrize("name", ["reference", "cpu"])
def test_the_backends_we_ship_keep_the_contract(name: str) -> None:
    assert_backend_contract(Registry(BACKENDS).get(name)())


@dataclass(frozen=True)
class Tampered:
    """A program whose results are changed after the run."""

    inner: Program
    fault: str

    @property
    def timesteps(self) -> int:
        return self.inner.timesteps

    def run(self, x: Any, **options: Any) -> RunResult:
        result = self.inner.run(x, **options)
        if self.fault == "readout" and result.readout is not None:
            readout = result.readout.copy()
            readout.flat[-1] += 1
            return replace(result, readout=readout)
        if self.fault == "spike" and result.spikes:
            node, spikes = next(iter(result.spikes.items()))
            flipped = np.array(spikes)
            flipped.flat[-1] = 1 - flipped.flat[-1]
            return replace(result, spikes={**result.spikes, node: flipped})
        return result


@dataclass(frozen=True)
class Faulty:
    """The reference with a fault."""

    fault: str
    name = "faulty"

    def check(self, graph: Graph) -> list[Diagnostic]:
        return Registry(BACKENDS).get("reference")().check(graph)

    def legalize(self, graph: Graph) -> str:
        return ""

    def lower(self, graph: Graph, ctx: PassContext) -> dict[str, bytes]:
        return Registry(BACKENDS).get("reference")().lower(graph, ctx)

    def load(self, artifact: Any) -> Tampered:
        return Tampered(Registry(BACKENDS).get("reference")().load(artifact), self.fault)


@pytest.mark.parametrize(
    ("fault", "message"), [("readout", "readout: 1 of"), ("spike", "spikes of .*: 1 of")]
)
def test_one_wrong_integer_is_enough(fault: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        assert_backend_contract(Faulty(fault), cases=quantized_cases()[:1])
