"""Train a network on all training images of CIFAR-10, epoch by epoch, resumable."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from benchmarks.learning.networks import Task, normalized
from snnc.data import open_data

BATCH = 128
PADDING = 4
WARM_UP, FALL = 2, 3
"""Epochs in which the learning rate rises, and in which it falls."""


@dataclass(frozen=True)
class Training:
    """SGD with Nesterov's momentum; the learning rate rises, stays, and falls linearly to 0.

    Attributes:
        epochs: over all 50,000 images.
        bfloat16: whether convolutions and linear layers compute in it.
        lr: highest learning rate, for batches of 128.
        weight_decay: of all parameters.
    """

    epochs: int
    bfloat16: bool
    lr: float = 0.1
    weight_decay: float = 5e-4

    def rate(self, epoch: float) -> float:
        """Learning rate after so many epochs."""
        return self.lr * min(1.0, epoch / WARM_UP, (self.epochs - epoch) / FALL)


def trained(
    model: nn.Sequential, task: Task, training: Training, kept: Path, seed: int = 0
) -> nn.Sequential:
    """`model` after training, from `kept` (safetensors) if it is there.

    An interrupted training goes on behind its last epoch, from `kept` with the suffix `.epoch`.
    """
    if not kept.exists():
        _fit(model, task, training, kept.with_suffix(".epoch"), seed)
        part = kept.with_suffix(".part")
        save_file({k: v.contiguous() for k, v in model.state_dict().items()}, part)
        part.replace(kept)
    model.load_state_dict(load_file(kept))
    return model.to(memory_format=torch.contiguous_format).eval()


def _fit(model: nn.Module, task: Task, training: Training, checkpoint: Path, seed: int) -> None:
    images, labels = _images(task)
    model.to(memory_format=torch.channels_last).train()
    decay = training.weight_decay
    optimizer = torch.optim.SGD(
        model.parameters(), training.lr, momentum=0.9, nesterov=True, weight_decay=decay
    )
    first = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["epochs"]
    for epoch in range(first, training.epochs):
        began, losses = time.monotonic(), list[float]()
        generator = torch.Generator().manual_seed(1000 * seed + epoch)
        for done, x, y in _batches(images, labels, generator):
            optimizer.param_groups[0]["lr"] = training.rate(epoch + done)
            with torch.autocast("cpu", torch.bfloat16, enabled=training.bfloat16):
                logits = model(x)
            loss = F.cross_entropy(logits.float(), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
        part = checkpoint.with_suffix(".part")
        torch.save({**state, "epochs": epoch + 1}, part)
        part.replace(checkpoint)
        figures = f"loss {np.mean(losses):.4f}, {time.monotonic() - began:.0f} s"
        print(f"epoch {epoch + 1} of {training.epochs}: {figures}", file=sys.stderr, flush=True)


def _images(task: Task) -> tuple[Tensor, Tensor]:
    everything = open_data(f"{task.name}:{task.data / task.name}#train")
    x, y = everything.take(np.arange(len(everything)))
    assert y is not None
    return normalized(task, x), torch.from_numpy(y.astype(np.int64))


def _batches(
    images: Tensor, labels: Tensor, generator: torch.Generator
) -> Iterator[tuple[float, Tensor, Tensor]]:
    """Per batch: part of the epoch behind it, images moved and mirrored, labels."""
    order = torch.randperm(len(images), generator=generator)
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        x = _augmented(images[rows], generator).contiguous(memory_format=torch.channels_last)
        yield min(start + BATCH, len(order)) / len(order), x, labels[rows]


def _augmented(images: Tensor, generator: torch.Generator) -> Tensor:
    """Every image moved by up to 4 pixels in each direction, every other one mirrored."""
    count, size = len(images), images.shape[-1]
    windows = F.pad(images, (PADDING,) * 4).unfold(2, size, 1).unfold(3, size, 1)
    top, left = torch.randint(0, 2 * PADDING + 1, (2, count), generator=generator)
    moved = windows[torch.arange(count), :, top, left]
    mirrored = torch.rand(count, 1, 1, 1, generator=generator) < 0.5
    return torch.where(mirrored, moved.flip(-1), moved)
