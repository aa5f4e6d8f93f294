"""A network of several outputs is refused by every verb that compiles or compares one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import snnc
from snnc.driver.artifacts import evaluate
from snnc.driver.models import ModelSource
from snnc.errors import UnsupportedError


class Heads(nn.Module):
    """A hidden layer and `count` linear layers after it; one is returned alone."""

    def __init__(self, count: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.heads = nn.Linear(6, 8), nn.ModuleList(nn.Linear(8, 3) for _ in range(count))

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        x = torch.relu(self.fc(x))
        outputs = tuple(head(x) for head in self.heads)
        return outputs if len(outputs) > 1 else outputs[0]


X = np.random.default_rng(0).random((20, 6), np.float32)
WORDS = r"has 2 outputs \(heads\.0, heads\.1\); a compiled network has one"


def test_two_outputs_are_traced_but_neither_compiled_nor_diagnosed() -> None:
    assert len(snnc.trace(Heads(2), (6,)).outputs) == 2
    with pytest.raises(UnsupportedError, match=WORDS):
        snnc.compile(Heads(2), input_shape=(6,), calibration=X, target="reference")
    with pytest.raises(UnsupportedError, match=WORDS):
        snnc.diagnose(Heads(2), input_shape=(6,), calibration=X)


def test_a_model_of_two_outputs_is_not_compared(tmp_path: Path) -> None:
    path = tmp_path / "net.snnc"
    snnc.compile(Heads(1), input_shape=(6,), calibration=X, target="reference", output=path)
    with pytest.raises(UnsupportedError, match=WORDS):
        evaluate(path, X, compare=ModelSource(model=Heads(2)))


@pytest.mark.parametrize("kind", [torch.float16, torch.float64])
def test_a_model_in_other_floats_is_compared_in_float32(tmp_path: Path, kind: torch.dtype) -> None:
    path, model = tmp_path / "net.snnc", Heads(1).to(kind)
    snnc.compile(model, input_shape=(6,), calibration=X, target="reference", output=path)
    report = evaluate(path, X, compare=ModelSource(model=model)).report()
    assert report["ann_max_rel_diff"] < 1e-5
