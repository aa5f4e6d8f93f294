"""A factor behind a sum of layers folds into all of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool2d

import snnc
from snnc.interp import run_ann
from snnc.ir import Scale
from snnc.transform import PassContext
from snnc_passes.fold.fold_batchnorm import FoldBatchnorm
from snnc_passes.fold.fold_scale import FoldScale
from snnc_passes.lower.lower_avgpool import LowerAvgpool


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
