"""A torch module as a function of a batch: every output, nothing changed, wrong ones in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from snnc.driver.models import ModelSource, eager
from snnc.errors import ModelError
from snnc.frontends.calling import as_reference
from snnc.frontends.inference import as_function


class Net(nn.Module):
    """Whatever `function` gives of the input, which it may overwrite."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function, self.norm = function, nn.BatchNorm1d(3)

    def forward(self, x: Tensor) -> Any:
        return self.function(self.norm(x))


X = np.ones((4, 3), np.float32)


def test_all_outputs_in_eval_mode_and_nothing_changed() -> None:
    module = Net(lambda x: (x.mul_(2), x[:, :1])).double()
    before = module.state_dict()["norm.running_mean"].clone()
    first, second = as_function(module, "net")(X)
    assert first.dtype == np.float32 and (first.shape, second.shape) == ((4, 3), (4, 1))
    np.testing.assert_allclose(first, 2 / np.sqrt(1 + 1e-5), rtol=1e-6)
    assert module.training and module.norm.training and np.all(X == 1)
    assert module.norm.weight.dtype == torch.float64
    assert torch.equal(module.norm.running_mean, before)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: {"y": x}, "net gives a dict"),
        (lambda x: (x, 3), "net gives a int"),
        (lambda x: x.argmax(1), "net gives a tensor of int64"),
        (lambda x: (), "net gives no output"),
        (lambda x: x.sum(0), r"net gives a tensor of shape \(3,\) for 4 samples"),
        (lambda x: x.sum(), r"net gives a tensor of shape \(\) for 4 samples"),
    ],
)
def test_wrong_outputs(function: Callable[[Tensor], Any], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        as_function(Net(function), "net")(X)


def test_a_single_sample_keeps_its_axis_where_the_module_squeezes() -> None:
    module = Net(lambda x: x[:, :, None].squeeze())
    (several,), (single,) = (as_function(module, "net")(x) for x in (X, X[:1]))
    assert several.shape == (4, 3)
    np.testing.assert_array_equal(single, several[:1])


def test_any_model_is_called_in_one_way() -> None:
    given = np.array([[1.0, 2.0]], np.float32)

    def call(x: np.ndarray) -> list[np.ndarray]:
        assert x.shape == (2, 2)
        x *= 2
        return [x.astype(np.float64), x[:, 0].astype(np.float16)]

    first, second = as_reference(call, "net")(given)
    assert first.dtype == second.dtype == np.float32 and given[0, 0] == 1
    assert first.tolist() == [[2, 4]] and second.tolist() == [2]
    with pytest.raises(ModelError, match=r"net gives a tensor of shape \(2,\) for 3 samples"):
        as_reference(lambda x: x.sum(0), "net")(np.ones((3, 2), np.float32))


@pytest.mark.parametrize("kind", [torch.float16, torch.float64])
def test_eager_normalises_and_computes_in_float32(kind: torch.dtype) -> None:
    module = Net(lambda x: x).to(kind)
    run = eager(ModelSource(model=module, mean=(1.0, 0.0, 3.0), std=(2.0,)), (3,))
    wanted = np.array([0, 0.5, -1], np.float32) / np.sqrt(np.float32(1 + 1e-5))
    assert run(X).dtype == np.float32
    np.testing.assert_allclose(run(X), np.tile(wanted, (4, 1)), rtol=1e-6)


def test_eager_refuses_other_outputs_than_the_network_has() -> None:
    with pytest.raises(ModelError, match="Net gives 2 outputs; one is compared"):
        eager(ModelSource(model=Net(lambda x: (x, x))))(X)
    with pytest.raises(ModelError, match=r"samples of shape \(3,\), the network \(5,\)"):
        eager(ModelSource(model=Net(lambda x: x)), (5,))(X)
