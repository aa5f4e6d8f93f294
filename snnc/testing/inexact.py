"""Comparison of runs that need not be equal: fraction of differing spikes, form, silence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from snnc.ir import Graph, Weighted
from snnc.target import RunResult


@dataclass
class Difference:
    """The number of compared spikes over several runs, and of differing ones."""

    spikes: int = 0
    differing: int = 0

    def add(self, actual: RunResult, expected: RunResult) -> None:
        """Compare every neuron at every step of two runs with the same nodes and shapes."""
        for node, spikes in expected.spikes.items():
            self.spikes += spikes.size
            self.differing += int(np.count_nonzero(actual.spikes[node] != spikes))

    def require(self, tolerance: float) -> None:
        """Assert that at most the fraction `tolerance` of the spikes differs."""
        rate = self.differing / max(1, self.spikes)
        assert rate <= tolerance, (
            f"{self.differing} of {self.spikes} spikes differ from the reference, {rate:.3%}; "
            f"the tolerance is {tolerance:.3%}"
        )


def assert_same_form(actual: RunResult, expected: RunResult, what: str) -> None:
    """Assert that two runs record the same nodes, in arrays of the same types and shapes."""
    assert _form(actual) == _form(expected), f"{what}: {_form(actual)} instead of {_form(expected)}"


def assert_silent(actual: RunResult, expected: RunResult, what: str) -> None:
    """Assert that a run has no spikes if the reference has none."""
    if any(counts.any() for counts in expected.counts.values()):
        return
    loud = {node: int(counts.sum()) for node, counts in actual.counts.items() if counts.any()}
    assert not loud, f"{what}: spikes in {loud}, where the reference has none"


def without_biases(graph: Graph) -> Graph:
    """A copy with all biases of layers set to zero."""
    silent = graph.clone()
    for node in silent.nodes:
        if isinstance(node.op, Weighted) and node.op.bias is not None:
            bias = np.asarray(silent.array(node.op.bias))
            silent.set_param(node.op.bias.name, np.zeros_like(bias))
    return silent


def _form(run: RunResult) -> dict[str, Any]:
    arrays = {"output": run.output, "readout": run.readout}
    arrays |= {f"counts of {node}": array for node, array in run.counts.items()}
    arrays |= {f"spikes of {node}": array for node, array in run.spikes.items()}
    return {
        name: array if array is None else (array.dtype, array.shape)
        for name, array in arrays.items()
    }
