"""Processes started by torchrun: rank, process group, and reporting an error only once.

The only module that reads the environment: torchrun passes rank and world size in no other way.
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
    """Rank of a process among those that torchrun started.

    Attributes:
        rank: from 0.
        count: number of processes on all machines.
        local_rank: rank on this machine, from 0: the index of the process's CUDA device.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0


def launch() -> Launch:
    """Rank of this process; rank 0 of 1 if torchrun did not start it."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return Launch()
    return Launch(*(int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")))


@contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """Initialise the default process group of torch.distributed; a barrier ends the context.

    On "cuda" the device of the local rank is the current one within the context. A process group
    that the program has already initialised is used and not destroyed.

    Raises `UsageError` if there are fewer CUDA devices than processes.
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
        # The store outlives a group: every group gets its own key prefix.
        turn = (store.add("joined", 1) - 1) // here.count
        named = PrefixStore(f"group/{turn}", store)
        distributed.init_process_group(
            BACKENDS[device], store=named, rank=here.rank, world_size=here.count
        )
        try:
            yield
        except BaseException:
            with suppress(RuntimeError):  # before the others fail because they lose the connection
                _first_to_fail(store)
            raise
        finally:
            distributed.destroy_process_group()


def _store(timeout: timedelta = ANSWER) -> Store:
    """The key-value store that the processes share. Raises `RuntimeError` if torchrun has ended."""
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    store, _, _ = next(iter(rendezvous("env://", timeout=timeout)))
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    return PrefixStore(f"snnc/{attempt}", store)


def _device(here: Launch) -> AbstractContextManager[object]:
    import torch

    count = torch.cuda.device_count()
    if here.local_rank >= count:
        raise UsageError(
            f"--device cuda: torchrun started more processes than the {count} CUDA devices here",
            hint=f"torchrun --nproc-per-node {count}",
        )
    return torch.cuda.device(here.local_rank)


def once(say: Callable[[], None]) -> None:
    """Call `say` only in the first process that fails; the others wait until it has returned.

    An error that all processes raise is thus reported once. They wait because torchrun ends all
    processes as soon as one has exited.
    """
    if launch().count == 1:
        say()
        return
    try:
        store = _store(PATIENCE)
        first = _first_to_fail(store)
    except RuntimeError:  # torchrun has ended
        say()
        return
    if first:
        say()
    with suppress(RuntimeError):
        store.set("said", "") if first else store.wait(["said"], PATIENCE)


def _first_to_fail(store: Store) -> bool:
    """Whether this process was the first to fail; repeated calls return the same."""
    rank = str(launch().rank)
    return store.compare_set("failed", "", rank) == rank.encode()
