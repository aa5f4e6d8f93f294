"""Accuracy and mean number of steps under an early-exit rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.early_exit import ExitRule


@dataclass
class Exits:
    """Sums over samples that exit by `rule`."""

    rule: ExitRule
    samples: int = 0
    left: dict[int, int] = field(default_factory=dict[int, int])
    right: int | None = None
    agree: int | None = None

    def add(
        self,
        outputs: Mapping[int, NDArray[np.floating[Any]]],
        y: NDArray[np.generic] | None,
        expected: NDArray[np.intp] | None,
    ) -> None:
        """Count a batch.

        Args:
            outputs: (N, C) after 1, 2, … T steps.
            y: (N,) labels, or None.
            expected: (N,) classes of the ANN, or None.
        """
        stacked = np.stack([outputs[t] for t in sorted(outputs)])
        steps = self.rule.steps(stacked)
        answer = stacked[steps - 1, np.arange(len(steps))].argmax(axis=1)
        for t, number in zip(*np.unique(steps, return_counts=True), strict=True):
            self.left[int(t)] = self.left.get(int(t), 0) + int(number)
        if y is not None:
            self.right = (self.right or 0) + int((answer == y).sum())
        if expected is not None:
            self.agree = (self.agree or 0) + int((answer == expected).sum())
        self.samples += len(steps)

    def report(self) -> dict[str, Any]:
        """JSON-able, keys as `early_exit` in docs/report.md."""
        report: dict[str, Any] = {
            "margin": self.rule.margin,
            "mean_timesteps": sum(t * n for t, n in self.left.items()) / self.samples,
        }
        if self.right is not None:
            report["accuracy"] = self.right / self.samples
        if self.agree is not None:
            report["agreement"] = self.agree / self.samples
        report["exits"] = [
            {"timesteps": t, "fraction": number / self.samples}
            for t, number in sorted(self.left.items())
        ]
        return report
