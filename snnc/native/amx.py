"""Whether this process may use the tiles of AMX."""

from __future__ import annotations

import ctypes
import platform
import sys
from functools import cache

ARCH_PRCTL, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA = 158, 0x1023, 18
"""System call of x86-64, request, and what is requested (Linux, arch/x86/include/uapi/asm/prctl.h).
"""


@cache
def allowed() -> bool:
    """Whether the system lets this process use tiles, which it is asked for once.

    Threads may use them then too, and so may the child of a fork.
    """
    return sys.platform == "linux" and platform.machine() == "x86_64" and _asked() == 0


def _asked() -> int:
    """What the system says: 0 for yes."""
    request = ARCH_PRCTL, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    return ctypes.CDLL(None).syscall(*map(ctypes.c_long, request))
