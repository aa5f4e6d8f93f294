"""What is not ideal about a chip besides the device of its cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from snnc.device import DeviceFacts

Compensation = Literal["none", "layer", "column"]
LEAST_SUM = 8
"""A column is compensated by itself if its cells sum up to this many cells of the largest level."""


@dataclass(frozen=True)
class Imperfections:
    """Faults and wires of a chip, and the correction of its gains.

    Attributes:
        stuck_on: fraction of cells that have the largest conductance, whatever is programmed.
        stuck_off: fraction of cells that have the least one.
        wire_ohm: resistance of a line from one cell to the next.
        compensation: what the gains of converters are estimated anew for, when the chip is read.
        remap: stuck cells are known when the chip is programmed, which avoids them; see
            `remapping`.
    """

    stuck_on: float = 0.0
    stuck_off: float = 0.0
    wire_ohm: float = 0.0
    compensation: Compensation = "none"
    remap: bool = False

    def __post_init__(self) -> None:
        for name, rate in (("stuck-on", self.stuck_on), ("stuck-off", self.stuck_off)):
            if not 0 <= rate <= 1:
                raise ValueError(f"{name} must be 0 to 1, not {rate}")
        if self.stuck_on + self.stuck_off > 1:
            raise ValueError(f"stuck-on and stuck-off are {self.stuck_on + self.stuck_off} in sum")
        if not 0 <= self.wire_ohm < np.inf:
            raise ValueError(f"wire-ohm must be finite and not negative, but is {self.wire_ohm}")

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why cells are not read as the levels they are programmed to."""
        faults = ("some cells are stuck",) if self.faulty else ()
        return (*faults, *(("its wires have resistance",) if self.wire_ohm else ()))

    @property
    def faulty(self) -> bool:
        """Whether cells are stuck."""
        return self.stuck_on > 0 or self.stuck_off > 0

    def stuck(
        self, shape: tuple[int, ...], rng: np.random.Generator
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which cells have the largest conductance, and which the least, every cell on its own."""
        drawn = rng.random(shape)
        return drawn < self.stuck_on, drawn >= 1 - self.stuck_off

    def with_stuck(
        self, conductances_us: NDArray[np.float32], facts: DeviceFacts, rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """Conductances in microsiemens with the faults that `stuck` draws."""
        if not self.faulty:
            return conductances_us
        on, off = self.stuck(conductances_us.shape, rng)
        faulty = np.where(on, np.float32(facts.g_max_us), conductances_us)
        return np.where(off, np.float32(facts.g_min_us), faulty).astype(np.float32)

    def factors(
        self, wanted: NDArray[np.float64], found: NDArray[np.float64], largest: int
    ) -> NDArray[np.float64]:
        """What the gains of columns are multiplied with.

        Args:
            wanted, found: sums of the levels programmed and of the levels read, all rows driven.
            largest: level of a cell.
        """
        if self.compensation == "none" or not found.sum() > 0:
            return np.ones(wanted.shape)
        whole = np.full(wanted.shape, wanted.sum() / found.sum())
        if self.compensation == "layer":
            return whole
        single = (wanted >= LEAST_SUM * largest) & (found > 0)
        return np.divide(wanted, found, out=whole, where=single)
