"""`early-exit`: the margin at which a prediction is final before the window ends."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from snnc.early_exit import EARLY_EXIT, ExitRule, first_step, margins
from snnc.ir import Graph
from snnc.transform import Pass, PassContext, PassResult
from snnc_passes._reference import Reference
from snnc_passes.choose._classifier_reference import classifier_reference

TRIED = 512
"""Number of candidate margins: quantiles of all margins that occur."""
ERRORS = 2
"""Number of standard errors added to the estimated loss."""
ROUNDING = 1e-9
Margins = NDArray[np.float64]
Right = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class EarlyExit(Pass):
    """Calibrate the margin at which a sample may exit before the end of the window.

    A sample exits after the first step t at which the two largest outputs, accumulated over t
    steps, differ by at least `margin`. Margins are tried in decreasing order; the last one before
    the loss first exceeds `budget` is stored in `graph.meta["early_exit"]`. The loss is that of
    accuracy on labelled validation data, else on labelled calibration data, else of agreement with
    the ANN, compared with the whole window and including two standard errors.

    The accumulated output grows with the evidence, as in a sequential probability ratio test (Wald,
    1945). The mean over the steps, whose softmax is used by Li et al., "SEENN: Towards Temporal
    Spiking Early-Exit Neural Networks", 2023, is often largest at the first, most uncertain step.

    The network itself does not change; put the pass last. `snnc eval` reports the steps saved.

    Attributes:
        budget: percentage points that may be lost.
        samples: maximum number of samples.

    Metrics: `margin`, `mean_timesteps`, `measure`, `samples`; `whole` and `exit`, the measured
    fraction for the whole window and with early exit.
    """

    name: ClassVar[str] = "early-exit"
    needs: ClassVar[frozenset[str]] = frozenset({"validation|calibration"})
    budget: float = 0.5
    samples: int = 1024

    def __post_init__(self) -> None:
        if not 0 <= self.budget <= 100:
            raise ValueError(f"budget={self.budget} is not from 0 to 100 points")
        if self.samples < 1:
            raise ValueError(f"samples={self.samples} is not positive")

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        """Calibrate. Raises `PassError` if outputs are no classes, or without labels and ANN."""
        reference = classifier_reference(graph, ctx, self.samples)
        margin, right = _predictions(graph, ctx, reference)
        rule = ExitRule(least_margin(margin, right, self.budget / 100))
        graph.meta[EARLY_EXIT] = rule.to_meta()
        steps = first_step(margin, rule.margin)
        metrics = {
            "margin": rule.margin,
            "mean_timesteps": float(steps.mean()),
            "measure": reference.measure,
            "samples": len(reference),
            "whole": float(right[-1].mean()),
            "exit": _right_at(right, steps),
        }
        return PassResult(graph, metrics=metrics)


def least_margin(margin: Margins, right: Right, budget: float) -> float:
    """The least candidate margin such that it and all larger ones lose at most `budget`.

    Args:
        margin, right: (T, N), margin by step and sample, and whether the prediction is right.
        budget: allowed loss as a fraction of all samples.
    """
    chosen = float(np.nextafter(margin.max(), np.inf))
    tried = np.unique(np.quantile(margin, np.linspace(0, 1, TRIED), method="lower"))
    for candidate in tried[::-1]:
        if _largest_loss(right, first_step(margin, candidate)) > budget + ROUNDING:
            break
        chosen = float(candidate)
    return chosen


def _largest_loss(right: Right, steps: NDArray[np.intp]) -> float:
    """The loss by exits after these steps plus `ERRORS` standard errors, paired by sample."""
    exited = right[steps - 1, np.arange(len(steps))]
    lost, won = int((right[-1] & ~exited).sum()), int((exited & ~right[-1]).sum())
    return (lost - won + ERRORS * sqrt(lost + won)) / len(steps)


def _predictions(graph: Graph, ctx: PassContext, reference: Reference) -> tuple[Margins, Right]:
    """(T, N) margins, and whether the prediction is right."""
    windows = range(1, ctx.timesteps + 1)
    by_chunk: list[Margins] = []
    right: list[Right] = []
    for rows, by_window in reference.runs(graph, ctx, windows):
        outputs = np.stack([by_window[t] for t in windows])
        by_chunk.append(margins(outputs))
        right.append(reference.right(outputs, rows))
    return np.concatenate(by_chunk, 1), np.concatenate(right, 1)


def _right_at(right: Right, steps: NDArray[np.intp]) -> float:
    return float(right[steps - 1, np.arange(right.shape[1])].mean())
