"""Train the digits network and save `weights.safetensors` beside this file. Takes seconds.

python examples/digits/train.py [--epochs 60] [--seed 0]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from net import build
from numpy.typing import NDArray
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from torch import nn

TRAIN_IMAGES = 1297  # of 1797; the other 500 are the test split


def load(split: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Images (N,1,8,8) in [0,1] and labels (N,) of the split that `digits#train|test` names."""
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    chosen = order[:TRAIN_IMAGES] if split == "train" else order[TRAIN_IMAGES:]
    images = (digits.images[chosen, None] / 16).astype(np.float32)
    return images, digits.target[chosen].astype(np.int64)


def train(model: nn.Module, epochs: int, batch: int = 64) -> None:
    """Fit `model` to the training split with Adam and a cosine schedule."""
    images, labels = (torch.from_numpy(array) for array in load("train"))
    steps = epochs * (len(images) // batch)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    model.train()
    for _ in range(epochs):
        for chosen in torch.randperm(len(images)).split(batch)[: len(images) // batch]:
            loss = nn.functional.cross_entropy(model(images[chosen]), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


def accuracy(model: nn.Module, split: str) -> float:
    """Share of the split's images that `model` classifies correctly."""
    images, labels = (torch.from_numpy(array) for array in load(split))
    model.eval()
    with torch.no_grad():
        return float((model(images).argmax(1) == labels).float().mean())


def main() -> None:
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
