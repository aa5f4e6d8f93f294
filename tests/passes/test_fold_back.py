"""Factors of currents go into the layers before them, or a linear activation makes them spikes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, pad

import snnc
from snnc.frontends import trace
from snnc.interp import run_ann
from snnc.interp.program import ReferenceProgram
from snnc.ir import Scale
from snnc.testing import assert_equal_runs
from snnc.transform import PassContext
from snnc_passes.fold.fold_scale import FoldScale

SHAPE = (2, 6, 6)


def norm(channels: int) -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(channels)
    layer.running_mean.uniform_(-1, 1)
    layer.running_var.uniform_(0.5, 2)
    return layer


class PaddedAverage(nn.Module):
    """Windows cut by the border: the factor of the average folds, a shift does not."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(2, 3, 3), nn.Linear(75, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = avg_pool2d(self.conv(x), 2, 1, padding=1)
        return self.fc(torch.relu(y).flatten(1))


class AverageOfDifference(nn.Module):
    """A layer minus an activation, padded and averaged: the factor goes into both."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 2, 1)
        self.fc = nn.Linear(72, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = pad(self.one(x) - torch.relu(self.two(x)), (0, 2, 2, 0))[..., :6, :6]
        return self.fc(torch.relu(interpolate(avg_pool2d(y, 2), scale_factor=2)).flatten(1))


class NormOfRows(nn.Module):
    """A batch norm whose channels are the rows of a layer: no factor of the layer's channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(2, 3, 3), norm(4), nn.Linear(48, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(x).transpose(1, 2))
        return self.fc(torch.relu(y).flatten(1))


class NormBeforeSpread(nn.Module):
    """A batch norm of a layer's rows, before a layer that spreads its input with zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 3, 3), norm(3)
        self.spread, self.fc = nn.ConvTranspose2d(4, 2, 2, stride=3), nn.Linear(176, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(x).flip(1)).transpose(1, 2)
        return self.fc(torch.relu(self.spread(y)).flatten(1))


class NormBeforeView(nn.Module):
    """A batch norm before a view that makes other channels of its elements, and two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.one, self.two = norm(2), nn.Conv2d(3, 2, 2), nn.Conv2d(3, 2, 2)
        self.fc = nn.Linear(30, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x).view(-1, 3, 4, 6)
        return self.fc(torch.relu(self.one(y) + torch.relu(self.two(y))).flatten(1))


class PooledInput(nn.Module):
    """Averages and a batch norm of the input before the first activation."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.fc = norm(2), nn.Linear(2, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = avg_pool2d(self.norm(avg_pool2d(x + x.flip(1), 3)), 2)
        return self.fc(torch.relu(y).flatten(1))


class IdleActivations(nn.Module):
    """Two activations of a sum that is never negative, and a layer behind an average."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(2, 2, 3), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.conv(x))
        return self.fc(avg_pool2d(torch.relu(torch.relu(y + y.flip(1))), 2).flatten(1))


@pytest.mark.parametrize(
    "model",
    [
        PaddedAverage,
        AverageOfDifference,
        NormOfRows,
        NormBeforeSpread,
        NormBeforeView,
        PooledInput,
        IdleActivations,
    ],
)
def test_eight_bits_take_it(model: type[nn.Module]) -> None:
    torch.manual_seed(0)
    net = model().eval()
    x = np.random.default_rng(0).random((16, *SHAPE), dtype=np.float32)
    options = {"recipe": "convert{bits=8}", "timesteps": 32, "calibration": x}
    compiled = snnc.compile(net, input_shape=SHAPE, target="crossbar", **options)
    wanted = net(torch.from_numpy(x)).detach().numpy()
    found = compiled.program.run(x).output
    assert np.abs(found - wanted).max() < 0.1 * np.abs(wanted).max()
    expected = ReferenceProgram(compiled.graph, 32).run(x[:2], record="spikes")
    assert_equal_runs(compiled.program.run(x[:2], record="spikes"), expected, model.__name__)


def test_a_factor_of_the_input_stays() -> None:
    torch.manual_seed(0)
    graph = trace(nn.Sequential(norm(2), nn.ReLU()).eval(), SHAPE)
    graph = snnc.pipeline.Pipeline.from_text("fold-batchnorm").run(graph, PassContext()).graph
    folded = FoldScale().run(graph, PassContext()).graph
    assert [node for node in folded if isinstance(node.op, Scale)]
    x = np.random.default_rng(0).random((2, *SHAPE), dtype=np.float32)
    for one, other in zip(graph.outputs, folded.outputs, strict=True):
        torch.testing.assert_close(run_ann(folded, x)[other], run_ann(graph, x)[one])
