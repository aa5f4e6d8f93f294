"""A network that was never trained is found, whatever initialised it; training is seen at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from snnc.analysis.diagnosis.initial_weights import is_untrained
from snnc.data import open_data
from snnc.frontends import trace

Initialise = Callable[[torch.Tensor], object]
INITS: dict[str, Initialise] = {
    "torch": lambda weight: None,
    "glorot-uniform": nn.init.xavier_uniform_,
    "glorot-normal": nn.init.xavier_normal_,
    "he-uniform": lambda w: nn.init.kaiming_uniform_(w, nonlinearity="relu"),
    "he-normal": lambda w: nn.init.kaiming_normal_(w, mode="fan_out", nonlinearity="relu"),
    "small": lambda w: nn.init.trunc_normal_(w, std=0.02),
}


def dense(width: int = 128) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10)).eval()


def convolutional() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(),
        nn.Linear(576, 10),
    ).eval()  # fmt: skip


def initialised(module: nn.Sequential, init: Initialise, *, zero_biases: bool) -> nn.Sequential:
    torch.manual_seed(0)
    for layer in module:
        if isinstance(layer, nn.Linear | nn.Conv2d):
            layer.reset_parameters()
            init(layer.weight)
            if zero_biases and layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return module


def untrained(module: nn.Module) -> bool:
    return is_untrained(trace(module, (1, 8, 8)))


@pytest.mark.parametrize("name", INITS)
def test_every_usual_initialisation_is_known(name: str) -> None:
    assert untrained(initialised(dense(), INITS[name], zero_biases=True))
    assert untrained(initialised(convolutional(), INITS[name], zero_biases=False))


def test_half_precision_is_known_and_a_seed_does_not_matter() -> None:
    assert untrained(initialised(dense(), INITS["torch"], zero_biases=False).half())


@pytest.mark.parametrize("width", [32, 1024])
@pytest.mark.parametrize("name", ["torch", "he-normal"])
def test_some_steps_of_training_are_seen(width: int, name: str) -> None:
    module = initialised(dense(width), INITS[name], zero_biases=name != "torch")
    x, y = next(iter(open_data("digits#train", batch_size=200)))
    assert y is not None
    optimizer = torch.optim.SGD(module.parameters(), lr=0.01)
    for _ in range(20):
        optimizer.zero_grad()
        output = module(torch.from_numpy(x))
        nn.functional.cross_entropy(output, torch.from_numpy(y.astype(np.int64))).backward()
        optimizer.step()
    assert not untrained(module)


def test_batch_norms_that_have_seen_data_are_no_initial_ones() -> None:
    module = initialised(convolutional(), INITS["torch"], zero_biases=False)
    module.train()(torch.rand(8, 1, 8, 8))
    assert not untrained(module.eval())


def test_weights_that_only_look_normal_are_no_evidence() -> None:
    assert not untrained(initialised(dense(), INITS["he-normal"], zero_biases=False))


def test_a_few_weights_are_no_evidence() -> None:
    assert not is_untrained(trace(nn.Linear(4, 3), (4,)))
    assert not is_untrained(trace(nn.ReLU(), (4,)))
