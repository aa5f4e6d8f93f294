"""A wrong scale of the input is found by batch norms or by the constants; a right one is not."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from snnc.analysis.diagnosis.model_check import check_model
from snnc.driver.models import normalize
from snnc.frontends import trace
from snnc.ir import Graph

X = np.random.default_rng(0).random((300, 3, 6, 6), np.float32)
MEAN, STD = (0.5, 0.4, 0.6), (0.28, 0.3, 0.29)
ONES = np.ones((1, 3, 1, 1), np.float32)


def causes(model: Graph, x: np.ndarray, **given: tuple[float, ...]) -> list[str]:
    graph = normalize(model, given.get("mean", ()), given.get("std", ())) if given else model
    batches = [(x[i : i + 70], None) for i in range(0, len(x), 70)]
    return [str(found.cause) for found in check_model(graph, batches, len(x)).findings]


@pytest.fixture(scope="module")
def plain() -> Graph:
    """Without batch norms, and with weights that no initialisation gives."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(108, 8), nn.ReLU(), nn.Linear(8, 3))
    for parameter in module.parameters():
        parameter.data *= 3
    return trace(module.eval(), (3, 6, 6))


@pytest.fixture(scope="module")
def normed() -> nn.Module:
    """With two batch norms that have seen `X`, normalised."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, momentum=None), nn.ReLU(), nn.Conv2d(8, 4, 3),
        nn.BatchNorm2d(4, momentum=None),
    )  # fmt: skip
    x = (X - np.reshape(MEAN, (3, 1, 1))) / np.reshape(STD, (3, 1, 1))
    module.train()(torch.from_numpy(x.astype(np.float32)))
    return module.eval()


def test_batch_norms_tell_the_normalisation(normed: nn.Module) -> None:
    model = trace(normed, (3, 6, 6))
    assert causes(model, X, mean=MEAN, std=STD) == []
    assert causes(model, X[:8], mean=MEAN, std=STD) == []
    wrong = ["wrong-normalisation"]
    assert causes(model, X) == wrong
    assert causes(model, X, mean=MEAN) == wrong
    assert causes(model, 255 * X, mean=MEAN, std=STD) == wrong
    twice = (X - np.reshape(MEAN, (3, 1, 1))) / np.reshape(STD, (3, 1, 1))
    assert causes(model, twice.astype(np.float32)) == []
    assert causes(model, twice.astype(np.float32), mean=MEAN, std=STD) == wrong


def test_only_the_first_batch_norm_speaks_of_the_input(normed: nn.Module) -> None:
    module = copy.deepcopy(normed)
    module[4].running_mean += 100
    assert causes(trace(module, (3, 6, 6)), X, mean=MEAN, std=STD) == []


@pytest.mark.parametrize(
    ("x", "mean", "std"),
    [
        (X, MEAN, STD),
        (X, (0.5,), (0.5,)),
        (X, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        (0.3 * X, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),  # dark images
        (255 * X, (127.0,), ()),
        (X, (), (1 / 255,)),  # a model of 0..255
        (X, (), ()),
        (255 * X, (), ()),
    ],
)
def test_constants_that_may_be_meant(
    plain: Graph, x: np.ndarray, mean: tuple[float, ...], std: tuple[float, ...]
) -> None:
    assert causes(plain, x, mean=mean, std=std) == []


@pytest.mark.parametrize(
    ("x", "mean", "std"),
    [
        (X, (123.7, 116.3, 103.5), (58.4, 57.1, 57.4)),
        (X, (127.0,), ()),
        (255 * X, MEAN, STD),
        ((X - 0.5) / 0.29, MEAN, STD),
    ],
)
def test_constants_of_another_scale(
    plain: Graph, x: np.ndarray, mean: tuple[float, ...], std: tuple[float, ...]
) -> None:
    assert causes(plain, x, mean=mean, std=std) == ["wrong-normalisation"]


def test_weights_are_looked_at_without_data() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(108, 8))
    (finding,) = check_model(trace(module, (3, 6, 6)), None).findings
    assert (finding.cause, finding.node) == ("untrained-weights", "1")
    assert check_model(trace(module, (3, 6, 6)), []).inputs is None
