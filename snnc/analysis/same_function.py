"""Check that two graphs compute the same function, for passes that declare to preserve it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from snnc.analysis.energy import multiplications
from snnc.analysis.equivalence import FLOAT_TOLERANCE
from snnc.ir import AnyNeuron, Graph, Stage, broadcast_to_sample

if TYPE_CHECKING:
    from torch import Tensor

SAMPLES = 2
OUTPUT_TOLERANCE = 1e-3
"""Largest difference of an output that passes, as a fraction of the largest output."""
LONGEST_WINDOW = 4
"""Most steps run at stage `snn`; a difference between two graphs nearly always shows by then."""
OFF_TIES = 0.0123456789
"""How much higher potentials start, as a fraction of the threshold, when real graphs are compared.

A threshold is often a whole multiple of what a spike adds: leaky activations behind each other, a
batch norm with powers of two. Potentials then reach it exactly, and the last digit of a folded
factor decides about many spikes. From elsewhere they do not."""
BUDGET = 4 * 10**9
"""Most multiplications by weights in one comparison; a few seconds on one core."""


@dataclass(frozen=True, kw_only=True)
class SameFunction:
    """Runs two graphs on the same random inputs and says where they differ.

    Inputs are two samples, uniform in [0, 1); everything is computed in float64. At stage `ann` the
    outputs may differ by `OUTPUT_TOLERANCE`. At stage `snn` populations of the same name may differ
    in `FLOAT_TOLERANCE` of their spikes; if no spike differs, outputs are compared as at stage
    `ann`. In real graphs potentials start `OFF_TIES` thresholds higher. Integer graphs must be
    equal. Random encoders draw the same numbers in both.

    Attributes:
        seed: of the inputs and of random encoders.
        timesteps: the window of graphs without one in `meta`; at most `LONGEST_WINDOW` steps run.
        budget: a comparison of more multiplications is skipped, and the log says so.
        log: the logger for that message.
    """

    seed: int = 0
    timesteps: int = 8
    budget: int = BUDGET
    log: logging.Logger = field(default_factory=lambda: logging.getLogger("snnc"))

    def __call__(self, before: Graph, after: Graph) -> str | None:
        """The first difference found; None if there is none, or the graphs were not compared."""
        steps = min(before.meta.get("timesteps", self.timesteps), LONGEST_WINDOW)
        runs = SAMPLES * (1 if before.stage is Stage.ANN else steps)
        products = runs * sum(multiplications(graph) for graph in (before, after))
        if products > self.budget:
            self.log.info(
                "not compared with the graph before: %.2g products, above %.2g",
                products,
                self.budget,
            )
            return None
        shapes = [graph.type_of(graph.input).shape for graph in (before, after)]
        if shapes[0] != shapes[1]:
            return f"the input has shape {shapes[1]} instead of {shapes[0]}"
        rng = np.random.default_rng(self.seed)
        x = rng.random((SAMPLES, *shapes[0]), dtype=np.float32)
        if before.stage is Stage.ANN:
            return _of_anns(before, after, x)
        return self._of_snns(before, after, x, steps)

    def _of_snns(
        self, before: Graph, after: Graph, x: NDArray[np.float32], steps: int
    ) -> str | None:
        import torch

        from snnc.interp import run_snn

        names = [n.name for n in before if isinstance(n.op, AnyNeuron) and n.name in after]
        names = [name for name in names if isinstance(after.node(name).op, AnyNeuron)]
        exact = before.type_of(before.outputs[0]).quantized
        graphs = (before, after) if exact else (_off_ties(before), _off_ties(after))
        with torch.no_grad():
            old, new = (
                run_snn(graph, x, timesteps=steps, keep=names, seed=self.seed) for graph in graphs
            )
        reason, differing = _spikes(names, old.values, new.values, exact)
        if reason is not None or differing:
            return reason
        return _outputs([*old.outputs.values()], [*new.outputs.values()], exact)


def _off_ties(graph: Graph) -> Graph:
    """A copy in which every potential starts `OFF_TIES` thresholds higher."""
    twin = graph.clone()
    for node in twin.nodes:
        if isinstance(node.op, AnyNeuron):
            shape = twin.type_of(node.name).shape
            threshold, start = (
                np.asarray(broadcast_to_sample(twin.array(value), shape), np.float64)
                for value in (node.op.threshold, node.op.v_init)
            )
            raised = np.broadcast_to(start + OFF_TIES * threshold, shape)
            v_init = twin.own_param(node.name, "v_init", raised)
            twin.replace_op(node.name, replace(node.op, v_init=v_init))
    return twin


def _of_anns(before: Graph, after: Graph, x: NDArray[np.float32]) -> str | None:
    import torch

    from snnc.interp import run_ann

    with torch.no_grad():
        old, new = (run_ann(graph, x, dtype=torch.float64) for graph in (before, after))
    return _outputs(
        [old[name] for name in before.outputs], [new[name] for name in after.outputs], exact=False
    )


def _spikes(
    names: list[str], old: Mapping[str, Tensor], new: Mapping[str, Tensor], exact: bool
) -> tuple[str | None, int]:
    """The first difference in graph order, and how many spikes differ up to there."""
    total = 0
    for name in names:
        if old[name].shape[2:] != new[name].shape[2:]:
            return f"{name} has another shape", total
        differing = int((old[name] != new[name]).sum())
        total += differing
        rate = differing / old[name].numel()
        if rate > (0 if exact else FLOAT_TOLERANCE):
            return f"{rate:.2%} of the spikes of {name} differ", total
    return None, total


def _outputs(old: list[Tensor], new: list[Tensor], exact: bool) -> str | None:
    if len(old) != len(new):
        return f"{len(new)} outputs instead of {len(old)}"
    for number, (expected, actual) in enumerate(zip(old, new, strict=True)):
        if expected.shape != actual.shape:
            return f"output {number} has another shape"
        difference = float((expected - actual).abs().max())
        largest = float(expected.abs().max())
        if not difference <= (0 if exact else OUTPUT_TOLERANCE * largest):
            return f"output {number} differs by {difference:.3g} where the largest is {largest:.3g}"
    return None
