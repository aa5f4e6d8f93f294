"""When a classifier that answers at every step may stop early. numpy only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

EARLY_EXIT = "early_exit"
"""Key of `graph.meta` under which a rule is kept."""
Real = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class ExitRule:
    """Stop after the first step whose accumulated output is decided by at least `margin`."""

    margin: float

    @classmethod
    def of(cls, meta: Mapping[str, Any]) -> ExitRule | None:
        """The rule in a graph's `meta`; None without one, or with one that is not understood."""
        kept = meta.get(EARLY_EXIT)
        margin = kept.get("margin") if isinstance(kept, dict) else None  # pyright: ignore
        return cls(float(margin)) if isinstance(margin, int | float) else None

    def to_meta(self) -> dict[str, Any]:
        """What `of` reads, JSON-able."""
        return {"margin": self.margin}

    def steps(self, outputs: Real) -> NDArray[np.intp]:
        """(N,) steps after which the rule stops, of outputs (T, N, C) after 1, 2, … T steps."""
        return first_step(margins(outputs), self.margin)


def margins(outputs: Real) -> NDArray[np.float64]:
    """(T, N) the largest less the second largest value of what has accumulated by each step.

    Args:
        outputs: (T, N, C), of two classes or more, after 1, 2, … T steps: means over the steps,
            as a `Readout` gives them.
    """
    two = np.partition(np.asarray(outputs, np.float64), -2, axis=-1)[..., -2:]
    return (two[..., 1] - two[..., 0]) * np.arange(1, len(two) + 1)[:, None]


def first_step(margin: NDArray[np.float64], least: float) -> NDArray[np.intp]:
    """(N,) the first step t, from 1, at which (T, N) reaches `least`; T if none does."""
    reached = margin >= least
    reached[-1] = True
    return reached.argmax(axis=0) + 1
