"""Memory between two pages that nobody may touch: an access outside kills the process."""

from __future__ import annotations

import ctypes
import mmap

import numpy as np
from numpy.typing import NDArray

_LIBC = ctypes.CDLL(None, use_errno=True)
PAGE = mmap.PAGESIZE


class Guarded:
    """`size` bytes that end, or begin, exactly where a guard page begins, or ends.

    Args:
        at_end: whether the guard page follows at once; else the one before is next to it.
        alignment: of the address; at the end, up to that many bytes less one are left free.

    Attributes:
        values: the bytes.
    """

    def __init__(self, size: int, *, at_end: bool, alignment: int = 1) -> None:
        pages = -(-max(size, 1) // PAGE)
        self._memory = mmap.mmap(-1, (pages + 2) * PAGE)
        anchor = ctypes.c_char.from_buffer(self._memory)
        base = ctypes.addressof(anchor)
        for guard in (base, base + (pages + 1) * PAGE):
            if _LIBC.mprotect(ctypes.c_void_p(guard), ctypes.c_size_t(PAGE), 0):
                raise OSError(ctypes.get_errno(), "mprotect")
        start = PAGE + (pages * PAGE - size if at_end else 0)
        start -= start % alignment
        whole: NDArray[np.uint8] = np.frombuffer(self._memory, np.uint8)
        self.values = whole[start : start + size]
        self.address = base + start
