"""Checkpoints of torch's own helpers: distributed, averages of weights, compiled modules."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from cases import case, copied, trained
from torch import Tensor, nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.distributed.checkpoint.format_utils import dcp_to_torch_save
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

Made = tuple[Path, dict[str, Tensor]]


def group() -> None:
    """A group of one process, on gloo."""
    if not dist.is_initialized():
        dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)


def saved(folder: Path, what: object) -> Path:
    torch.save(what, folder / "net.pt")
    return folder / "net.pt"


@case("torch", "`torch.save(net.state_dict())`")
def state_dict(folder: Path) -> Made:
    net = trained()
    return saved(folder, net.state_dict()), copied(net)


@case("torch", "the same with `_use_new_zipfile_serialization=False`")
def old_format(folder: Path) -> Made:
    net = trained()
    torch.save(net.state_dict(), folder / "net.pt", _use_new_zipfile_serialization=False)
    return folder / "net.pt", copied(net)


@case("torch", "`DistributedDataParallel(net).state_dict()` beside an optimizer")
def data_parallel(folder: Path) -> Made:
    group()
    net = trained()
    model = DistributedDataParallel(net)
    optimizer = torch.optim.AdamW(model.parameters())
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}
    return saved(folder, state), copied(net)


@case("torch", "`torch.compile(DistributedDataParallel(net)).state_dict()`")
def compiled(folder: Path) -> Made:
    group()
    net = trained()
    return saved(folder, torch.compile(DistributedDataParallel(net)).state_dict()), copied(net)


@case("torch", "`AveragedModel(net, use_buffers=True).state_dict()`")
def averaged(folder: Path) -> Made:
    net = trained()
    average = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    average.update_parameters(trained())
    average.update_parameters(trained())
    return saved(folder, average.state_dict()), copied(average.module)


@case("torch", "`AveragedModel` beside the network", refused="several networks that fit")
def averaged_beside(folder: Path) -> Made:
    net = trained()
    average = AveragedModel(net)
    average.update_parameters(net)
    average.update_parameters(trained())
    state = {"swa": average.state_dict(), "model": net.state_dict()}
    return saved(folder, state), copied(average.module)


@case("torch", "`checkpoint_wrapper` around a block")
def wrapped(folder: Path) -> Made:
    net = trained()
    wanted = copied(net)
    net.features = checkpoint_wrapper(net.features)
    return saved(folder, net.state_dict()), wanted


@case("torch", "FSDP: `FullyShardedDataParallel(net).state_dict()`, gloo")
def fully_sharded(folder: Path) -> Made:
    group()
    net = trained()
    wanted = copied(net)
    model = FullyShardedDataParallel(net, device_id=torch.device("cpu"), use_orig_params=True)
    return saved(folder, model.state_dict()), wanted


@case("torch", "FSDP2: `fully_shard(net)`, `torch.save(net.state_dict())`", refused="DTensor")
def sharded_tensors(folder: Path) -> Made:
    net = trained()
    wanted = copied(net)
    _shard(net)
    return saved(folder, net.state_dict()), wanted


@case("torch", "FSDP2: `get_model_state_dict(net, options=StateDictOptions(full_state_dict=True))`")
def full_tensors(folder: Path) -> Made:
    net = trained()
    wanted = copied(net)
    _shard(net)
    whole = get_model_state_dict(net, options=StateDictOptions(full_state_dict=True))
    return saved(folder, whole), wanted


def _shard(net: nn.Module) -> None:
    group()
    fully_shard(net, mesh=init_device_mesh("cpu", (1,)))


@case("torch", "`dcp.save({'model': …}, checkpoint_id=FOLDER)`", refused="dcp_to_torch")
def distributed_checkpoint(folder: Path) -> Made:
    group()
    net = trained()
    optimizer = torch.optim.AdamW(net.parameters())
    state = {"model": net.state_dict(), "optimizer": optimizer.state_dict()}
    dcp.save(state, checkpoint_id=folder / "dcp")
    return folder / "dcp", copied(net)


@case("torch", "the same, and `dcp_to_torch_save(FOLDER, FILE)`")
def distributed_as_one_file(folder: Path) -> Made:
    made, wanted = distributed_checkpoint(folder)
    dcp_to_torch_save(made, folder / "net.pt")
    return folder / "net.pt", wanted


@case("torch", "the module whole: `torch.save(net)`, as `--weights`", refused="whole module")
def module(folder: Path) -> Made:
    net = trained()
    return saved(folder, net), copied(net)


@case("torch", "`torch.jit.trace(net, x).save`, as `--weights`", refused="TorchScript")
def traced(folder: Path) -> Made:
    net = trained()
    torch.jit.trace(net, torch.zeros(1, 1, 8, 8)).save(folder / "net.pt")
    return folder / "net.pt", copied(net)


@case(
    "torch",
    "weight norm: `parametrizations.weight_norm(net.head)`",
    refused="remove_parametrizations",
)
def weight_norm(folder: Path) -> Made:
    net = trained()
    wanted = copied(net)
    nn.utils.parametrizations.weight_norm(net.head)
    return saved(folder, net.state_dict()), wanted


@case("torch", "pruned: `prune.l1_unstructured(net.head, 'weight', 0.5)`", refused="prune.remove")
def pruned(folder: Path) -> Made:
    net = trained()
    nn.utils.prune.l1_unstructured(net.head, "weight", 0.5)
    state = copied(net)
    head = state.pop("head.weight_orig") * state.pop("head.weight_mask")
    return saved(folder, net.state_dict()), state | {"head.weight": head}
