"""What a resistive memory cell is: how it is programmed, and what is read of it. numpy only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """What holds for every cell of a device.

    Attributes:
        g_max_us: conductance of the largest level without errors, in microsiemens.
        g_min_us: conductance of level 0 without errors, in microsiemens.
        max_levels: how many evenly spaced levels a cell can be programmed to; None for any number.
        levels_us: the conductances that a cell can be programmed to, where they are not evenly
            spaced, in microsiemens: ascending, from `g_min_us` to `g_max_us`. None for evenly
            spaced levels.
        ideal: every level is programmed and read exactly, at any time. Only then a target promises
            the spikes of `reference`.
        exceeds: errors may take a conductance above `g_max_us`. None is ever below 0.
        read_after_s: seconds from programming to the reads of a chip of this device.
    """

    g_max_us: float
    g_min_us: float = 0.0
    max_levels: int | None = None
    ideal: bool = False
    exceeds: bool = False
    read_after_s: float = 0.0
    levels_us: tuple[float, ...] | None = None

    @property
    def most_levels(self) -> int | None:
        """The number of levels of the list, or `max_levels`; None for any number."""
        return self.max_levels if self.levels_us is None else len(self.levels_us)


class Device(Protocol):
    """A kind of cell, a plugin of the group `snnc.devices`; a frozen dataclass.

    Its fields are its options: `device=gaussian{sigma=0.05}` is `Gaussian(sigma=0.05)`. A cell is
    programmed to one of the levels 0..largest, where `largest` is at most `facts.max_levels - 1`.
    Without errors level l has the conductance g_min_us + l / largest * (g_max_us - g_min_us); of a
    device with a list, levels_us[l], and `largest` is the last level of the list.

    All randomness comes from the generators it is given, so that one seed gives one chip.
    """

    name: ClassVar[str]

    @property
    def facts(self) -> DeviceFacts:
        """Its limits, and whether it is ideal."""
        ...

    def program(
        self, levels: NDArray[np.integer], largest: int, rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """Conductances in microsiemens of cells programmed to `levels`, 0..largest, any shape."""
        ...

    def read(
        self, conductances_us: NDArray[np.float32], rng: np.random.Generator, seconds: float
    ) -> NDArray[np.float32]:
        """The same cells `seconds` after programming: drift, and errors that stay.

        `conductances_us`, of any shape, is what `program` gave; it is left as it is.
        """
        ...


@runtime_checkable
class ReadNoise(Protocol):
    """A device with noise that is new in every read."""

    def read_noise_us(
        self, conductances_us: NDArray[np.float32], seconds: float
    ) -> NDArray[np.float32]:
        """Standard deviation of one read of cells whose mean is `conductances_us`.

        In microsiemens, of the same shape. `conductances_us` is what `read` gave; it is left as it
        is. The noise of a read is normally distributed, independent for cells and reads.
        """
        ...


def nominal_us(
    levels: NDArray[np.integer], largest: int, facts: DeviceFacts
) -> NDArray[np.float64]:
    """Conductances in microsiemens of cells programmed to `levels`, 0..largest, without errors."""
    if facts.levels_us is not None:
        return np.array(facts.levels_us)[levels]
    unit = np.float64((facts.g_max_us - facts.g_min_us) / largest)
    return facts.g_min_us + levels.astype(np.float64) * unit


def levels_of(
    conductances_us: NDArray[np.floating], facts: DeviceFacts, largest: int
) -> NDArray[np.float64]:
    """Conductances in units of one of `largest` evenly spaced levels, real numbers."""
    unit = (facts.g_max_us - facts.g_min_us) / largest
    return (conductances_us.astype(np.float64) - facts.g_min_us) / unit
