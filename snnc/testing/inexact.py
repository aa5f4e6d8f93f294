"""Comparing runs that need not be equal: how much differs, the same form, silence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from snnc.ir import Graph, Weighted
from snnc.target import RunResult


@dataclass
class Difference:
    """How many spikes of several runs were compared, and how many of them differ."""

    spikes: int = 0
    differing: int = 0

    def add(self, found: RunResult, expected: RunResult) -> None:
        """Count every neuron at every step of two runs of the same form."""
        for node, spikes in expected.spikes.items():
            self.spikes += spikes.size
            self.differing += int(np.count_nonzero(found.spikes[node] != spikes))

    def require(self, tolerance: float) -> None:
        """Assert that at most the fraction `tolerance` differs."""
        rate = self.differing / max(1, self.spikes)
        assert rate <= tolerance, (
            f"{self.differing} of {self.spikes} spikes differ from the reference, {rate:.3%}; "
            f"the tolerance is {tolerance:.3%}"
        )


def assert_same_form(found: RunResult, expected: RunResult, what: str) -> None:
    """Assert that two runs record the same nodes, in arrays of the same types and shapes."""
    assert _form(found) == _form(expected), f"{what}: {_form(found)} instead of {_form(expected)}"


def assert_silent(found: RunResult, expected: RunResult, what: str) -> None:
    """Assert that a run has no spikes, provided that the reference has none anywhere."""
    if any(counts.any() for counts in expected.counts.values()):
        return
    loud = {node: int(counts.sum()) for node, counts in found.counts.items() if counts.any()}
    assert not loud, f"{what}: spikes out of silence: {loud}"


def without_biases(graph: Graph) -> Graph:
    """A copy whose layers add no bias."""
    silent = graph.clone()
    for node in silent.nodes:
        if isinstance(node.op, Weighted) and node.op.bias is not None:
            bias = np.asarray(silent.array(node.op.bias))
            silent.set_param(node.op.bias.name, np.zeros_like(bias))
    return silent


def _form(run: RunResult) -> dict[str, Any]:
    arrays = {"output": run.output, "readout": run.readout}
    arrays |= {f"counts of {node}": each for node, each in run.counts.items()}
    arrays |= {f"spikes of {node}": each for node, each in run.spikes.items()}
    return {
        name: each if each is None else (each.dtype, each.shape) for name, each in arrays.items()
    }
