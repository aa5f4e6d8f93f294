"""torch.export as the second try: the graph of torch.fx, and modules that that cannot trace."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snnc.errors import UnsupportedError
from snnc.frontends import trace
from snnc.frontends.canonicalize import canonicalize
from snnc.frontends.exporting import export
from snnc.frontends.untraceable import UntraceableError
from snnc.interp import run_ann
from snnc.ir import Graph

HERE = Path(__file__)
OWNED = ["shared-relu", "tied", "block", "pytorch-mnist", "two-heads", "weights", "grouped",
         "same-even", "multiplier", "upscale", "looped", "dense-bn", "pools-1d", "pool-relu",
         "upsample", "pads"]  # fmt: skip
NOT_EXPORTED = {"data", "type"}


def _models() -> ModuleType:
    path = HERE.parent.parent / "models" / "supported.py"
    spec = importlib.util.spec_from_file_location("models_supported", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


supported = _models()


def exported(module: nn.Module, shape: tuple[int, ...]) -> Graph:
    """The graph by torch.export alone."""
    failure = UntraceableError("not tried", "", explained=False)
    with torch.no_grad():
        operations = export(module.eval(), shape, "net", failure)
        return canonicalize(operations, shape, "net").graph


def randomised(module: nn.Module) -> nn.Module:
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            assert part.running_mean is not None and part.running_var is not None
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
    return module.eval()


def assert_equals_torch(graph: Graph, module: nn.Module, shape: tuple[int, ...]) -> None:
    x = torch.randn(3, *shape, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        wanted: Any = module(x.clone())
    values = run_ann(graph, x)
    outputs = [wanted] if isinstance(wanted, Tensor) else wanted
    for name, expected in zip(graph.outputs, outputs, strict=True):
        torch.testing.assert_close(values[name], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("name", OWNED)
def test_both_ways_give_the_same_nodes_names_lines_and_arrays(name: str) -> None:
    torch.manual_seed(5)
    make, shape = supported.CASES[name]
    module = randomised(make())
    by_fx, by_export = trace(module, shape), exported(module, shape)
    assert [(n.name, n.op, n.loc, n.inputs) for n in by_export] == [
        (n.name, n.op, n.loc, n.inputs) for n in by_fx
    ]
    assert list(by_export.params) == list(by_fx.params)
    for key, array in by_fx.params.items():
        assert np.array_equal(by_export.params[key], array)


def test_functions_of_torch_mean_the_same_both_ways() -> None:
    functions = [f for name, f in supported._FUNCTIONS.items() if name not in NOT_EXPORTED]

    class All(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, ...]:
            return tuple(f(x * 1) for f in functions)

    graph = exported(All(), (4, 6, 6))
    assert_equals_torch(graph, All(), (4, 6, 6))


class Net(nn.Module):
    """A network of torch's layers; subclasses add what torch.fx cannot trace."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.fc = nn.Linear(4 * 6 * 6, 3)

    def features(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.features(x).flatten(1))


class AsksForTheType(Net):
    def forward(self, x: Tensor) -> Tensor:
        if not isinstance(x, Tensor):
            raise TypeError("expected a tensor")
        return super().forward(x)


class Checkpointed(Net):
    def forward(self, x: Tensor) -> Tensor:
        from torch.utils.checkpoint import checkpoint

        y = checkpoint(self.features, x, use_reentrant=False)
        assert isinstance(y, Tensor)
        return self.fc(y.flatten(1))


class Stacked(Net):
    def forward(self, x: Tensor) -> Tensor:
        planes = dict(enumerate(x.unbind(1)))
        assert all(isinstance(plane, Tensor) for plane in planes.values())
        return super().forward(torch.stack([planes[1], planes[0]], 1))


@pytest.mark.parametrize("cls", [AsksForTheType, Checkpointed, Stacked])
def test_what_torch_fx_cannot_trace_is_exported(cls: type[Net]) -> None:
    torch.manual_seed(1)
    module = randomised(cls())
    graph = trace(module, (2, 6, 6))
    assert_equals_torch(graph, module, (2, 6, 6))
    names = [n.name for n in graph]
    assert {"conv", "bn", "relu", "fc"} <= set(names)
    assert {"conv.weight", "bn.running_mean", "fc.bias"} <= set(graph.params)
    assert graph.node("fc").loc.file == str(HERE.relative_to(Path.cwd()))


def test_the_shape_is_inferred_where_torch_fx_stops_behind_the_first_layer() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(2, 3, 3), nn.Linear(48, 4)

        def forward(self, x: Tensor) -> Tensor:
            y = F.relu(self.conv(x))
            assert isinstance(y, Tensor)
            return self.fc(y.flatten(1))

    module = Net().eval()
    graph = trace(module)
    assert graph.type_of("input").shape == (2, 6, 6)
    assert_equals_torch(graph, module, (2, 6, 6))


class Gated(AsksForTheType):
    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return F.gelu(y) if y.shape[1] == 3 else y


def test_operations_of_an_exported_module_are_refused_at_the_users_line() -> None:
    with pytest.raises(UnsupportedError) as caught:
        trace(Gated(), (2, 6, 6))
    line = Gated.forward.__code__.co_firstlineno + 2
    message = caught.value.message
    assert f"tests/frontends/test_exporting.py:{line}: gelu (aten.gelu): a neuron's rate" in message


class CountsAtRunTime(Net):
    def forward(self, x: Tensor) -> Tensor:
        for _ in range(int(x.sum())):
            x = x * 2
        return x


class LooksAtValues(Net):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.mean() > 0 else -x


@pytest.mark.parametrize(("cls", "after"), [(CountsAtRunTime, 1), (LooksAtValues, 1)])
def test_control_flow_on_values_is_refused_at_the_users_line(cls: type[Net], after: int) -> None:
    with pytest.raises(UnsupportedError) as caught:
        trace(cls(), (2, 6, 6))
    line = cls.forward.__code__.co_firstlineno + after
    assert f"test_exporting.py:{line}: " in caught.value.message
    assert "depends on the values of a tensor" in caught.value.message
    assert caught.value.hint


class Counts(AsksForTheType):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(3))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(x) + self.calls * 0


def test_exporting_leaves_the_users_tensors_alone() -> None:
    module = Counts().eval()
    exported(module, (2, 6, 6))
    assert torch.equal(module.calls, torch.zeros(3))
