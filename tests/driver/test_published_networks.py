"""Networks as people publish them, converted: outputs near the ANN's, or refused for a reason."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import snnc
from snnc.errors import UnsupportedError
from snnc.frontends import load
from snnc.ir import Graph
from snnc.output_function import applied

WINDOW = 128
LARGEST_ERROR = 0.06
"""Mean relative error of the outputs after `WINDOW` steps."""


def _models(name: str) -> ModuleType:
    path = Path(__file__).parent.parent / "models" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"models_{name}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


networks, fragments, supported = map(_models, ("published_networks", "published", "supported"))


class Joined(nn.Module):
    """A network of several outputs as one of one output: all of them, flat."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([each.flatten(1) for each in self.module(x)], 1)


CONVERTED: dict[str, tuple[type[nn.Module], tuple[int, ...]]] = {
    "mnist-example": (supported.PyTorchMnist, (1, 12, 12)),
    **{cls.__name__: (cls, shape) for cls, shape in networks.TAKEN.items()},
    **{
        cls.__name__: (cls, fragments.TAKEN[cls])
        for cls in (
            fragments.OptionA, fragments.PreActivation, fragments.Dense, fragments.ShuffleUnit,
            fragments.RepVgg, fragments.StochasticDepth, fragments.LayerList, fragments.UNet,
            fragments.Routed, fragments.EegNet, fragments.CorNet, fragments.Detector,
            fragments.Backbone, fragments.Degenerate,
        )
    },
}  # fmt: skip
SEVERAL_OUTPUTS = (fragments.Routed, fragments.Detector)
WITH_LEVELS = (networks.Qcfs,)
"""Their neurons are exact after as many steps as the activation has levels, not in the limit."""
BY_ONNX = (networks.ResNet8, networks.DsCnn, networks.AutoEncoder)


def trained(cls: type[nn.Module], shape: tuple[int, ...]) -> nn.Module:
    """A network whose batch norms have statistics of their inputs."""
    torch.manual_seed(5)
    module = Joined(cls()) if cls in SEVERAL_OUTPUTS else cls()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.momentum = None
    with torch.no_grad():
        module.train()(torch.randn(64, *shape))
    return module.eval()


def relative_error(
    graph: Graph, module: nn.Module, shape: tuple[int, ...], timesteps: int, recipe: str
) -> float:
    """The mean norm of the error of the outputs, over the mean norm of the outputs.

    A constant that is added to all outputs of a sample, as a log-softmax does, is no error.
    """
    generator = torch.Generator().manual_seed(1)
    calibration, x = (torch.randn(n, *shape, generator=generator) for n in (64, 16))
    compiled = snnc.compile(
        graph, target="reference", recipe=recipe, timesteps=timesteps, calibration=calibration
    )
    found = applied(compiled.graph.meta, compiled.program.run(x.numpy()).output)
    with torch.no_grad():
        wanted = module(x).numpy()
    error, size = (_norms(each) for each in (found - wanted, wanted))
    return float(error.mean() / size.mean())


def _norms(values: NDArray[np.float32]) -> NDArray[np.float32]:
    flat = values.reshape(len(values), -1)
    return np.linalg.norm(flat - flat.mean(1, keepdims=True), axis=1)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("name", CONVERTED)
def test_the_outputs_are_near_those_of_torch(name: str) -> None:
    cls, shape = CONVERTED[name]
    module = trained(cls, shape)
    exact = cls in WITH_LEVELS
    timesteps, recipe = (8, "convert{wait=T}") if exact else (WINDOW, "convert")
    error = relative_error(snnc.trace(module, shape), module, shape, timesteps, recipe)
    assert error <= (1e-5 if exact else LARGEST_ERROR)


@pytest.mark.parametrize("cls", BY_ONNX, ids=lambda cls: cls.__name__)
def test_the_outputs_of_an_onnx_file_are_near_those_of_torch(
    cls: type[nn.Module], tmp_path: Path
) -> None:
    shape, path = networks.TAKEN[cls], tmp_path / "model.onnx"
    module = trained(cls, shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the two exporters about each other
        torch.onnx.export(module, (torch.zeros(1, *shape),), path, dynamo=False, verbose=False)
    assert relative_error(load(str(path)), module, shape, WINDOW, "convert") <= LARGEST_ERROR


def test_a_falling_activation_before_a_max_pool_is_near_that_of_torch() -> None:
    """As a LeakyReLU of a negative slope: the largest count is not that of the largest value."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.LeakyReLU(-0.1), nn.MaxPool2d(2, 2)).eval()
    graph = snnc.trace(module, (3, 8, 8))
    assert relative_error(graph, module, (3, 8, 8), WINDOW, "convert") <= LARGEST_ERROR


def test_several_outputs_are_refused_with_their_names() -> None:
    graph = snnc.trace(fragments.Routed().eval(), fragments.TAKEN[fragments.Routed])
    with pytest.raises(UnsupportedError, match="far, near") as caught:
        snnc.compile(graph, target="reference")
    assert "torch.cat" in str(caught.value.hint)
