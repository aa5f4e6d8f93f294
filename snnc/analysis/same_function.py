"""Whether two graphs compute the same: the check behind passes that preserve the function."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from snnc.analysis.energy import multiplications
from snnc.analysis.equivalence import FLOAT_TOLERANCE
from snnc.ir import Graph, Neuron, Stage

if TYPE_CHECKING:
    from torch import Tensor

SAMPLES = 2
OUTPUT_TOLERANCE = 1e-3
"""Largest difference of an output that passes, as a fraction of the largest output."""
LONGEST_WINDOW = 4
"""Steps at stage `snn`: all that a step depends on has happened by then in nearly every network."""
BUDGET = 4 * 10**9
"""Products of weights in one comparison; some seconds of one core."""


@dataclass(frozen=True, kw_only=True)
class SameFunction:
    """Runs two graphs on the same random inputs and says where they differ.

    Inputs are two samples, uniform in [0, 1); everything is computed in float64. At stage `ann` the
    outputs may differ by `OUTPUT_TOLERANCE`. At stage `snn` populations of the same name may differ
    in `FLOAT_TOLERANCE` of their spikes, and where no spike differs, the outputs as at stage `ann`;
    integer graphs must be equal. Random encoders draw the same in both.

    Attributes:
        seed: of the inputs and of random encoders.
        timesteps: the window of graphs that know none; of a long one the first steps are run.
        budget: above so many products nothing is run, which is logged.
        log: where to tell that.
    """

    seed: int = 0
    timesteps: int = 8
    budget: int = BUDGET
    log: logging.Logger = field(default_factory=lambda: logging.getLogger("snnc"))

    def __call__(self, before: Graph, after: Graph) -> str | None:
        """Why the two are not the same function; None if they are, or were not compared."""
        steps = min(before.meta.get("timesteps", self.timesteps), LONGEST_WINDOW)
        runs = SAMPLES * (1 if before.stage is Stage.ANN else steps)
        products = runs * sum(multiplications(each) for each in (before, after))
        if products > self.budget:
            self.log.info(
                "not compared with the graph before: %.2g products, above %.2g",
                products,
                self.budget,
            )
            return None
        shapes = [each.type_of(each.input).shape for each in (before, after)]
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

        names = [n.name for n in before if isinstance(n.op, Neuron) and n.name in after]
        names = [name for name in names if isinstance(after.node(name).op, Neuron)]
        with torch.no_grad():
            old, new = (
                run_snn(each, x, timesteps=steps, keep=names, seed=self.seed)
                for each in (before, after)
            )
        exact = before.type_of(before.outputs[0]).quantized
        reason, differing = _spikes(names, old.values, new.values, exact)
        if reason is not None or differing:
            return reason
        return _outputs([*old.outputs.values()], [*new.outputs.values()], exact)


def _of_anns(before: Graph, after: Graph, x: NDArray[np.float32]) -> str | None:
    import torch

    from snnc.interp import run_ann

    with torch.no_grad():
        old, new = (run_ann(each, x, dtype=torch.float64) for each in (before, after))
    return _outputs(
        [old[name] for name in before.outputs], [new[name] for name in after.outputs], exact=False
    )


def _spikes(
    names: list[str], old: Mapping[str, Tensor], new: Mapping[str, Tensor], exact: bool
) -> tuple[str | None, int]:
    """The first reason in graph order, and how many spikes differ in all."""
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
    for number, (expected, found) in enumerate(zip(old, new, strict=True)):
        if expected.shape != found.shape:
            return f"output {number} has another shape"
        difference = float((expected - found).abs().max())
        largest = float(expected.abs().max())
        if not difference <= (0 if exact else OUTPUT_TOLERANCE * largest):
            return f"output {number} differs by {difference:.3g} where the largest is {largest:.3g}"
    return None
