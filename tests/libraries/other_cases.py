"""Checkpoints of timm, accelerate, ignite, fastai, skorch, ema_pytorch and huggingface_hub."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from cases import case, copied, trained
from torch import Tensor, nn

Made = tuple[Path, dict[str, Tensor]]

TIMM = "timm"


def _timm(folder: Path, *, average: bool) -> Made:
    from timm.utils import CheckpointSaver, ModelEmaV3, NativeScaler

    net = trained()
    ema = ModelEmaV3(net, decay=0.5) if average else None
    with torch.no_grad():
        net.head.weight.add_(1)
    if ema is not None:
        ema.update(net)
    saver = CheckpointSaver(
        torch.compile(net),
        torch.optim.AdamW(net.parameters()),
        args=argparse.Namespace(model="net", lr=0.1),
        model_ema=ema,
        amp_scaler=NativeScaler(device="cpu"),
        checkpoint_dir=str(folder),
        recovery_dir=str(folder),
    )
    saver.save_checkpoint(0, metric=0.9)
    return folder / "model_best.pth.tar", copied(net if ema is None else ema.module)


@case(TIMM, "`CheckpointSaver` with `args`, optimizer and scaler")
def timm_saver(folder: Path) -> Made:
    return _timm(folder, average=False)


@case(TIMM, "the same with `ModelEmaV3` (`state_dict_ema`)", refused="several networks that fit")
def timm_average(folder: Path) -> Made:
    return _timm(folder, average=True)


@case(TIMM, "`save_for_hf(safe_serialization=True)`, its `model.safetensors`")
def timm_hub(folder: Path) -> Made:
    from timm.models import save_for_hf

    net = trained()
    net.pretrained_cfg = {"architecture": "net", "num_classes": 3, "input_size": (1, 8, 8)}
    net.num_classes, net.num_features = 3, 8
    save_for_hf(net, str(folder / "hub"), safe_serialization=True)
    return folder / "hub" / "model.safetensors", copied(net)


ACCELERATE = "accelerate"


def _accelerate(folder: Path, how: str, **options: object) -> Made:
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    net = trained()
    wanted = copied(net)
    model, optimizer = accelerator.prepare(net, torch.optim.AdamW(net.parameters()))
    if how == "state":
        accelerator.save_state(str(folder / "saved"), **options)
    elif how == "model":
        accelerator.save_model(model, str(folder / "saved"), **options)
    else:
        whole = {"model": accelerator.get_state_dict(model), "optimizer": optimizer.state_dict()}
        (folder / "saved").mkdir()
        accelerator.save(whole, folder / "saved" / "net.pt")
    return folder / "saved", wanted


@case(ACCELERATE, "`save_state(FOLDER)`, its `model.safetensors`")
def accelerate_state(folder: Path) -> Made:
    made, wanted = _accelerate(folder, "state")
    return made / "model.safetensors", wanted


@case(ACCELERATE, "`save_state(FOLDER)`, the folder", refused="is a folder")
def accelerate_folder(folder: Path) -> Made:
    return _accelerate(folder, "state")


@case(ACCELERATE, "`save_state(safe_serialization=False)`, its `pytorch_model.bin`")
def accelerate_pickled_state(folder: Path) -> Made:
    made, wanted = _accelerate(folder, "state", safe_serialization=False)
    return made / "pytorch_model.bin", wanted


@case(ACCELERATE, "`save_model(FOLDER)`, its `model.safetensors`")
def accelerate_model(folder: Path) -> Made:
    made, wanted = _accelerate(folder, "model")
    return made / "model.safetensors", wanted


@case(ACCELERATE, "`save_model(max_shard_size='2KB')`, its `model.safetensors.index.json`")
def accelerate_shards(folder: Path) -> Made:
    made, wanted = _accelerate(folder, "model", max_shard_size="2KB")
    return made / "model.safetensors.index.json", wanted


@case(ACCELERATE, "the same, the folder", refused="is a folder")
def accelerate_folder_of_shards(folder: Path) -> Made:
    return _accelerate(folder, "model", max_shard_size="2KB")


@case(ACCELERATE, "the same, one shard", refused="index.json")
def accelerate_one_shard(folder: Path) -> Made:
    made, wanted = _accelerate(folder, "model", max_shard_size="2KB")
    return min(made.glob("*.safetensors")), wanted


@case(ACCELERATE, "the same, pickled: its `pytorch_model.bin.index.json`")
def accelerate_pickled_shards(folder: Path) -> Made:
    made, wanted = _accelerate(folder, "model", max_shard_size="2KB", safe_serialization=False)
    return made / "pytorch_model.bin.index.json", wanted


@case(ACCELERATE, "`accelerator.save({'model': get_state_dict(model), 'optimizer': …})`")
def accelerate_save(folder: Path) -> Made:
    made, wanted = _accelerate(folder, "save")
    return made / "net.pt", wanted


IGNITE = "pytorch-ignite"


def _ignite(folder: Path, *, average: bool) -> Made:
    from ignite.engine import Engine, Events
    from ignite.handlers import Checkpoint, DiskSaver, EMAHandler

    net = trained()
    optimizer = torch.optim.SGD(net.parameters(), 0.1)

    def step(engine: Engine, batch: Tensor) -> None:
        optimizer.zero_grad()
        net(batch).square().mean().backward()
        optimizer.step()

    trainer = Engine(step)
    kept: dict[str, object] = {"model": net, "optimizer": optimizer, "trainer": trainer}
    wanted: nn.Module = net
    if average:
        handler = EMAHandler(net, momentum=0.5)
        handler.attach(trainer)
        kept["ema_model"] = wanted = handler.ema_model
    trainer.add_event_handler(
        Events.EPOCH_COMPLETED, Checkpoint(kept, DiskSaver(str(folder), require_empty=False))
    )
    net.train()
    trainer.run([torch.randn(4, 1, 8, 8) for _ in range(3)], max_epochs=1)
    return next(folder.glob("*.pt")), copied(wanted)


@case(IGNITE, "`Checkpoint({'model': …, 'optimizer': …, 'trainer': …}, DiskSaver(…))`")
def ignite_checkpoint(folder: Path) -> Made:
    return _ignite(folder, average=False)


@case(IGNITE, "the same with `EMAHandler`", refused="several networks that fit")
def ignite_average(folder: Path) -> Made:
    return _ignite(folder, average=True)


@case(IGNITE, "`ModelCheckpoint` of the model alone")
def ignite_model(folder: Path) -> Made:
    from ignite.engine import Engine
    from ignite.handlers import ModelCheckpoint

    net = trained()
    ModelCheckpoint(str(folder), "best", require_empty=False)(Engine(lambda *_: None), {"net": net})
    return next(folder.glob("*.pt")), copied(net)


FASTAI = "fastai"


def _image(index: int) -> Tensor:
    return torch.full((1, 8, 8), float(index))


def _label(index: int) -> int:
    return index % 3


def _learner(folder: Path) -> object:
    from fastai.data.core import Datasets
    from fastai.learner import Learner

    loaders = Datasets(range(16), [[_image], [_label]]).dataloaders(bs=8)
    learner = Learner(
        loaders, trained(), loss_func=nn.CrossEntropyLoss(), path=folder, model_dir="."
    )
    learner.create_opt()
    return learner


@case(FASTAI, "`learn.save('net')`")
def fastai_save(folder: Path) -> Made:
    learner = _learner(folder)
    return Path(learner.save("net")), copied(learner.model)


@case(FASTAI, "`learn.save('net', with_opt=False)`")
def fastai_save_model(folder: Path) -> Made:
    learner = _learner(folder)
    return Path(learner.save("net", with_opt=False)), copied(learner.model)


@case(FASTAI, "`learn.export('net.pkl')`", refused="more than tensors")
def fastai_export(folder: Path) -> Made:
    learner = _learner(folder)
    learner.export(folder / "net.pkl")
    return folder / "net.pkl", copied(learner.model)


HUB = "huggingface-hub"


@case(HUB, "`PyTorchModelHubMixin.save_pretrained(FOLDER)`, its `model.safetensors`")
def hub_mixin(folder: Path) -> Made:
    from huggingface_hub import PyTorchModelHubMixin
    from net import Net

    class Hub(Net, PyTorchModelHubMixin):
        """The network with the methods of the hub."""

    net = Hub()
    net.load_state_dict(trained().state_dict())
    net.save_pretrained(folder / "hub")
    return folder / "hub" / "model.safetensors", copied(net)


@case(HUB, "`save_torch_state_dict(max_shard_size='2KB')`, its index")
def hub_shards(folder: Path) -> Made:
    from huggingface_hub import save_torch_state_dict

    net = trained()
    (folder / "hub").mkdir()
    save_torch_state_dict(net.state_dict(), folder / "hub", max_shard_size="2KB")
    return folder / "hub" / "model.safetensors.index.json", copied(net)


@case("ema-pytorch", "`EMA(net).state_dict()`", refused="several networks that fit")
def ema_pytorch(folder: Path) -> Made:
    from ema_pytorch import EMA

    net = trained()
    ema = EMA(net, beta=0.9, update_after_step=0, update_every=1, include_online_model=True)
    ema.update()
    with torch.no_grad():
        net.head.weight.add_(1)
    ema.update()
    torch.save({"ema": ema.state_dict()}, folder / "net.pt")
    return folder / "net.pt", copied(ema.ema_model)


@case("skorch", "`NeuralNetClassifier.save_params(f_params=FILE)`")
def skorch(folder: Path) -> Made:
    from net import Net
    from skorch import NeuralNetClassifier

    classifier = NeuralNetClassifier(
        Net, criterion=nn.CrossEntropyLoss, max_epochs=1, train_split=None, verbose=0
    )
    classifier.fit(torch.randn(16, 1, 8, 8).numpy(), torch.randint(3, (16,)).numpy())
    classifier.save_params(f_params=folder / "net.pt")
    return folder / "net.pt", copied(classifier.module_)
