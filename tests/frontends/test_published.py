"""Networks in the spellings of published code: imported with torch's logits, or refused by name."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from snnc.errors import UnsupportedError
from snnc.frontends import trace
from snnc.interp import run_ann


def _models(name: str) -> ModuleType:
    path = Path(__file__).parent.parent / "models" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"models_{name}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


published, refused = _models("published"), _models("published_refused")


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("cls", published.TAKEN, ids=lambda cls: cls.__name__)
def test_taken_with_the_logits_of_torch(cls: type[nn.Module]) -> None:
    torch.manual_seed(11)
    module, shape = cls().eval(), published.TAKEN[cls]
    for name, part in module.named_modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            assert part.running_mean is not None and part.running_var is not None
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
            if name == "still":
                part.running_var.zero_()
    x = torch.randn(3, *shape, dtype=torch.float32)
    graph = trace(module, shape)
    values = run_ann(graph, x, dtype=torch.float64)
    with torch.no_grad():
        wanted: Any = module.double()(x.double())
    outputs = [wanted] if isinstance(wanted, Tensor) else list(wanted)
    assert len(outputs) == len(graph.outputs)
    for output, expected in zip(graph.outputs, outputs, strict=True):
        error = (values[output] - expected).abs().max() / expected.abs().max()
        assert float(error) < 1e-5


@pytest.mark.parametrize("cls", refused.REFUSED, ids=lambda cls: cls.__name__)
def test_refused_by_name_at_the_users_line(cls: type[nn.Module]) -> None:
    with pytest.raises(UnsupportedError) as caught:
        trace(cls(), (3, 8, 8))
    assert refused.REFUSED[cls] in caught.value.message
    problems = caught.value.problems
    assert problems and all(str(p.loc).startswith("tests/models/") for p in problems)
