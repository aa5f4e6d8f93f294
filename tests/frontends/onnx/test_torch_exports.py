"""A network by torch and by its ONNX export: the same logits, and the same graph up to names."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from snnc.frontends import load, trace
from snnc.interp import run_ann
from snnc.ir import Graph
from snnc.transform import PassContext
from snnc_passes.fold.fold_batchnorm import FoldBatchnorm


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(6, 6, 3, padding=1, bias=False) for _ in range(2))
        self.norms = nn.ModuleList(nn.BatchNorm2d(6) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.norms[0](self.first(x)))
        return F.relu(self.norms[1](self.second(y)) + x)


def residual() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.ReLU(), Residual(), nn.AvgPool2d(2),
        nn.Conv2d(6, 6, 3, groups=6), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(),
        nn.Dropout(0.5), nn.Linear(24, 5),
    )  # fmt: skip


def vgg() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 8, 3, dilation=2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 5),
    )  # fmt: skip


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.left, self.right = (
            nn.Conv2d(3, 8, 1),
            nn.Conv2d(4, 4, 1),
            nn.Conv2d(4, 4, 3),
        )
        self.fc = nn.Linear(8 * 16, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a, b = self.conv(x).relu().chunk(2, dim=1)
        y = torch.cat([self.left(a), F.pad(self.right(b), (1, 1, 1, 1))], dim=1)
        n, c, h, w = y.shape
        y = y.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        y = F.interpolate(F.max_pool2d(y.relu(), 4), scale_factor=2)
        return self.fc(y[:, :, :4, :4].flatten(1) / 2)


def wave() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(3, 4, 5, stride=2), nn.BatchNorm1d(4), nn.ReLU(), nn.MaxPool1d(2), nn.Flatten(),
        nn.LazyLinear(4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2), nn.LogSoftmax(dim=1),
    )  # fmt: skip


class Decoder(nn.Module):
    """What repeats, turns and shifts elements, and transposed convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.up = nn.ConvTranspose2d(8, 4, 3, stride=2, padding=1, output_padding=1, groups=2)
        self.shuffle = nn.PixelShuffle(2)
        self.last = nn.ConvTranspose2d(6, 2, 4, stride=2, padding=1, bias=False)
        self.large = nn.Upsample(scale_factor=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.down(x).relu()
        y = torch.cat([self.up(y).relu(), self.shuffle(y)], dim=1)
        y = torch.roll(y.flip(3), 2, dims=2)
        return self.large(self.last(y * 2 - y[:, :1].expand(-1, 6, -1, -1)))


CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "residual": (residual, (3, 16, 16)),
    "vgg": (vgg, (3, 18, 18)),
    "branches": (Branches, (3, 8, 8)),
    "decoder": (Decoder, (3, 8, 6)),
    "wave": (wave, (3, 20)),
}


def folded(graph: Graph) -> Graph:
    return FoldBatchnorm().run(graph.clone(), PassContext()).graph


def spelled(graph: Graph) -> list[tuple[object, ...]]:
    """Ops and edges without names, in an order that names do not decide."""
    place = {node.name: i for i, node in enumerate(graph)}
    found: list[tuple[object, ...]] = []
    for node in graph:
        shapes = {field: graph.params[ref.name].shape for field, ref in node.op.refs().items()}
        plain = {k: v for k, v in vars(node.op).items() if k not in shapes}
        found.append((node.op.mnemonic, plain, shapes, [place[name] for name in node.inputs]))
    return found


WAYS = [(case, False) for case in CASES] + [("branches", True)]


@pytest.mark.parametrize(("case", "dynamo"), WAYS)
def test_the_same_network(case: str, dynamo: bool, tmp_path: Path) -> None:
    build, shape = CASES[case]
    torch.manual_seed(0)
    model = build()
    x = torch.randn(6, *shape)
    model(x)  # lazy layers and running statistics
    model.eval()
    path = tmp_path / "model.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the two exporters about each other
        dims = {"dynamic_shapes": ({0: "N"},)} if dynamo else {"dynamic_axes": {"x": {0: "N"}}}
        torch.onnx.export(
            model, (x,), path, dynamo=dynamo, input_names=["x"], verbose=False, **dims
        )
    graph = load(str(path))
    with torch.no_grad():
        wanted = model[:-1](x).numpy() if case == "wave" else model(x).numpy()
    found = run_ann(graph, x.numpy())[graph.outputs[0]].numpy()
    assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()
    assert spelled(folded(graph)) == spelled(folded(trace(model, shape)))
