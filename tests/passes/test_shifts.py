"""Shifts that no weighted layer follows: concatenations, upsampling and dense blocks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from snnc.frontends import trace
from snnc.interp import run_ann, run_snn
from snnc.ir import Concat, Graph, Neuron, Relu, Scale, Signal, Weighted
from snnc.ir.dequantize import dequantize
from snnc.pipeline import Pipeline
from snnc.testing import assert_equal_runs, load_program
from snnc.transform import PassContext
from snnc_backends.cpu import CpuBackend
from snnc_backends.crossbar import CrossbarBackend
from snnc_backends.reference import ReferenceBackend
from snnc_passes.recipes.convert import Convert

SHAPE = (2, 6, 6)
LOWERED = "fold-batchnorm,fold-normalization,lower-avgpool,lower-maxpool,split-sums"
T = 16


def norm(channels: int) -> nn.BatchNorm2d:
    """A batch norm whose factor is negative in one channel and 0 in another."""
    made = nn.BatchNorm2d(channels)
    with torch.no_grad():
        made.running_mean.normal_(0, 0.3)  # type: ignore[union-attr]
        made.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
        made.weight.uniform_(0.5, 1.5)
        made.weight[0] *= -1
        made.weight[1] = 0
        made.bias.normal_(0, 0.3)
    return made


class Joined(nn.Module):
    """Branches of ReLUs, with and without batch norm, pools or a border behind them."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        rng = np.random.default_rng(seed)
        self.convs, self.norms = nn.ModuleList(), nn.ModuleList()
        self.forms = [int(rng.integers(4)) for _ in range(3)]
        for number, form in enumerate(self.forms):
            self.convs.append(nn.Conv2d(2, 3 + number, 3, padding=1))
            plain = form == 3 or rng.random() < 0.3
            self.norms.append(nn.Identity() if plain else norm(3 + number))
        self.after = norm(12) if rng.random() < 0.5 else nn.Identity()
        self.twice = bool(rng.random() < 0.5)
        self.last = norm(12)
        self.end = nn.Conv2d(12, 4, 3, padding=1) if rng.random() < 0.5 else nn.Identity()
        self.fc = nn.LazyLinear(5)

    def forward(self, x: Tensor) -> Tensor:
        parts = [
            self.shaped(form, norm(torch.relu(conv(x))))
            for conv, norm, form in zip(self.convs, self.norms, self.forms, strict=True)
        ]
        x = self.after(torch.cat(parts, 1))
        if self.twice:
            x = torch.relu(self.last(F.interpolate(x, scale_factor=2)))
        return self.fc(torch.relu(self.end(x)).flatten(1))

    def shaped(self, form: int, x: Tensor) -> Tensor:
        if form == 1:
            return F.pad(F.avg_pool2d(x, 2), (1, 2, 2, 1))
        if form == 2:
            return x.flip(2)
        return F.max_pool2d(x, 3, 1, 1) if form == 3 else x


class Dense(nn.Module):
    """DenseNet: every layer takes the concatenation of all currents before it."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        rng = np.random.default_rng(seed)
        self.stem, self.pooled = nn.Conv2d(2, 4, 3, padding=1), bool(rng.random() < 0.5)
        self.layers, channels = nn.ModuleList(), 4
        for _ in range(3):
            small = nn.Conv2d(channels, 5, 1, bias=False)
            wide = nn.Conv2d(5, 3, 3, padding=1, bias=False)
            bound = nn.ReLU6() if rng.random() < 0.3 else nn.ReLU()
            self.layers.append(nn.ModuleList([norm(channels), bound, small, norm(5), wide]))
            channels += 3
        self.norm, self.squeeze, self.second = norm(channels), nn.Conv2d(channels, 4, 1), norm(4)
        self.fc = nn.LazyLinear(5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        parts = [F.max_pool2d(torch.relu(x), 3, 1, 1) if self.pooled else F.avg_pool2d(x, 3, 1, 1)]
        for first, act, small, second, wide in self.layers:  # type: ignore[misc]
            y = act(first(torch.cat(parts, 1)))
            parts.append(wide(torch.relu(second(small(y)))))
        y = F.max_pool2d(torch.relu(self.norm(torch.cat(parts, 1))), 2)
        return self.fc(torch.relu(self.second(self.squeeze(y))).flatten(1))


CASES = [*((Joined, seed) for seed in range(8)), *((Dense, seed) for seed in range(4))]


def network(cls: type[nn.Module], seed: int) -> nn.Module:
    torch.manual_seed(seed)
    made = cls(seed).eval()  # type: ignore[call-arg]
    with torch.no_grad():
        made(torch.zeros(1, *SHAPE))
    return made


def samples(count: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).random((count, *SHAPE), dtype=np.float32)


def run(text: str, graph: Graph) -> Graph:
    context = PassContext(timesteps=T, calibration=[(samples(48), None)], ann=graph)
    return Pipeline.from_text(text).run(graph, context).graph


@pytest.mark.parametrize(("cls", "seed"), CASES)
def test_the_lowered_graph_means_what_torch_computes(cls: type[nn.Module], seed: int) -> None:
    module = network(cls, seed)
    lowered, x = run(LOWERED, trace(module, SHAPE)), torch.from_numpy(samples(3)).double()
    found = run_ann(lowered, x, dtype=torch.float64)[lowered.outputs[0]]
    with torch.no_grad():
        wanted = module.double()(x)
    assert float((found - wanted).abs().max()) <= 1e-5 * float(wanted.abs().max())


@pytest.mark.parametrize(("cls", "seed"), CASES)
def test_integers_are_equal_on_every_target(cls: type[nn.Module], seed: int) -> None:
    graph = run(Convert(bits=8).pipeline(), trace(network(cls, seed), SHAPE))
    assert graph.quantized
    for node in graph:
        if isinstance(node.op, Weighted):
            assert graph.type_of(node.inputs[0]).signal is not Signal.CURRENT, node.name
    x = samples(4)
    backends = (ReferenceBackend(), CpuBackend(), CrossbarBackend())
    reference, *others = (load_program(b, graph, T).run(x, record="spikes") for b in backends)
    for other in others:
        assert_equal_runs(other, reference, "all")


@pytest.mark.parametrize("seed", range(4))
def test_layers_of_a_dense_block_are_not_copied(seed: int) -> None:
    traced = trace(network(Dense, seed), SHAPE)
    graph = run(LOWERED, traced)
    layers, more = (sum(isinstance(n.op, Weighted) for n in g) for g in (traced, graph))
    assert more <= layers + 1  # the stem of some has a user beside the concatenations
    behind = {user for n in graph if isinstance(n.op, Concat) for user, _ in n.users}
    factors = [
        node.op.factor for node in graph if isinstance(node.op, Scale) and node.name in behind
    ]
    assert factors and all(np.isin(graph.array(f), (-1, 0, 1)).all() for f in factors)
    x = samples(3)
    for relu in relus(traced):
        before, after = (run_ann(g, x).get(relu.name) for g in (traced, graph))
        if before is not None and after is not None:
            torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)


def relus(graph: Graph) -> list:
    return [node for node in graph if isinstance(node.op, Relu)]


@pytest.mark.parametrize("seed", range(2))
def test_integers_come_back_as_real_values(seed: int) -> None:
    graph = run(Convert(bits=8).pipeline(), trace(network(Dense, seed), SHAPE))
    real = dequantize(graph)
    assert not real.quantized and sum(isinstance(n.op, Neuron) for n in real) > 6
    found, wanted = (
        run_snn(g, samples(8), timesteps=T).outputs[g.outputs[0]].numpy() for g in (real, graph)
    )
    np.testing.assert_allclose(found, wanted, rtol=0.05, atol=0.02 * np.abs(wanted).max())
