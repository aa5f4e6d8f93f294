"""A forward that moves tensors to a device is told so, with its line, on every machine."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from snnc.errors import UnsupportedError
from snnc.frontends import trace


class Net(nn.Module):
    """A linear layer and what `function` makes of its result."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.fc, self.function = nn.Linear(3, 2), function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.fc(x))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.cuda(),
        lambda x: x.to("cuda"),
        lambda x: x.to(device=torch.device("cuda", 0)),
        lambda x: x.to(0),
        lambda x: x.to("mps", non_blocking=True),
    ],
)
def test_a_move_is_named_with_its_line(function: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(UnsupportedError) as error:
        trace(Net(function), (3,))
    line = inspect.getsourcelines(function)[1]
    assert f"test_devices.py:{line}: forward moves tensors to a device" in error.value.message
    assert "remove .cuda() and .to('cuda') from forward" in (error.value.hint or "")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a torch that finds no CUDA device")
def test_a_tensor_made_on_a_device_is_named_too() -> None:
    with pytest.raises(UnsupportedError, match="forward moves tensors to a device"):
        trace(Net(lambda x: x + torch.ones(2, device="cuda")), (3,))


def test_a_device_that_is_asked_for_is_the_cpu() -> None:
    graph = trace(Net(lambda x: x.to(x.device).cpu().to("cpu").to(torch.float32)), (3,))
    assert len(graph.nodes) == 2
