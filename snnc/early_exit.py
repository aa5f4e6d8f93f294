"""Early exit: the rule by which a classifier stops before the end of the window. numpy only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

EARLY_EXIT = "early_exit"
"""Key of the rule in `graph.meta`."""
Real = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class ExitRule:
    """Stop after the first step at which the margin of the accumulated output reaches `margin`."""

    margin: float

    @classmethod
    def of(cls, meta: Mapping[str, Any]) -> ExitRule | None:
        """The rule in a graph's `meta`; None if there is none or it is malformed."""
        rule = meta.get(EARLY_EXIT)
        margin = rule.get("margin") if isinstance(rule, dict) else None  # pyright: ignore
        return cls(float(margin)) if isinstance(margin, int | float) else None

    def to_meta(self) -> dict[str, Any]:
        """The rule as JSON-able dict, which `of` reads."""
        return {"margin": self.margin}

    def steps(self, outputs: Real) -> NDArray[np.intp]:
        """(N,) steps until the rule stops, for outputs (T, N, C) after 1, 2, … T steps."""
        return first_step(margins(outputs), self.margin)


def margins(outputs: Real) -> NDArray[np.float64]:
    """(T, N) margins: largest minus second largest output, summed over the steps so far.

    Args:
        outputs: (T, N, C), C >= 2, after 1, 2, … T steps: means over those steps, as a `Readout`
            gives them.
    """
    two = np.partition(np.asarray(outputs, np.float64), -2, axis=-1)[..., -2:]
    return (two[..., 1] - two[..., 0]) * np.arange(1, len(two) + 1)[:, None]


def first_step(margin: NDArray[np.float64], least: float) -> NDArray[np.intp]:
    """(N,) first step, from 1, at which `margin` (T, N) is at least `least`; T if none is."""
    reached = margin >= least
    reached[-1] = True
    return reached.argmax(axis=0) + 1
