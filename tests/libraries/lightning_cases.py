"""Checkpoints of PyTorch Lightning."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch
from cases import case, copied
from lightning_fabric import Fabric
from net import Net
from pytorch_lightning.callbacks import (
    EMAWeightAveraging,
    ModelCheckpoint,
    StochasticWeightAveraging,
)
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix


class Training(lightning.LightningModule):
    """A network, a criterion with weights of classes, and metrics whose state is saved."""

    def __init__(
        self, model: nn.Module, lr: float, args: argparse.Namespace, out: Path, ignore: str = ""
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=ignore)  # without it, with the module
        self.model = model
        self.criterion = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 3.0]))
        self.accuracy = MulticlassAccuracy(3)
        self.confusion = MulticlassConfusionMatrix(3)
        self.confusion.persistent(True)

    def training_step(self, batch: list[Tensor], _: int) -> Tensor:
        logits = self.model(batch[0])
        self.accuracy(logits, batch[1])
        self.confusion(logits, batch[1])
        self.log("accuracy", self.accuracy, on_epoch=True)
        return self.criterion(logits, batch[1])

    def configure_optimizers(self) -> dict[str, Any]:
        optimizer = torch.optim.AdamW(self.parameters(), self.hparams["lr"])
        return {
            "optimizer": optimizer,
            "lr_scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 1),
        }


class Itself(lightning.LightningModule):
    """A Lightning module that is the network."""

    def __init__(self, weighted: bool = False) -> None:
        super().__init__()
        net = Net()
        self.features, self.head = net.features, net.head
        self.criterion = nn.CrossEntropyLoss(weight=torch.ones(3) if weighted else None)

    def training_step(self, batch: list[Tensor], _: int) -> Tensor:
        return self.criterion(self.head(self.features(batch[0]).relu()), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def fitted(
    module: lightning.LightningModule, folder: Path, *callbacks: lightning.Callback, **options: Any
) -> lightning.Trainer:
    """A trainer that has trained `module` for two epochs."""
    data = TensorDataset(torch.randn(32, 1, 8, 8), torch.randint(3, (32,)))
    trainer = lightning.Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        default_root_dir=folder,
        callbacks=list(callbacks),
        enable_checkpointing=any(isinstance(each, ModelCheckpoint) for each in callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )
    trainer.fit(module, DataLoader(data, 8))
    return trainer


def training(net: nn.Module | None = None) -> Training:
    """With hyper-parameters of all kinds."""
    args, out = argparse.Namespace(seed=1), Path("runs")
    return (
        Training(Net(), 0.01, args, out) if net is None else Training(net, 0.01, args, out, "model")
    )


LIGHTNING = "pytorch-lightning"


@case(LIGHTNING, "`ModelCheckpoint(save_last=True)`; `self.model` beside criterion and metrics")
def model_checkpoint(folder: Path) -> tuple[Path, dict[str, Tensor]]:
    module = training()
    fitted(module, folder, ModelCheckpoint(folder, save_last=True))
    return folder / "last.ckpt", copied(module.model)


@case(LIGHTNING, "`Trainer.save_checkpoint(weights_only=True)`")
def weights_only(folder: Path) -> tuple[Path, dict[str, Tensor]]:
    module = training()
    fitted(module, folder).save_checkpoint(folder / "net.ckpt", weights_only=True)
    return folder / "net.ckpt", copied(module.model)


@case(LIGHTNING, "the Lightning module is the network")
def itself(folder: Path) -> tuple[Path, dict[str, Tensor]]:
    module = Itself()
    fitted(module, folder).save_checkpoint(folder / "net.ckpt")
    return folder / "net.ckpt", copied(module)


@case(LIGHTNING, "the same, its criterion has weights", refused="with every member")
def itself_with_a_criterion(folder: Path) -> tuple[Path, dict[str, Tensor]]:
    module = Itself(weighted=True)
    fitted(module, folder).save_checkpoint(folder / "net.ckpt")
    wanted = copied(module)
    del wanted["criterion.weight"]
    return folder / "net.ckpt", wanted


@case(LIGHTNING, "callback `EMAWeightAveraging`", refused="several networks that fit")
def exponential_average(folder: Path) -> tuple[Path, dict[str, Tensor]]:
    kept = ModelCheckpoint(folder, save_last=True)
    fitted(training(), folder, EMAWeightAveraging(decay=0.9), kept)
    saved = torch.load(folder / "last.ckpt", weights_only=False)["state_dict"]
    prefix = "model."
    return folder / "last.ckpt", {
        key.removeprefix(prefix): value for key, value in saved.items() if key.startswith(prefix)
    }


@case(LIGHTNING, "callback `StochasticWeightAveraging`", refused="several networks that fit")
def stochastic_average(folder: Path) -> tuple[Path, dict[str, Tensor]]:
    module = training()
    averaging = StochasticWeightAveraging(0.01, swa_epoch_start=1)
    fitted(module, folder, averaging).save_checkpoint(folder / "net.ckpt")
    return folder / "net.ckpt", copied(module.model)


@case(LIGHTNING, "`torch.compile(net)` among the hyper-parameters", refused="more than tensors")
def compiled_hyperparameter(folder: Path) -> tuple[Path, dict[str, Tensor]]:
    net = Net()
    args = argparse.Namespace(seed=1)
    module = Training(torch.compile(net, backend="eager"), 0.01, args, Path("runs"))
    fitted(module, folder).save_checkpoint(folder / "net.ckpt")
    return folder / "net.ckpt", copied(net)


@case(LIGHTNING, '`self.model = torch.compile(net)`, `precision="bf16-true"`')
def compiled_in_half(folder: Path) -> tuple[Path, dict[str, Tensor]]:
    net = Net()
    module = training(torch.compile(net, backend="eager"))
    fitted(module, folder, precision="bf16-true").save_checkpoint(folder / "net.ckpt")
    kinds = {key: value.dtype for key, value in Net().state_dict().items()}
    return folder / "net.ckpt", {k: v.to(kinds[k]) for k, v in copied(net).items()}


@case(LIGHTNING, "`Fabric.save(path, {'model': …, 'optimizer': …})`")
def fabric(folder: Path) -> tuple[Path, dict[str, Tensor]]:
    net = Net()
    fabric = Fabric(accelerator="cpu", devices=1)
    model, optimizer = fabric.setup(net, torch.optim.Adam(net.parameters()))
    state = {"model": model, "optimizer": optimizer, "step": 7}
    fabric.save(folder / "net.ckpt", state)
    return folder / "net.ckpt", copied(net)
