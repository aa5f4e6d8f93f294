"""A factor behind a sum of layers folds into all of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool2d

import snnc
from snnc.interp import run_ann
from snnc.ir import Add, Relu, Scale
from snnc.transform import PassContext
from snnc_passes.fold.fold_batchnorm import FoldBatchnorm
from snnc_passes.fold.fold_scale import FoldScale
from snnc_passes.lower.lower_avgpool import LowerAvgpool
from snnc_passes.lower.split_sums import SplitSums


class Sum(nn.Module):
    """Two layers added, averaged, shifted and, if `shared`, one of them read once more."""

    def __init__(self, shared: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two = nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(2, 3, 1)
        self.norm, self.shared = nn.BatchNorm2d(3), shared
        self.norm.running_mean.normal_()
        self.norm.running_var.uniform_(0.5, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one = self.one(x)
        y = self.norm(avg_pool2d(one + self.two(x), 2))
        return y + avg_pool2d(one, 2) if self.shared else y


@pytest.mark.parametrize("shared", [False, True])
def test_a_factor_behind_a_pooled_sum(shared: bool) -> None:
    model = Sum(shared).eval()
    graph = snnc.trace(model, (2, 4, 4))
    folded = graph
    for each in (FoldBatchnorm(), LowerAvgpool(), FoldScale()):
        folded = each.run(folded, PassContext()).graph
    assert any(isinstance(node.op, Scale) for node in folded) == shared
    x = np.random.default_rng(0).standard_normal((3, 2, 4, 4), dtype=np.float32)
    wanted = model(torch.from_numpy(x)).detach()
    torch.testing.assert_close(run_ann(folded, x)[folded.outputs[0]], wanted, rtol=0, atol=1e-5)


def test_a_leaky_head_with_a_global_average_compiles_to_integers() -> None:
    torch.manual_seed(0)
    head = (nn.Conv2d(4, 3, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.LeakyReLU(0.2), *head).eval()
    x = np.random.default_rng(0).random((16, 1, 6, 6), dtype=np.float32)
    options = {"recipe": "convert{bits=8}", "timesteps": 32, "calibration": x}
    compiled = snnc.compile(model, input_shape=(1, 6, 6), target="reference", **options)
    wanted = model(torch.from_numpy(x)).detach().numpy()
    found = compiled.program.run(x).output
    assert np.abs(found - wanted).max() < 0.03 * np.abs(wanted).max()


class LikeTerms(nn.Module):
    """A layer of 3 y - y + 1."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 2, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.one(x)
        return self.two(-y + (3 * y + 1))


def test_terms_of_one_source_are_one_factor_and_compile_to_integers() -> None:
    model = LikeTerms().eval()
    split = SplitSums().run(snnc.trace(model, (1, 7, 7)), PassContext()).graph
    assert not any(isinstance(node.op, Add) for node in split)
    x = np.random.default_rng(0).random((16, 1, 7, 7), dtype=np.float32)
    wanted = model(torch.from_numpy(x)).detach()
    torch.testing.assert_close(run_ann(split, x)[split.outputs[0]], wanted, rtol=0, atol=1e-5)
    options = {"recipe": "convert{bits=8}", "timesteps": 128, "calibration": x}
    compiled = snnc.compile(model, input_shape=(1, 7, 7), target="cpu", **options)
    found = compiled.program.run(x).output
    assert np.abs(found - wanted.numpy()).max() < 0.03 * np.abs(wanted.numpy()).max()


def test_terms_of_one_source_among_others() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, 1), nn.ReLU())
    graph = snnc.trace(model, (1, 5, 5))
    (relu,) = graph.outputs
    first = next(node.name for node in graph if isinstance(node.op, Relu))
    half = graph.add("half", Scale(factor=0.5), [relu])
    graph.outputs = (graph.add("sum", Add(), [relu, first, half]),)
    x = np.random.default_rng(0).random((2, 1, 5, 5), dtype=np.float32)
    wanted = run_ann(graph, x)["sum"]
    split = SplitSums().run(graph, PassContext()).graph
    torch.testing.assert_close(run_ann(split, x)[split.outputs[0]], wanted, rtol=0, atol=1e-6)
    assert [len(node.inputs) for node in split if isinstance(node.op, Add)] == [2]


def test_a_term_that_cancels_leaves_only_shifts() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())
    graph = snnc.trace(model, (1, 5, 5))
    (relu,) = graph.outputs
    less = graph.add("less", Scale(factor=-1.0), [relu])
    graph.outputs = (graph.add("zero", Add(), [relu, less]),)
    split = SplitSums().run(graph, PassContext()).graph
    x = np.random.default_rng(0).random((2, 1, 5, 5), dtype=np.float32)
    assert not run_ann(split, x)[split.outputs[0]].any()
    assert not any(isinstance(node.op, Add) for node in split)
