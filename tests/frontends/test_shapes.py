"""Shapes are numbers while a module is traced, in every spelling; the batch size is not."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from snnc.errors import SnncError, UnsupportedError, UsageError
from snnc.frontends import trace
from snnc.frontends.input_shape import infer_shape
from snnc.interp import run_ann


class Net(nn.Module):
    """A convolution, whatever `function` makes of it, and a linear layer."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc = nn.Conv2d(2, 4, 3), nn.Linear(64, 3)
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.fc(self.function(torch.relu(self.conv(x))))


def by_loop(x: Tensor) -> Tensor:
    features = 1
    for n in x.size()[1:]:
        features *= n
    return x.view(-1, features)


def by_rank(x: Tensor) -> Tensor:
    if x.dim() == 3:
        x = x.unsqueeze(0)
    assert x.shape[1] == 4 and x.ndim == 4 and x.dtype == torch.float32
    return x.flatten(1)


def by_unpacking(x: Tensor) -> Tensor:
    b, c, h, w = x.shape
    return x.reshape(b, c * h * w)


def by_rows(x: Tensor) -> Tensor:
    return torch.cat([x[:, :, int(i)] for i in range(x.size(2))], dim=2).flatten(1)


FLAT: dict[str, Callable[[Tensor], Tensor]] = {
    "size": lambda x: x.view(x.size(0), -1),
    "size-of": lambda x: x.view(-1, x.size(1) * x.size(2) * x.size(-1)),
    "shape": lambda x: x.reshape(x.shape[0], -1),
    "len": lambda x: x.view(len(x), -1),
    "prod": lambda x: x.view(-1, int(np.prod(x.shape[1:]))),
    "numpy": lambda x: x.view(-1, np.prod(x.shape[1:])),
    "math": lambda x: x.view(x.shape[0], math.prod(x.shape[1:])),
    "numel": lambda x: x.reshape(x.size(0), x.numel() // x.size(0)),
    "torch-numel": lambda x: x.reshape(len(x), torch.numel(x[0])),
    "shape-numel": lambda x: x.view(-1, x.shape[1:].numel()),
    "starred": lambda x: x.view(x.shape[0], x.shape[1], -1).view(*x.shape[:1], -1),
    "loop": by_loop,
    "rank": by_rank,
    "unpacking": by_unpacking,
    "rows": by_rows,
    "offset": lambda x: (x + torch.ones(x.shape)).flatten(1),
    "zeros-like": lambda x: (x - torch.ones_like(x) * 2).flatten(1),
    "expanded": lambda x: x.flatten(1) + torch.arange(64.0).expand(x.size(0), -1),
}


@pytest.mark.parametrize("name", FLAT)
def test_equals_torch(name: str) -> None:
    module = Net(FLAT[name]).eval()
    x = torch.randn(5, 2, 6, 6, generator=torch.Generator().manual_seed(1))
    graph = trace(module, (2, 6, 6))
    with torch.no_grad():
        wanted = module(x)
    torch.testing.assert_close(run_ann(graph, x)[graph.outputs[0]], wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", FLAT)
def test_the_input_shape_is_inferred_as_well(name: str) -> None:
    assert infer_shape(Net(FLAT[name]).eval(), "net") == (2, 6, 6)


def grown_by_samples(x: Tensor) -> Tensor:
    for _ in range(len(x)):
        x = x + 1
    return x.flatten(1)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (grown_by_samples, "depend on the size of the batch"),
        (lambda x: x.flatten(1) * len(x), "constant depends on the batch"),
        (lambda x: (x + torch.arange(len(x)).view(-1, 1, 1, 1)).flatten(1), "changes the sample's"),
        (lambda x: x.flatten(1) * int(x.max()), "number depends on the values of a tensor"),
        (lambda x: x.flatten(1) if x.max() > 0 else x, "control flow depends on the values"),
        (lambda x: x.flatten(1)[:2], "selects samples of the batch"),
    ],
)
def test_what_depends_on_samples_or_values_is_refused(
    function: Callable[[Tensor], Any], words: str
) -> None:
    with pytest.raises(UnsupportedError, match=words) as error:
        trace(Net(function).eval(), (2, 6, 6))
    assert "test_shapes.py:" in error.value.message


def test_code_that_asks_for_a_shape_before_the_first_layer_needs_the_flag() -> None:
    class Ranked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(x if x.dim() == 2 else x.flatten(1))

    with pytest.raises(UsageError, match="asks for the shape of its input; give --input-shape"):
        trace(Ranked())
    assert trace(Ranked(), (2, 2)).type_of("input").shape == (2, 2)


def test_attributes_that_the_code_sets_are_restored() -> None:
    class Keeps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last: Tensor | None = None

        def forward(self, x: Tensor) -> Tensor:
            self.last = x * torch.tensor([2.0, 3.0])
            return self.last

    module = Keeps().eval()
    before = set(vars(module))
    trace(module, (2,))
    assert set(vars(module)) == before and not isinstance(module.last, torch.fx.Proxy)


def doubled(module: nn.Module, args: object, output: Tensor) -> Tensor:
    return 2 * output


def test_a_hook_that_changes_an_output_is_named() -> None:
    module = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
    module[0].register_forward_hook(doubled)
    with pytest.raises(UnsupportedError, match="differ by") as error:
        trace(module, (4,))
    hint = str(error.value.hint)
    assert "remove the forward hook doubled at " in hint and "test_shapes.py:" in hint
    assert hint.endswith(" of 0 (Linear)")


@pytest.mark.parametrize(("place", "kept"), [(0, 4), (2, 2)])
def test_a_hook_that_changes_a_shape_is_named(place: int, kept: int) -> None:
    def shortened(module: nn.Module, args: Any, output: Tensor) -> Tensor:
        return output[:, :kept]

    module = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(4, 3)).eval()
    module[place].register_forward_hook(shortened)
    with pytest.raises(SnncError) as error:
        trace(module, (3,))
    assert "remove the forward hook shortened at " in (error.value.hint or "")


def test_a_hook_that_only_looks_is_no_obstacle() -> None:
    seen: list[Tensor] = []
    module = nn.Sequential(nn.Linear(4, 8)).eval()
    module[0].register_forward_pre_hook(lambda m, args: seen.append(args[0]))
    assert trace(module, (4,)).type_of("input").shape == (4,)
