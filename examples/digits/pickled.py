"""Write the trained digits network as a pickled module of torch's own layers.

python examples/digits/pickled.py model.pt
"""

from __future__ import annotations

import argparse
from collections import OrderedDict
from pathlib import Path

import torch
from net import build
from safetensors.torch import load_file
from torch import nn


def layers() -> nn.Sequential:
    """The network of `net.py` as one `nn.Sequential`, with the bundled weights."""
    net = build()
    net.load_state_dict(load_file(Path(__file__).with_name("weights.safetensors")))
    parts = OrderedDict(
        conv1=net.conv1, bn1=net.bn1, relu1=nn.ReLU(), pool1=net.pool,
        conv2=net.conv2, bn2=net.bn2, relu2=nn.ReLU(), pool2=nn.AvgPool2d(2),
        flatten=nn.Flatten(), fc1=net.fc1, relu3=nn.ReLU(), drop=net.drop, fc2=net.fc2,
    )  # fmt: skip
    return nn.Sequential(parts).eval()


def main() -> None:
    """Save the network to the path on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path, help="the file to write, e.g. model.pt")
    torch.save(layers(), parser.parse_args().output)


if __name__ == "__main__":
    main()
