"""Checkpoints of networks whose weights are shared out over two processes, on gloo."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from cases import case, copied, trained
from net import Net
from torch import Tensor, nn
from torch.distributed.checkpoint.format_utils import dcp_to_torch_save
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, StateDictType, fully_shard
from torch.multiprocessing.spawn import spawn

Made = tuple[Path, dict[str, Tensor]]
Saver = Callable[[nn.Module, Path], Any]
"""What each process does with the network, in a folder."""
PROCESSES = 2


def saved_by_all(save: Saver, folder: Path) -> dict[str, Tensor]:
    """Run `save` in every process; the weights of the network before."""
    net = trained()
    wanted = copied(net)
    spawn(_process, (save, wanted, folder), nprocs=PROCESSES)
    return wanted


def _process(rank: int, save: Saver, weights: dict[str, Tensor], folder: Path) -> None:
    dist.init_process_group(
        "gloo", init_method=f"file://{folder / 'store'}", rank=rank, world_size=PROCESSES
    )
    net = Net().eval()
    net.load_state_dict(weights)
    save(net, folder)
    dist.destroy_process_group()


def _old_fsdp(net: nn.Module) -> FullyShardedDataParallel:
    return FullyShardedDataParallel(net, device_id=torch.device("cpu"), use_orig_params=True)


def _fsdp2(net: nn.Module) -> nn.Module:
    return fully_shard(net, mesh=init_device_mesh("cpu", (PROCESSES,)))


def _whole(net: nn.Module, folder: Path) -> None:
    state = _old_fsdp(net).state_dict()
    if dist.get_rank() == 0:
        torch.save(state, folder / "net.pt")


def _parts(net: nn.Module, folder: Path) -> None:
    model = _old_fsdp(net)
    with FullyShardedDataParallel.state_dict_type(model, StateDictType.SHARDED_STATE_DICT):
        torch.save(model.state_dict(), folder / f"rank{dist.get_rank()}.pt")


def _local_parts(net: nn.Module, folder: Path) -> None:
    torch.save(_fsdp2(net).state_dict(), folder / f"rank{dist.get_rank()}.pt")


def _gathered(net: nn.Module, folder: Path) -> None:
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    state = get_model_state_dict(_fsdp2(net), options=options)
    if dist.get_rank() == 0:
        torch.save(state, folder / "net.pt")


def _distributed(net: nn.Module, folder: Path) -> None:
    dcp.save({"model": get_model_state_dict(_fsdp2(net))}, checkpoint_id=folder / "dcp")


@case("torch", "two processes, FSDP: `FullyShardedDataParallel(net).state_dict()` of rank 0")
def two_fully_sharded(folder: Path) -> Made:
    wanted = saved_by_all(_whole, folder)
    return folder / "net.pt", wanted


@case("torch", "two processes, FSDP: `SHARDED_STATE_DICT`, a file for each", refused="Sharded")
def two_sharded(folder: Path) -> Made:
    wanted = saved_by_all(_parts, folder)
    return folder / "rank0.pt", wanted


@case("torch", "two processes, FSDP2: `net.state_dict()`, a file for each", refused="DTensor")
def two_sharded_tensors(folder: Path) -> Made:
    wanted = saved_by_all(_local_parts, folder)
    return folder / "rank1.pt", wanted


@case("torch", "two processes, FSDP2: `full_state_dict=True, cpu_offload=True`")
def two_gathered(folder: Path) -> Made:
    wanted = saved_by_all(_gathered, folder)
    return folder / "net.pt", wanted


@case("torch", "two processes, FSDP2: `dcp.save({'model': …})`", refused="dcp_to_torch")
def two_distributed(folder: Path) -> Made:
    wanted = saved_by_all(_distributed, folder)
    return folder / "dcp", wanted


@case("torch", "the same, and `dcp_to_torch_save(FOLDER, FILE)`")
def two_distributed_as_one_file(folder: Path) -> Made:
    made, wanted = two_distributed(folder)
    dcp_to_torch_save(made, folder / "net.pt")
    return folder / "net.pt", wanted
