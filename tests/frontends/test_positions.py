"""Linear layers at every position of a sample, means over channels, and where permutations go."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import snnc
from snnc.frontends import trace
from snnc.interp import run_ann
from snnc.ir import Graph


class Mixer(nn.Module):
    """Linear layers at every position, with a sum, and the mean over positions."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.inner, self.outer = nn.Linear(4, 6), nn.Linear(6, 8), nn.Linear(8, 6)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x))
        x = F.relu6(x + self.outer(F.relu(self.inner(x)).mul(0.5)))
        return self.head(x.mean(1))


class Normalized(nn.Module):
    """Features in the last axis, which a batch norm takes as channels."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.bn, self.out = nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.fc(x).transpose(1, 2)).transpose(1, 2)
        return self.out(torch.relu(x)).flatten(1)


class Function(nn.Module):
    """A function of the input."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def compared(module: nn.Module, shape: tuple[int, ...]) -> Graph:
    """The graph of a module, whose outputs are those of torch."""
    torch.manual_seed(0)
    graph = trace(module.eval(), shape)
    x = torch.randn(3, *shape)
    with torch.no_grad():
        wanted = module(x)
    (output,) = graph.outputs
    torch.testing.assert_close(run_ann(graph, x)[output], wanted, rtol=1e-5, atol=1e-5)
    return graph


def kinds(graph: Graph) -> list[str]:
    return [node.op.mnemonic for node in graph][1:]


def test_between_layers_no_permutation_is_left() -> None:
    graph = compared(Mixer(), (5, 4))
    inner = [name for name in graph.order() if graph.node(name).op.mnemonic == "permute"]
    assert inner[0] == "first.channels_first" and all(n.startswith("mean") for n in inner[1:])
    assert {"first", "inner", "outer", "head"} <= set(graph.order())
    assert {"first.weight", "first.bias"} <= set(graph.params)


def test_permutations_around_a_batch_norm_cancel() -> None:
    assert kinds(compared(Normalized(), (5, 4))) == [
        "permute", "conv", "batchnorm", "relu", "conv", "permute", "reshape",
    ]  # fmt: skip


def test_two_axes_of_positions_and_a_matrix_without_a_layer() -> None:
    matrix = torch.linspace(-1, 1, 12).reshape(4, 3)
    compared(nn.Linear(4, 3, bias=False), (2, 5, 4))
    assert kinds(compared(Function(lambda x: x @ matrix), (5, 4))) == ["permute", "conv", "permute"]


REDUCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "channels": lambda x: x.mean(1),
    "kept": lambda x: x.sum(dim=1, keepdim=True),
    "channels and width": lambda x: x.mean((1, 3)),
    "all": lambda x: x.mean((1, 2, 3)).unsqueeze(1),
    "all kept": lambda x: x.sum((-1, -2, -3), keepdim=True),
    "largest": lambda x: x.amax(1),
}


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions_over_channels(name: str) -> None:
    compared(Function(REDUCTIONS[name]), (3, 4, 5))


def test_of_one_permutation_with_two_users_both_move() -> None:
    def both(x: Tensor) -> Tensor:
        y = x.permute(0, 2, 1)
        return (torch.relu(y) + torch.relu(-y)).flatten(1)

    assert kinds(compared(Function(both), (3, 4))).count("permute") == 1


def test_permutations_stay_before_what_acts_on_channels() -> None:
    def scaled(x: Tensor) -> Tensor:
        return x.transpose(1, 2) * torch.linspace(1, 2, 4)[:, None]

    assert kinds(compared(Function(scaled), (3, 4))) == ["permute", "scale"]

    def mixed(x: Tensor) -> Tensor:
        return x.transpose(1, 2) + x

    assert kinds(compared(Function(mixed), (4, 4))) == ["permute", "add"]


def test_integers_of_layers_at_every_position() -> None:
    torch.manual_seed(0)
    module, x = Mixer().eval(), torch.randn(32, 5, 4)
    compiled = snnc.compile(
        trace(module, (5, 4)), target="cpu", recipe="convert{bits=8}", timesteps=32,
        calibration=x.numpy(),
    )  # fmt: skip
    with torch.no_grad():
        wanted = module(x)
    found = torch.from_numpy(compiled.program.run(x.numpy()).output)
    assert (found - wanted).norm() < 0.05 * wanted.norm()
