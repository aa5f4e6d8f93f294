"""`early-exit`: a margin from which on an answer is final."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from snnc.early_exit import EARLY_EXIT, ExitRule, first_step, margins
from snnc.ir import Graph
from snnc.transform import Pass, PassContext, PassResult
from snnc_passes.choose._reference_labels import ReferenceLabels, classes, outputs, reference_labels

TRIED = 512
"""Margins tried, at equal fractions of all that occur."""
ERRORS = 2
"""ReferenceLabels errors of the loss that must fit into the budget as well."""
ROUNDING = 1e-9
Margins = NDArray[np.float64]
Right = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class EarlyExit(Pass):
    """Calibrate when a sample may be answered before the window has passed.

    A sample leaves after the first step t at which the two largest outputs, accumulated over t
    steps, are at least `margin` apart. Margins are tried from the largest down; the last before the
    first one that loses more than `budget` points of what the whole window gives is kept in
    `graph.meta["early_exit"]`. What may be lost is accuracy on labelled validation data, else on
    labelled calibration data, else agreement with the ANN.

    The accumulated output grows with the evidence, as in a sequential probability ratio test (Wald,
    1945); the mean over the steps, which Li et al., "SEENN: Towards Temporal Spiking Early-Exit
    Neural Networks", 2023, compare by its softmax, is often largest at the first, most uncertain
    step.

    The network itself is left as it is; put the pass last. `snnc eval` reports what the rule saves.

    Attributes:
        budget: points that may be lost.
        samples: at most so many samples are run.

    Metrics: `margin`, `mean_timesteps`, `measure`, `samples`; the fraction over the `whole` window
    and at the `exit`.
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
        """Calibrate. Raises `PassError` for outputs that are no classes, or nothing to judge by."""
        held = reference_labels(graph, ctx, self.samples)
        margin, right = _answers(graph, ctx, held)
        whole = float(right[-1].mean())
        rule = ExitRule(least_margin(margin, right, self.budget / 100))
        graph.meta[EARLY_EXIT] = rule.to_meta()
        steps = first_step(margin, rule.margin)
        metrics = {
            "margin": rule.margin,
            "mean_timesteps": float(steps.mean()),
            "measure": held.measure,
            "samples": len(held.wanted),
            "whole": whole,
            "exit": _right_at(right, steps),
        }
        return PassResult(graph, metrics=metrics)


def least_margin(margin: Margins, right: Right, budget: float) -> float:
    """The least margin of those tried that, like all above it, loses no more than `budget`.

    Args:
        margin, right: (T, N) by step and sample.
        budget: fraction of all samples.
    """
    chosen = float(np.nextafter(margin.max(), np.inf))
    tried = np.unique(np.quantile(margin, np.linspace(0, 1, TRIED), method="lower"))
    for each in tried[::-1]:
        if _largest_loss(right, first_step(margin, each)) > budget + ROUNDING:
            break
        chosen = float(each)
    return chosen


def _largest_loss(right: Right, steps: NDArray[np.intp]) -> float:
    """What leaving after these steps loses, plus its standard errors; paired by sample."""
    left = right[steps - 1, np.arange(len(steps))]
    lost, won = int((right[-1] & ~left).sum()), int((left & ~right[-1]).sum())
    return (lost - won + ERRORS * sqrt(lost + won)) / len(steps)


def _answers(graph: Graph, ctx: PassContext, held: ReferenceLabels) -> tuple[Margins, Right]:
    """(T, N) margins, and whether the answer is right."""
    windows = range(1, ctx.timesteps + 1)
    found: list[Margins] = []
    answers: list[NDArray[np.intp]] = []
    for output in outputs(graph, ctx, held, ctx.timesteps, windows):
        found.append(margins(np.stack([output[t] for t in windows])))
        answers.append(np.stack([classes(output[t]) for t in windows]))
    return np.concatenate(found, 1), np.concatenate(answers, 1) == held.wanted


def _right_at(right: Right, steps: NDArray[np.intp]) -> float:
    return float(right[steps - 1, np.arange(right.shape[1])].mean())
