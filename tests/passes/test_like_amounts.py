"""The input and large pools beside spikes, in 8 bits: no scale serves amounts of both sizes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import snnc
from snnc.interp import run_ann
from snnc.ir import Graph, Identity
from snnc.pipeline import Pipeline
from snnc.transform import PassContext

ALWAYS = "lower-avgpool,linear-bottlenecks{always=true}"


class Beside(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.a, self.c = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(2, 5, 3, padding=1)
        self.g = nn.Conv2d(4, 5, 1)
        self.b = nn.Conv2d(channels, 5, 3, padding=1)
        self.last = nn.Linear(5 * 64, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.relu(self.sum(F.relu(self.a(x)), x)).flatten(1))

    def sum(self, y: Tensor, x: Tensor) -> Tensor:
        raise NotImplementedError


class InputJoined(Beside):
    def sum(self, y: Tensor, x: Tensor) -> Tensor:
        return self.b(torch.cat([y, x.flip(3)], 1))


class InputAdded(Beside):
    def sum(self, y: Tensor, x: Tensor) -> Tensor:
        return self.b(y) + self.c(x)


class PoolAdded(Beside):
    def sum(self, y: Tensor, x: Tensor) -> Tensor:
        return self.b(y) + self.g(y.mean((2, 3), keepdim=True))


class SmallPoolAdded(Beside):
    def sum(self, y: Tensor, x: Tensor) -> Tensor:
        return self.b(y) + self.g(F.avg_pool2d(y, 3, 1, 1))


def made(cls: type[Beside]) -> tuple[nn.Module, Graph]:
    torch.manual_seed(1)
    module = cls(6 if cls is InputJoined else 4).eval()
    return module, snnc.trace(module, (2, 8, 8))


@pytest.mark.parametrize("cls", [InputJoined, InputAdded, PoolAdded], ids=lambda cls: cls.__name__)
def test_what_takes_many_events_beside_spikes_gets_an_activation(cls: type[Beside]) -> None:
    module, graph = made(cls)
    x = np.random.default_rng(0).random((24, 2, 8, 8), dtype=np.float32)
    compiled = snnc.compile(
        graph, target="reference", recipe="convert{bits=8}", timesteps=32, calibration=x
    )
    with torch.no_grad():
        wanted = module(torch.from_numpy(x)).numpy()
    error = np.linalg.norm(compiled.program.run(x).output - wanted) / np.linalg.norm(wanted)
    assert error < 0.06, "without it 0.4 to 0.8"
    lowered = Pipeline.from_text(ALWAYS).run(graph, PassContext()).graph
    (found, expected) = (run_ann(g, x)[g.outputs[0]] for g in (lowered, graph))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("cls", "source"), [(PoolAdded, "mean.scale"), (InputAdded, "input"), (SmallPoolAdded, None)]
)
def test_that_of_a_large_pool_stands_behind_it(cls: type[Beside], source: str | None) -> None:
    lowered = Pipeline.from_text(ALWAYS).run(made(cls)[1], PassContext()).graph
    put_in = [node.name for node in lowered if isinstance(node.op, Identity)]
    assert put_in == ([] if source is None else [f"{source}.spikes"])
