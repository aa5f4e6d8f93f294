"""What a target's own quantisation costs: the network of real values beside that of integers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.data import first_samples
from snnc.driver.sampling import reference_program
from snnc.ir import Graph
from snnc.transform import AfterPass, Batches

SAMPLES = 64
"""Samples that both networks are run on."""


class BeforeRounding:
    """Keeps the graph that the user's own passes gave; called after each pass, as is `then`.

    Args:
        own: number of the user's passes.
        added: whether the target's passes follow them.
        then: called in any case.
        model: the graph before the passes, which both are given first.
    """

    def __init__(self, own: int, added: bool, then: AfterPass | None, model: Graph) -> None:
        self.graph: Graph | None = None
        self._last, self._then = own if added else None, then
        self(0, "model", model)

    def __call__(self, number: int, name: str, graph: Graph) -> None:
        """Keep `graph` if it is the last of the user's own passes."""
        if number == self._last:
            self.graph = graph
        if self._then is not None:
            self._then(number, name, graph)


def rounding(
    real: Graph | None, integers: Graph, data: Batches | None, timesteps: int, seed: int
) -> dict[str, Any] | None:
    """Outputs of both networks on the first samples: the report's key `rounding`.

    None without a network of real values, or without data.
    """
    if real is None or data is None:
        return None
    x = np.concatenate([x for x, _ in first_samples(data, SAMPLES)])
    ours, theirs = (_outputs(graph, x, timesteps, seed) for graph in (integers, real))
    agreement = float((ours.argmax(1) == theirs.argmax(1)).mean()) if ours.shape[1] > 1 else None
    found = {"samples": len(x), "output_max_abs_diff": float(np.abs(ours - theirs).max())}
    return found if agreement is None else {**found, "agreement": agreement}


def _outputs(
    graph: Graph, x: NDArray[np.float32], timesteps: int, seed: int
) -> NDArray[np.float32]:
    """(N, C) of the reference."""
    output = reference_program(graph).run(x, timesteps=timesteps, seed=seed).output
    return output.reshape(len(output), -1)
