"""The architectures of torchvision: imported with torch's logits, narrow and for small images."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from snnc.frontends import trace
from snnc.interp import run_ann


def _architectures() -> ModuleType:
    path = Path(__file__).parent.parent / "models" / "architectures.py"
    spec = importlib.util.spec_from_file_location("models_architectures", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


architectures = _architectures()
PARAMETERS = {
    "alexnet": 61_100_840, "vgg11-bn": 132_868_840, "vgg16": 138_357_544, "resnet18": 11_689_512,
    "resnet50": 25_557_032, "squeezenet": 1_235_496, "mobilenet-v2": 3_504_872,
    "mnasnet": 4_383_312, "regnet-x": 5_495_976, "densenet121": 7_978_856,
    "googlenet": 6_624_904, "inception-v3": 23_834_568, "shufflenet-v2": 2_278_604,
}  # fmt: skip
"""As torchvision states them; of GoogLeNet and Inception-v3 without the auxiliary classifiers."""
SMALLEST = {"alexnet": 64, "inception-v3": 75}
"""Height and width of the smallest image, where 32 is too small."""


@pytest.mark.parametrize("name", architectures.ARCHITECTURES)
def test_at_full_width_it_has_the_parameters_of_the_original(name: str) -> None:
    build, size = architectures.ARCHITECTURES[name]
    with torch.device("meta"):
        module = build(1).eval()
        assert module(torch.zeros(2, 3, size, size)).shape == (2, architectures.CLASSES)
    assert sum(p.numel() for p in module.parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", architectures.ARCHITECTURES)
def test_imported_with_the_logits_of_torch(name: str) -> None:
    torch.manual_seed(0)
    size = SMALLEST.get(name, 32)
    module = architectures.ARCHITECTURES[name][0](1 / 16).eval()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            assert part.running_mean is not None and part.running_var is not None
            part.running_mean.normal_(std=0.1)
            part.running_var.uniform_(0.5, 2)
    x = torch.randn(2, 3, size, size)
    graph = trace(module, (3, size, size))
    found = run_ann(graph, x, dtype=torch.float64)[graph.outputs[0]]
    with torch.no_grad():
        wanted = module.double()(x.double())
    assert float((found - wanted).abs().max()) < 1e-5 * float(wanted.abs().max())
