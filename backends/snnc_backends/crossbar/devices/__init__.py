"""Cells by name: how a level becomes a conductance, and back. A new device is one new file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from snnc_backends.crossbar.devices.ideal import Ideal


class Device(Protocol):
    """What a cell is made of."""

    def conductances_us(self, levels: NDArray[np.integer], largest: int) -> NDArray[np.float32]:
        """Conductances in microsiemens of cells programmed to `levels`, 0..largest, any shape."""
        ...

    def levels(self, conductances_us: NDArray[np.float32], largest: int) -> NDArray[np.int64]:
        """The levels that are nearest to given conductances."""
        ...


DEVICES: Mapping[str, Device] = {"ideal": Ideal()}
