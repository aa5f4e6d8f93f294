"""A sigmoid or tanh on an output is kept as its function; elsewhere it is refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from snnc.errors import UnsupportedError
from snnc.frontends import trace
from snnc.ir.json import from_json, to_json
from snnc.output_function import OutputFunction, applied, output_function


class Head(nn.Module):
    """Two linear layers, and a function of the result."""

    def __init__(self, function: Callable[[Tensor], object]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.function = nn.Linear(6, 8), nn.Linear(8, 4), function

    def forward(self, x: Tensor) -> object:
        return self.function(self.b(self.a(x).relu()))


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (torch.sigmoid, "sigmoid"),
        (nn.Sigmoid(), "sigmoid"),
        (lambda x: x.sigmoid(), "sigmoid"),
        (torch.special.expit, "sigmoid"),
        (torch.tanh, "tanh"),
        (nn.Tanh(), "tanh"),
        (lambda x: x.tanh().reshape(-1, 2, 2), "tanh"),
        (lambda x: torch.sigmoid(x).float(), "sigmoid"),
    ],
)
def test_it_is_kept_in_the_meta_of_the_graph(
    function: Callable[[Tensor], Tensor], kind: str
) -> None:
    graph = trace(Head(function), (6,))  # compares with torch, with the function applied
    assert graph.meta["output_functions"] == [kind]
    again = from_json(to_json(graph), graph.params)
    assert output_function(again.meta) == OutputFunction(kind)  # pyright: ignore


def test_every_output_has_its_own() -> None:
    graph = trace(Head(lambda x: (x, torch.tanh(x), x.sigmoid())), (6,))
    assert graph.meta["output_functions"] == [None, "tanh", "sigmoid"]
    assert [output_function(graph.meta, i) is None for i in range(4)] == [True, False, False, True]


def test_a_network_without_has_no_entry() -> None:
    assert "output_functions" not in trace(Head(torch.relu), (6,)).meta


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.sigmoid(x) * 2,
        lambda x: torch.tanh(x).relu(),
        lambda x: torch.sigmoid(torch.tanh(x)),
    ],
)
def test_inside_a_network_it_is_refused_with_a_remedy(
    function: Callable[[Tensor], Tensor],
) -> None:
    with pytest.raises(UnsupportedError, match=r"sigmoid|tanh") as error:
        trace(Head(function), (6,))
    assert "learn" in error.value.message


def test_the_functions_are_exact_and_saturate() -> None:
    x = np.array([-1e4, -3, 0, 2, 1e4], np.float32)
    for kind, wanted in (("sigmoid", torch.sigmoid), ("tanh", torch.tanh)):
        found = applied({"output_functions": [kind]}, x)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, wanted(torch.from_numpy(x)).numpy(), rtol=1e-6, atol=1e-7)
    assert applied({}, x) is x and applied({"output_functions": "sigmoid"}, x) is x
