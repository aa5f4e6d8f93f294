"""How many threads compute: those of torch, and those of a target."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

from snnc.errors import UsageError
from snnc.target import Backend, Threaded


@contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """Torch computes with `count` threads in the block and with as many as before after it.

    None leaves torch's own setting. Raises `UsageError` for less than one.
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

    Raises `UsageError` for less than one.
    """
    if count is None:
        return backend
    _check(count)
    if not isinstance(backend, Threaded) or backend.threads:
        return backend
    return cast(Backend, replace(cast(Any, backend), threads=count))


def _check(count: int) -> None:
    if count < 1:
        raise UsageError(
            f"--threads {count}: at least one thread computes", hint="e.g. --threads 1"
        )
