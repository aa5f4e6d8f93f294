"""MobileNet-v2, whose linear bottlenecks are layers on currents (S6): real values only."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from snnc.errors import UnsupportedError
from snnc.frontends import trace
from snnc.interp import run_ann
from snnc.ir import Neuron, Relu
from snnc.pipeline import Pipeline
from snnc.training import FastInterpreter
from snnc.transform import PassContext
from snnc_passes.recipes.convert import Convert


def layer(inputs: int, outputs: int, stride: int = 1, kernel: int = 3, groups: int = 1) -> list:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(outputs)]


class Inverted(nn.Module):
    """An inverted residual block: expand, convolve each channel, project without activation."""

    def __init__(self, inputs: int, outputs: int, stride: int, expand: int) -> None:
        super().__init__()
        hidden = inputs * expand
        self.residual = stride == 1 and inputs == outputs
        first = [*layer(inputs, hidden, kernel=1), nn.ReLU6(inplace=True)] if expand > 1 else []
        self.conv = nn.Sequential(
            *first,
            *layer(hidden, hidden, stride, groups=hidden),
            nn.ReLU6(inplace=True),
            *layer(hidden, outputs, kernel=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.residual else self.conv(x)


class MobileNetV2(nn.Module):
    """torchvision's structure with four blocks and few channels."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Sequential(
            *layer(3, 8, 2), nn.ReLU6(inplace=True),
            Inverted(8, 4, 1, 1), Inverted(4, 6, 2, 6), Inverted(6, 6, 1, 6),
            *layer(6, 16, kernel=1), nn.ReLU6(inplace=True),
        )  # fmt: skip
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(16, 5))
        self.train()
        with torch.no_grad():
            for _ in range(20):
                self(torch.from_numpy(X))

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.adaptive_avg_pool2d(self.features(x), (1, 1))
        return self.classifier(torch.flatten(x, 1))


X = np.random.default_rng(0).random((32, 3, 16, 16), dtype=np.float32)


def test_it_converts_in_real_values() -> None:
    ann = trace(MobileNetV2(), (3, 16, 16))
    relus = [node.op for node in ann if isinstance(node.op, Relu)]
    assert len(relus) == 7 and all(op.upper == 6 for op in relus)
    context = PassContext(timesteps=128, calibration=[(X, None)], ann=ann)
    text = Convert(calibrate=False, percentile=100).pipeline()
    graph = Pipeline.from_text(text).run(ann, context).graph
    assert sum(isinstance(node.op, Neuron) for node in graph) == 7
    wanted = run_ann(ann, X)[ann.outputs[0]].numpy()
    found = FastInterpreter(graph).snn(X, timesteps=128).outputs[graph.outputs[0]].numpy()
    assert np.abs(found - wanted).mean() < 0.05 * np.abs(wanted).mean()


def test_in_integers_it_is_refused_by_name() -> None:
    ann = trace(MobileNetV2(), (3, 16, 16))
    context = PassContext(timesteps=8, calibration=[(X, None)], ann=ann)
    text = Convert(bits=8, calibrate=False).pipeline()
    with pytest.raises(
        UnsupportedError, match="integer weights on currents have no bound"
    ) as error:
        Pipeline.from_text(text).run(ann, context)
    for layer_, current in (("features.4.conv.0", "3.conv.3"), ("features.6", "features.5.add")):
        assert layer_ in error.value.message and current in error.value.message
