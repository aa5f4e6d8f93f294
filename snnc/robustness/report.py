"""What attacks found, and whether one may believe it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.robustness.methods import METHODS, WIDTHS

TRANSFER = "transfer"
POINTS = 0.01
"""Differences of accuracies that are taken for one."""
SILENT = 0.1
"""Part of the samples without a gradient from which on the attack is called masked."""


@dataclass(frozen=True)
class AttackResult:
    """What one attack did.

    Attributes:
        correct: (seeds, N) whether the network answered right, for every evaluation seed.
        silent: part of the samples where the gradient is zero everywhere; None where none is used.
    """

    correct: NDArray[np.bool_]
    silent: float | None = None

    @property
    def accuracy(self) -> float:
        """Mean over samples and seeds."""
        return float(self.correct.mean())


@dataclass(frozen=True)
class RobustnessReport:
    """The answers under all attacks.

    Attributes:
        clean: (seeds, N) whether the network answers right without an attack.
        attacks: by name; those of a source begin with `transfer`.
        eps: of the attacks.
        queries: calls of the network with a gradient, by attack.
    """

    clean: NDArray[np.bool_]
    attacks: Mapping[str, AttackResult]
    eps: float
    queries: Mapping[str, int] = field(default_factory=dict[str, int])

    @property
    def adversarial_accuracy(self) -> float:
        """The minimum over all attacks, taken for every sample (mean over its seeds)."""
        return float(self._least().mean())

    def _least(self) -> NDArray[np.float64]:
        found = [result.correct.mean(0) for result in self.attacks.values()]
        return np.minimum.reduce([self.clean.mean(0), *found])

    def report(self) -> dict[str, Any]:
        """JSON-able."""
        samples = self.clean.shape[1]
        least = self.adversarial_accuracy
        return {
            "samples": samples,
            "seeds": len(self.clean),
            "eps": self.eps,
            "clean_accuracy": float(self.clean.mean()),
            "adversarial_accuracy": least,
            "adversarial_accuracy_standard_error": sqrt(least * (1 - least) / samples),
            "attacks": {name: self._figures(name) for name in self.attacks},
            "warnings": list(self.warnings()),
        }

    def _figures(self, name: str) -> dict[str, Any]:
        result = self.attacks[name]
        figures = {"accuracy": result.accuracy, "queries": self.queries.get(name)}
        figures["without_gradient"] = result.silent
        return {key: value for key, value in figures.items() if value is not None}

    def warnings(self) -> tuple[str, ...]:
        """Signs that gradients mask the weakness of the network: the claim is then too kind.

        After Carlini et al., "On Evaluating Adversarial Robustness", 2019, section 5.
        """
        white = {n: r for n, r in self.attacks.items() if self._is(n, "white box")}
        if not white:
            return ("no attack that knows the network was run: this is no claim of robustness",)
        told = [*self._silent(white), *self._no_better_than_noise(white)]
        strongest = min(result.accuracy for result in white.values())
        told += [
            f"{name} ({result.accuracy:.1%}), which uses no gradient of this network, is stronger "
            f"than every attack that does ({strongest:.1%}): masked"
            for name, result in self.attacks.items()
            if not (name in white or self._is(name, "control"))
            and result.accuracy < strongest - POINTS
        ]
        return (*told, *self._unfinished(), *self._of_the_width())

    def _is(self, name: str, knowledge: str) -> bool:
        return name in METHODS and METHODS[name].knowledge == knowledge

    def _silent(self, white: Mapping[str, AttackResult]) -> list[str]:
        return [
            f"{name}: the gradient is zero on {result.silent:.0%} of the samples: masked"
            for name, result in white.items()
            if result.silent is not None and result.silent > SILENT
        ]

    def _no_better_than_noise(self, white: Mapping[str, AttackResult]) -> list[str]:
        noise = self.attacks.get("noise")
        if noise is None:
            return []
        return [
            f"{name} ({result.accuracy:.1%}) is no stronger than noise of the same size "
            f"({noise.accuracy:.1%}): masked, or eps is too small to tell"
            for name, result in white.items()
            if result.accuracy > noise.accuracy - POINTS and noise.accuracy > POINTS
        ]

    def _unfinished(self) -> list[str]:
        half, full = self.attacks.get("adaptive-half"), self.attacks.get("adaptive")
        if half is None or full is None or half.accuracy - full.accuracy <= 2 * POINTS:
            return []
        gain = f"{half.accuracy:.1%} with half of the steps, {full.accuracy:.1%} with all"
        return [f"adaptive still gains by more steps ({gain}): give more --steps"]

    def _of_the_width(self) -> list[str]:
        names = [f"pgd-width-{width:g}" for width in WIDTHS]
        widths = {name: self.attacks[name].accuracy for name in names if name in self.attacks}
        pgd = self.attacks.get("pgd")
        if pgd is None or not widths:
            return []
        best = min(widths, key=lambda name: widths[name])
        if widths[best] >= pgd.accuracy - 2 * POINTS:
            return []
        return [
            f"{best} ({widths[best]:.1%}) is stronger than pgd with the chosen derivative "
            f"({pgd.accuracy:.1%}): the derivative masks"
        ]
