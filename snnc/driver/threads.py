"""How many threads compute: those of torch, and those of a target."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

from snnc.errors import UsageError
from snnc.target import Backend, Threaded

MOST = 1024


@contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """Torch computes with `count` threads in the block and with as many as before after it.

    None leaves torch's own setting. Raises `UsageError` for less than one and more than `MOST`.
    """
    if count is None:
        yield
        return
    _check(count)
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def with_threads(backend: Backend, count: int | None) -> Backend:
    """`backend` with `count` threads, unless it has none to set or its own text sets them.

    Raises `UsageError` for less than one and more than `MOST`.
    """
    if count is None:
        return backend
    _check(count)
    if not isinstance(backend, Threaded) or backend.threads:
        return backend
    return cast(Backend, replace(cast(Any, backend), threads=count))


def _check(count: int) -> None:
    whole = isinstance(count, int) and not isinstance(count, bool)
    if not whole or not 1 <= count <= MOST:
        raise UsageError(f"--threads {count}: a whole number from 1 to {MOST}")
