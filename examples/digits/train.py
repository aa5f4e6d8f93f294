"""Train the digits network and save `weights.safetensors` beside this file. Takes seconds.

python examples/digits/train.py [--epochs 60] [--seed 0]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from net import build
from safetensors.torch import save_file
from torch import nn

from snnc.data import open_data

BATCH = 64


def load(split: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (N,1,8,8) in [0,1] and labels (N,) of `digits#train` or `digits#test`."""
    ((images, labels),) = open_data(f"digits#{split}", batch_size=2000)
    return torch.from_numpy(images), torch.as_tensor(labels, dtype=torch.long)


def train(model: nn.Module, epochs: int) -> None:
    """Fit `model` to the training split with AdamW and a one-cycle schedule."""
    images, labels = load("train")
    batches = len(images) // BATCH
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=epochs * batches)
    model.train()
    for _ in range(epochs):
        for chosen in torch.randperm(len(images)).split(BATCH)[:batches]:
            loss = nn.functional.cross_entropy(model(images[chosen]), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


def accuracy(model: nn.Module, split: str) -> float:
    """Share of the split's images that `model` classifies correctly."""
    images, labels = load(split)
    model.eval()
    with torch.no_grad():
        return float((model(images).argmax(1) == labels).float().mean())


def main() -> None:
    """Train, save, and print the accuracy on both splits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", type=Path, default=Path(__file__).with_name("weights.safetensors"))
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    torch.use_deterministic_algorithms(True)
    model = build()
    train(model, options.epochs)
    save_file(model.state_dict(), options.o)
    print(f"train {accuracy(model, 'train'):.4f}  test {accuracy(model, 'test'):.4f}")


if __name__ == "__main__":
    main()
