"""Sums over samples for firing rates, silence, saturation and errors."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass
class FiringTally:
    """Event counts of one node; a negative event counts as an event.

    Attributes:
        events: number of events over all samples and steps.
        elements: denominator of the rate: elements times samples, times steps for a rate per step.
        samples: number of samples.
        saturated: number of elements times samples that fired at every step.
        fired: (*shape) whether an element fired for any sample; None if unknown.
    """

    events: float = 0
    elements: int = 0
    samples: int = 0
    saturated: int = 0
    fired: NDArray[np.bool_] | None = None

    def add(
        self,
        events: float,
        elements: int,
        samples: int,
        fired: NDArray[np.bool_] | None = None,
        saturated: int = 0,
    ) -> None:
        """Add a batch; `fired` (*shape), whether an element fired for any sample, if known."""
        self.events += events
        self.elements += elements
        self.samples += samples
        self.saturated += saturated
        if fired is not None:
            self.fired = fired if self.fired is None else self.fired | fired

    @property
    def rate(self) -> float:
        """Events per element; 0 where nothing was counted."""
        return self.events / self.elements if self.elements else 0.0

    @property
    def per_sample(self) -> float:
        """Events per sample."""
        return self.events / self.samples

    @property
    def silent(self) -> float:
        """Fraction of the elements that fired for no sample."""
        return 1.0 if self.fired is None else 1 - float(self.fired.mean())

    @property
    def saturation(self) -> float:
        """Fraction of elements and samples that fired at every step."""
        return self.saturated / self.elements


@dataclass
class ErrorTally:
    """A relative error: sqrt(sum error^2 / sum expected^2).

    Attributes:
        squares: sum of the squared errors.
        power: sum of the squared expected values.
    """

    squares: float = 0.0
    power: float = 0.0

    def add(self, error: NDArray[np.floating[Any]], power: float) -> None:
        """Add the errors of a batch; `power` is `squares_of` the expected values."""
        self.squares += squares_of(error)
        self.power += power

    @property
    def relative(self) -> float | None:
        """The relative error; None if all expected values are 0, or nothing was added."""
        return sqrt(self.squares / self.power) if self.power else None


def squares_of(values: NDArray[np.floating[Any]]) -> float:
    """Sum of squares, in float64."""
    return float(np.square(values, dtype=np.float64).sum())
