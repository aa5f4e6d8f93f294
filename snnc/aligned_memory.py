"""Memory at addresses that vectors of 64 bytes are read from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ALIGNMENT = 64
"""Bytes; a cache line, and the longest vector."""


def aligned(size: int) -> NDArray[np.uint8]:
    """`size` bytes, not initialised, whose address is a multiple of `ALIGNMENT`."""
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size]
