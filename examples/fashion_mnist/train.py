"""Train the Fashion-MNIST network; minutes on one core.

python examples/fashion_mnist/train.py DIR [-o weights.safetensors] [--epochs 6] [--seed 0]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from net import fashion_resnet
from safetensors.torch import save_file
from torch import Tensor, nn

from snnc.data import open_data

BATCH = 128
TRAINED = "[:55000]"
HELD_OUT = "[55000:]"


def load(folder: Path, part: str) -> tuple[Tensor, Tensor]:
    """Images (N,1,28,28) in [0,1] and labels (N,) of a part of the training split."""
    batches = list(open_data(f"fashion-mnist:{folder}#train{part}", batch_size=5000))
    images = torch.cat([torch.from_numpy(x) for x, _ in batches])
    return images, torch.cat([torch.as_tensor(y, dtype=torch.long) for _, y in batches])


def train(model: nn.Module, images: Tensor, labels: Tensor, epochs: int) -> None:
    """Fit `model` with stochastic gradient descent and a one-cycle schedule, mirrored at random."""
    batches = len(images) // BATCH
    optimizer = torch.optim.SGD(
        model.parameters(), lr=0.2, momentum=0.9, nesterov=True, weight_decay=5e-4
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.2, total_steps=epochs * batches)
    model.train()
    for _ in range(epochs):
        for chosen in torch.randperm(len(images)).split(BATCH)[:batches]:
            mirrored = torch.rand(len(chosen), 1, 1, 1) < 0.5
            x = torch.where(mirrored, images[chosen].flip(3), images[chosen])
            loss = nn.functional.cross_entropy(model(x), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Share of the images that `model` classifies correctly."""
    model.eval()
    with torch.no_grad():
        classes = torch.cat([model(x).argmax(1) for x in images.split(1000)])
    return float((classes == labels).float().mean())


def main() -> None:
    """Train, save, and print the accuracy on the images of the training split held out."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of Fashion-MNIST, official layout")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", type=Path, default=Path(__file__).with_name("weights.safetensors"))
    options = parser.parse_args()
    model = fashion_resnet()
    torch.manual_seed(options.seed)
    torch.use_deterministic_algorithms(True)
    train(model, *load(options.data, TRAINED), options.epochs)
    save_file(model.state_dict(), options.o)
    print(f"held out {accuracy(model, *load(options.data, HELD_OUT)):.4f}")


if __name__ == "__main__":
    main()
