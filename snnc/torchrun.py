"""The processes of one torchrun: which of them this one is, their joining, and which one speaks.

Nothing else reads the environment; torchrun has no other way to tell a process who it is.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from snnc.errors import UsageError

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

    from snnc.transform import Ranks

BACKENDS = {"cpu": "gloo", "cuda": "cpu:gloo,cuda:nccl"}
ANSWER = timedelta(minutes=30)
"""How long the processes wait for one another to join; they may load models at different speeds."""
PATIENCE = timedelta(seconds=5)
"""How long a process that failed waits for another to say why."""


@dataclass(frozen=True)
class Launch:
    """A process's place among those that torchrun started.

    Attributes:
        rank: from 0 on.
        count: of processes, on all machines.
        local_rank: from 0 on, on this machine: the number of the process's CUDA device.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0


def launch() -> Launch:
    """The place of this process; the only one where torchrun did not start it."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return Launch()
    return Launch(*(int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")))


@contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """Join the processes in torch.distributed; all of them leave together, unless one fails.

    On "cuda" each has a CUDA device of its own meanwhile, the current one. A group that the program
    has initialised before is used, and left as it is.

    Raises `UsageError` where there are fewer CUDA devices than processes.
    """
    from snnc.transform import Ranks

    here = launch()
    if here.count == 1:
        yield Ranks()
        return
    from torch import distributed

    group = nullcontext() if distributed.is_initialized() else _group(here, device)
    with group:
        yield Ranks(distributed.get_rank(), distributed.get_world_size())
        distributed.barrier()


@contextmanager
def _group(here: Launch, device: str) -> Iterator[None]:
    from torch import distributed
    from torch.distributed.distributed_c10d import PrefixStore

    with _device(here) if device == "cuda" else nullcontext():
        store = _store()
        # The store outlives a group: each gets names of its own.
        turn = (store.add("joined", 1) - 1) // here.count
        named = PrefixStore(f"group/{turn}", store)
        distributed.init_process_group(
            BACKENDS[device], store=named, rank=here.rank, world_size=here.count
        )
        try:
            yield
        except BaseException:
            with suppress(RuntimeError):  # before the others lose the connection, and fail of it
                _first_to_fail(store)
            raise
        finally:
            distributed.destroy_process_group()


def _store(timeout: timedelta = ANSWER) -> Store:
    """What the processes know in common. Raises `RuntimeError` where torchrun has gone."""
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    store, _, _ = next(iter(rendezvous("env://", timeout=timeout)))
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    return PrefixStore(f"snnc/{attempt}", store)


def _device(here: Launch) -> AbstractContextManager[object]:
    import torch

    found = torch.cuda.device_count()
    if here.local_rank >= found:
        raise UsageError(
            f"--device cuda: torchrun started more processes than the {found} CUDA devices here",
            hint=f"torchrun --nproc-per-node {found}",
        )
    return torch.cuda.device(here.local_rank)


def once(say: Callable[[], None]) -> None:
    """Of the processes that fail, the first alone calls `say`, and the others wait for it.

    What all of them find is said once so, and what one finds is said. They wait because torchrun
    ends the others as soon as one has exited.
    """
    if launch().count == 1:
        say()
        return
    try:
        store = _store(PATIENCE)
        first = _first_to_fail(store)
    except RuntimeError:  # torchrun has gone
        say()
        return
    if first:
        say()
    with suppress(RuntimeError):
        store.set("said", "") if first else store.wait(["said"], PATIENCE)


def _first_to_fail(store: Store) -> bool:
    """Whether no other process has failed before this one; the same at every call."""
    rank = str(launch().rank)
    return store.compare_set("failed", "", rank) == rank.encode()
