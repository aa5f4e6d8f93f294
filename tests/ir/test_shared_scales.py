"""Channels that share a scale: those whose integers are added, through concatenations too (S19)."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import snnc
from snnc.ir import Graph, Neuron
from snnc.ir.dequantize import dequantize
from snnc.ir.populations import groups
from snnc.ir.shared_scales import shared_channels


class DenseBlock(nn.Module):
    """Two layers of a DenseNet, the weights of one of which are 200 times as large."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.a = nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(3, 2, 3, padding=1)
        self.b, self.last = nn.Conv2d(5, 2, 1), nn.Conv2d(7, 3, 1)
        self.a.weight.data *= 200

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = torch.cat([x, self.a(F.relu(x))], 1)
        x = torch.cat([x, self.b(F.relu(x)) * 0.01], 1)
        return self.last(F.relu(x)).mean((2, 3))


def compiled(x: np.ndarray, bits: int | None) -> tuple[Graph, np.ndarray]:
    torch.manual_seed(0)
    graph = snnc.trace(DenseBlock().eval(), (2, 6, 6))
    recipe = f"convert{{bits={bits}}}" if bits else "convert"
    result = snnc.compile(graph, target="reference", recipe=recipe, timesteps=16, calibration=x)
    return result.graph, result.program.run(x).output


def test_every_branch_of_a_concatenation_has_its_own_scales() -> None:
    x = np.random.default_rng(0).random((24, 2, 6, 6), dtype=np.float32)
    graph, found = compiled(x, 8)
    _, real = compiled(x, None)
    units = [
        graph.array(node.op.unit)
        for node in graph
        if isinstance(node.op, Neuron) and graph.type_of(node.name).shape[0] == 7
    ]
    (of_join,) = units
    assert len(np.unique(of_join)) == 7
    assert of_join[3:5].min() > 20 * of_join[:3].max()
    error = np.linalg.norm(found - real) / np.linalg.norm(real)
    assert error < 0.1, "of 16 steps; 0.24 with one scale for the block"
    shapes = {name: kind.shape for name, kind in graph.types().items()}
    (block,) = (group for group in groups(graph) if len(group.populations) == 3)
    classes = shared_channels(graph, block, shapes)
    assert sorted(set(np.concatenate([*classes.values()]))) == list(range(7))
    assert not dequantize(graph).quantized
