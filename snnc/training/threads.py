"""Machine code of this processor in the threads of torch's OpenMP runtime."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any, cast

import torch

from snnc.native.jit import Host, host


@cache
def this_host() -> Host:
    """The processor of this machine; kept, because LLVM takes long to detect it."""
    return host()


@cache
def _parallel() -> Callable[..., None] | None:
    """`GOMP_parallel` of torch's OpenMP runtime, which runs a function in its threads, or None.

    A separate thread pool would compete with torch's threads, which spin after every kernel.
    """
    parallel = getattr(ctypes.CDLL(torch._C.__file__), "GOMP_parallel", None)
    if parallel is not None:
        parallel.restype = None
        parallel.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
    return parallel


def spread(function: Callable[..., None], arguments: ctypes.Array[Any], most: int) -> None:
    """Call `function`, which takes the address of `arguments`, in torch's threads.

    At most `most` of them; in the calling thread alone where torch has no such runtime.
    """
    threads = min(torch.get_num_threads(), most)
    parallel = _parallel() if threads > 1 else None
    address = ctypes.addressof(arguments)
    if parallel is None:
        function(address)
    else:
        parallel(ctypes.cast(cast(Any, function), ctypes.c_void_p), address, threads, 0)
