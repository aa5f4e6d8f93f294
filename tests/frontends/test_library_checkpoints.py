"""Stand-ins for what training libraries save, with the structure that each of them writes.

`make checkpoints` runs the libraries themselves; the structures here are those it found.
"""

from __future__ import annotations

import argparse
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.distributed._shard.sharded_tensor import Shard, init_from_local_shards
from torch.distributed.tensor import distribute_tensor, init_device_mesh
from torch.nn.utils import parametrizations, prune

from snnc.errors import ModelError
from snnc.frontends.file_kinds import members
from snnc.frontends.weights import load_weights


def network(seed: int) -> nn.Sequential:
    """A small network with batch norm."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))


WANTED = network(1).state_dict()
OTHER = network(2).state_dict()


class AttributeDict(dict[str, Any]):
    """What Lightning keeps hyper-parameters in."""


def under(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """`state` with a prefix before every key."""
    return {f"{prefix}{key}": value for key, value in state.items()}


def lightning(**more: Any) -> dict[str, Any]:
    """Lightning's `Trainer.save_checkpoint`: criterion and metric beside the model, the module,
    a namespace and a path among the hyper-parameters."""
    beside = {"criterion.weight": torch.ones(3), "confusion.confmat": torch.zeros(3, 3)}
    arguments = {"model": network(3), "args": argparse.Namespace(seed=1), "out": Path("runs")}
    return {
        "epoch": 1,
        "pytorch-lightning_version": "2.6.6",
        "state_dict": under("model.", WANTED) | beside,
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 2}}}},
        "callbacks": {"ModelCheckpoint{'monitor': None}": {"best_model_score": torch.tensor(0.5)}},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(2, 1, 3, 3)}}}],
        "lr_schedulers": [{"last_epoch": 2}],
        "hparams_name": "kwargs",
        "hyper_parameters": AttributeDict(arguments),
        **more,
    }


EMA = {"initted": torch.tensor(True), "step": torch.tensor(2)}

TAKEN: dict[str, dict[str, Any]] = {
    "lightning": lightning(),
    "lightning, weights only": {"state_dict": under("model.", WANTED), "hyper_parameters": {}},
    "lightning, compiled": {"state_dict": under("model._orig_mod.", WANTED)},
    "timm, CheckpointSaver": {
        "epoch": 0,
        "arch": "net",
        "state_dict": WANTED,
        "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]},
        "version": 2,
        "args": argparse.Namespace(model="net"),
        "amp_scaler": {"scale": 65536.0},
        "metric": 0.9,
        "saver": {"checkpoint_files": [("checkpoint-0.pth.tar", 0.9)], "pending": (0, 0.9)},
    },
    "ignite, Checkpoint": {
        "model": WANTED,
        "optimizer": {"state": {}, "param_groups": []},
        "trainer": {"epoch_length": 3, "max_epochs": 1, "iteration": 3},
    },
    "fastai, learn.save": {"model": WANTED, "opt": {"state": [], "hypers": [{"lr": 0.1}]}},
    "torch, DistributedDataParallel compiled": under("_orig_mod.module.", WANTED),
}


@pytest.mark.parametrize("name", TAKEN)
def test_checkpoints_of_libraries_are_taken(tmp_path: Path, name: str) -> None:
    torch.save(TAKEN[name], tmp_path / "w.pt")
    same(tmp_path / "w.pt")


CHOICES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "lightning, EMAWeightAveraging": (
        lightning(
            current_model_state=under("model.", OTHER),
            averaging_state={"n_averaged": torch.tensor(8)},
        ),
        ["state_dict.model", "current_model_state.model"],
    ),
    "lightning, StochasticWeightAveraging": (
        lightning(
            callbacks={"StochasticWeightAveraging": {"average_model_state": under("model.", OTHER)}}
        ),
        ["state_dict.model", "callbacks.StochasticWeightAveraging.average_model_state.model"],
    ),
    "timm, ModelEmaV3": (
        {"state_dict": WANTED, "state_dict_ema": OTHER},
        ["state_dict", "state_dict_ema"],
    ),
    "ignite, EMAHandler": ({"model": WANTED, "ema_model": OTHER}, ["model", "ema_model"]),
    "ema_pytorch": (
        {"ema": under("online_model.", WANTED) | under("ema_model.", OTHER) | EMA},
        ["ema.online_model", "ema.ema_model"],
    ),
}


@pytest.mark.parametrize("name", CHOICES)
def test_averages_beside_the_weights_are_the_users_choice(tmp_path: Path, name: str) -> None:
    saved, keys = CHOICES[name]
    file = tmp_path / "w.pt"
    torch.save(saved, file)
    with pytest.raises(ModelError, match="several networks that fit: " + ", ".join(keys)) as error:
        load_weights(network(3), file)
    assert error.value.hint == f"choose one: --weights '{file}#{keys[-1]}'"
    for key, wanted in zip(keys, (WANTED, OTHER), strict=True):
        same(Path(f"{file}#{key}"), wanted)


# -- several files, as accelerate and huggingface_hub save them ----------------------------------


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """The index of two safetensors files."""
    files = {key: f"model-0000{1 + (key > '1')}-of-00002.safetensors" for key in WANTED}
    for name in set(files.values()):
        save_file({k: v for k, v in WANTED.items() if files[k] == name}, tmp_path / name)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": files}, indent=2))
    return index


def test_shards_come_by_their_index(shards: Path) -> None:
    same(shards)
    with pytest.raises(ModelError, match="do not fit Sequential: missing") as error:
        load_weights(network(3), shards.parent / "model-00001-of-00002.safetensors")
    assert f"give their index: --weights '{shards}'" in (error.value.hint or "")
    with pytest.raises(ModelError, match="is a folder") as error:
        load_weights(network(3), shards.parent)
    assert error.value.hint == f"name the file in it: --weights '{shards}'"


def test_pickled_shards_come_by_their_index(tmp_path: Path) -> None:
    torch.save(WANTED, tmp_path / "a.bin")
    index = tmp_path / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": dict.fromkeys(WANTED, "a.bin")}))
    same(index)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "no index of weights"),
        ('{"weight_map": 3}', "no index of weights"),
        ('{"weight_map": {"0.weight": 3}}', "no index of weights"),
        ('{"weight_map": {"0.weight": "../a.bin"}}', "no index of weights"),
        ('{"weight_map": {"0.weight": ".."}}', "names '..', which is not beside it"),
        ('{"weight_map": {"0.weight": "/a.bin"}}', "no index of weights"),
        ('{"weight_map": {"0.weight": "a\\u0000.bin"}}', "no index of weights"),
        ('{"a": ' + "[" * 100_000, "no index of weights"),
        ('{"a": ' + "9" * 5_000 + "}", "no index of weights"),
        ('{"weight_map": {}}', "is no state dict: it is empty"),
        ('{"weight_map": {"0.weight": "b.bin"}}', "names 'b.bin', which is not beside it"),
        ('{"weight_map": {"x": "a.bin"}}', "a.bin does not hold 'x'"),
        ('{"weight_map": {"x": "i.json"}}', "i.json is no whole safetensors file"),
    ],
)
def test_a_wrong_index_is_one_line(tmp_path: Path, text: str, words: str) -> None:
    torch.save(WANTED, tmp_path / "a.bin")
    torch.save(WANTED, tmp_path.parent / "a.bin")
    (tmp_path / "i.json").write_text(text)
    with pytest.raises(ModelError, match=words) as error:
        load_weights(network(3), tmp_path / "i.json")
    assert "\n" not in error.value.message


# -- refused, with the way out --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "hint"),
    [
        (["config.json", "model.safetensors", "optimizer.bin"], "--weights '{}/model.safetensors'"),
        (["net.ckpt"], "--weights '{}/net.ckpt'"),
        (["a.pt", "b.pt"], "name one of its files: a.pt, b.pt"),
        ([".metadata", "__0_0.distcp"], "format_utils dcp_to_torch '{}' weights.pt"),
        ([], "name a file"),
    ],
)
def test_a_folder_says_which_file(tmp_path: Path, names: list[str], hint: str) -> None:
    for name in names:
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(ModelError, match="is a folder") as error:
        load_weights(network(3), tmp_path)
    assert hint.format(tmp_path) in (error.value.hint or "")


def test_layers_whose_weights_are_computed_say_how_to_make_them_permanent(tmp_path: Path) -> None:
    normed, pruned = network(1), network(1)
    parametrizations.weight_norm(normed[3])
    prune.l1_unstructured(pruned[3], "weight", 0.5)
    for module, remedy in ((normed, "remove_parametrizations"), (pruned, "prune.remove")):
        torch.save(module.state_dict(), tmp_path / "w.pt")
        with pytest.raises(ModelError, match=r"missing 3\.weight; unexpected 3\.") as error:
            load_weights(network(3), tmp_path / "w.pt")
        assert remedy in (error.value.hint or "")


def test_a_criterion_inside_the_network_is_built_with_it(tmp_path: Path) -> None:
    def training() -> nn.Sequential:
        made = network(1)
        made.register_module("criterion", nn.CrossEntropyLoss(weight=torch.ones(3)))
        return made

    torch.save({"state_dict": training().state_dict()}, tmp_path / "w.pt")
    with pytest.raises(ModelError, match=r"unexpected criterion\.weight") as error:
        load_weights(network(3), tmp_path / "w.pt")
    assert "with every member that has weights" in (error.value.hint or "")
    load_weights(training(), tmp_path / "w.pt")


@pytest.fixture
def group() -> Iterator[None]:
    """A group of one process."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def _distributed(value: Tensor) -> object:
    return distribute_tensor(value, init_device_mesh("cpu", (1,)))


def _sharded(value: Tensor) -> object:
    shard = Shard.from_tensor_and_offsets(value, [0] * value.ndim, 0)
    return init_from_local_shards([shard], value.shape)


@pytest.mark.usefixtures("group")
@pytest.mark.filterwarnings("ignore:Please use DTensor:FutureWarning")
@pytest.mark.parametrize("kind", ["DTensor", "ShardedTensor"])
def test_parts_of_tensors_are_refused(kind: str, tmp_path: Path) -> None:
    part = {"DTensor": _distributed, "ShardedTensor": _sharded}[kind]
    torch.save({key: part(value) for key, value in WANTED.items()}, tmp_path / "w.pt")
    with pytest.raises(ModelError, match="holds parts of tensors") as error:
        load_weights(network(3), tmp_path / "w.pt")
    assert "full_state_dict=True" in (error.value.hint or "")


@pytest.mark.parametrize(
    ("head", "words"), [(b"\x89HDF\r\n", "an HDF5 file"), (b"\x08\x07\x12\x00", "an ONNX model")]
)
def test_other_formats_are_called_by_their_name(tmp_path: Path, head: bytes, words: str) -> None:
    (tmp_path / "w").write_bytes(head)
    with pytest.raises(ModelError, match=f"is {words}, not a state dict"):
        load_weights(network(3), tmp_path / "w")


@pytest.mark.parametrize(("offset", "byte"), [(6, 99), (9, 8), (46, 0xFF)])
def test_a_damaged_directory_of_a_zip_is_one_line_or_read(
    tmp_path: Path, offset: int, byte: int
) -> None:
    torch.save(WANTED, tmp_path / "w.pt")
    damaged = bytearray((tmp_path / "w.pt").read_bytes())
    at = damaged.index(b"PK\1\2")  # version needed, flags, name
    damaged[at + offset] = byte
    damaged[at + 9] |= 8  # names in UTF-8
    (tmp_path / "w.pt").write_bytes(damaged)
    assert members(tmp_path / "w.pt", b"PK") == () or offset == 9
    with contextlib.suppress(ModelError):
        load_weights(network(3), tmp_path / "w.pt")


def same(weights: Path, wanted: dict[str, Tensor] = WANTED) -> None:
    """A network given what is in `weights` has exactly the wanted ones."""
    made = network(3)
    load_weights(made, weights)
    found = made.state_dict()
    counters = {key for key in wanted if key.endswith("num_batches_tracked")}
    assert all(torch.equal(found[key], wanted[key]) for key in wanted.keys() - counters)
