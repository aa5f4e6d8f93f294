"""MobileNet-v2, whose linear bottlenecks are currents (S6): two-sided neurons in integers (S29)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import snnc
from snnc.analysis import SameFunction
from snnc.frontends import trace
from snnc.interp import run_ann
from snnc.interp.program import ReferenceProgram
from snnc.ir import Add, Conv, Graph, Identity, Neuron, Op, Relu, TwoSidedNeuron
from snnc.pipeline import Pipeline
from snnc.testing import assert_equal_runs
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


def context(ann: Graph, timesteps: int) -> PassContext:
    return PassContext(timesteps=timesteps, calibration=[(X, None)], ann=ann)


def converted(ann: Graph, timesteps: int, **options: Any) -> Graph:
    text = Convert(**options).pipeline()
    return Pipeline.from_text(text).run(ann, context(ann, timesteps)).graph


def error(ann: Graph, graph: Graph, timesteps: int) -> float:
    """Mean error of the outputs, as a fraction of how far they differ between inputs."""
    wanted = run_ann(ann, X)[ann.outputs[0]].numpy()
    found = FastInterpreter(graph).snn(X, timesteps=timesteps).outputs[graph.outputs[0]].numpy()
    return float(np.abs(found - wanted).mean() / np.abs(wanted - wanted.mean(0)).mean())


def ops(graph: Graph, kind: type[Op]) -> list[str]:
    return [node.name for node in graph if type(node.op) is kind]


def test_real_values_need_no_two_sided_neurons() -> None:
    ann = trace(MobileNetV2(), (3, 16, 16))
    relus = [node.op for node in ann if isinstance(node.op, Relu)]
    assert len(relus) == 7 and all(op.upper == 6 for op in relus)
    graph = converted(ann, 128, calibrate=False, percentile=100)
    assert len(ops(graph, Neuron)) == 7 and not ops(graph, TwoSidedNeuron)
    wanted = run_ann(ann, X)[ann.outputs[0]].numpy()
    found = FastInterpreter(graph).snn(X, timesteps=128).outputs[graph.outputs[0]].numpy()
    assert np.abs(found - wanted).mean() < 0.05 * np.abs(wanted).mean()


def test_integers_get_a_population_for_every_bottleneck_and_come_closer_with_steps() -> None:
    ann = trace(MobileNetV2(), (3, 16, 16))
    errors = []
    for timesteps in (4, 16, 64):
        graph = converted(ann, timesteps, bits=8, calibrate=timesteps < 64)
        assert graph.quantized and len(ops(graph, Neuron)) == 7
        assert ops(graph, TwoSidedNeuron) == [
            "features.3.conv.3.spikes", "features.4.conv.6.spikes", "features.5.add.spikes"
        ]  # fmt: skip
        errors.append(error(ann, graph, timesteps))
    assert errors[0] > 1.5 * errors[1] and errors[1] < 0.6, errors


def test_the_sum_of_a_block_takes_the_values_themselves() -> None:
    ann = trace(MobileNetV2(), (3, 16, 16))
    text = "fold-batchnorm,lower-avgpool,linear-bottlenecks{always=true}"
    graph = Pipeline.from_text(text).run(ann, context(ann, 8), same=SameFunction()).graph
    assert len(ops(graph, Identity)) == 3
    (add,) = ops(graph, Add)
    assert all(isinstance(graph.node(name).op, Conv) for name in graph.inputs_of(add))


@pytest.mark.parametrize(
    "target, wait", [("crossbar", 0), ("crossbar", 2), ("cpu", 2), ("reference", 0)]
)
def test_every_target_gives_the_same_spikes(target: str, wait: int) -> None:
    """Of the default recipe on a crossbar, which makes integers itself; else of 8 bits."""
    bits = "" if target == "crossbar" else "bits=8"
    recipe = f"convert{{{bits} wait={wait}}}"
    compiled = snnc.compile(
        MobileNetV2(), input_shape=(3, 16, 16), target=target, timesteps=8, recipe=recipe,
        calibration=X,
    )  # fmt: skip
    assert len(ops(compiled.graph, TwoSidedNeuron)) == 3
    found = compiled.program.run(X, record="spikes")
    wanted = ReferenceProgram(compiled.graph, 8).run(X, record="spikes")
    assert_equal_runs(found, wanted, target)
    bottlenecks = [wanted.spikes[name] for name in ops(compiled.graph, TwoSidedNeuron)]
    assert all((b.sum(0) < 0).any() and (b.sum(0) > 0).any() for b in bottlenecks)


PAIRS = {
    "linear": (nn.Linear(12, 6), nn.Linear(6, 3), True),
    "narrow linear": (nn.Linear(12, 2), nn.Linear(2, 9), False),
    "pointwise first": (nn.Conv2d(2, 5, 1), nn.Conv2d(5, 3, 3, 2, 1), True),
    "pointwise second": (nn.Conv2d(3, 8, 3, 1, 1), nn.Conv2d(8, 2, 1), True),
    "expanding": (nn.Conv2d(6, 2, 1), nn.Conv2d(2, 12, 1), False),
    "more products": (nn.Conv2d(5, 4, 1), nn.Conv2d(4, 2, 3, 1, 3), False),
    "depthwise first": (nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 4, 1), False),
    "grouped first": (nn.Conv2d(4, 8, 1, groups=2), nn.Conv2d(8, 2, 1), True),
    "depthwise second": (nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3, groups=4), False),
    "no pointwise": (nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3), False),
    "strided": (nn.Conv2d(2, 5, 1, 2), nn.Conv2d(5, 3, 3), False),
}
"""Two layers without an activation between, and whether one costs no more than both."""


@pytest.mark.parametrize("pair", PAIRS)
def test_two_layers_become_one_where_that_costs_no_more(pair: str) -> None:
    first, second, cheaper = PAIRS[pair]
    shape = (first.weight.shape[1],) if isinstance(first, nn.Linear) else (first.in_channels, 7, 7)
    torch.manual_seed(1)
    ann = trace(nn.Sequential(first, second, nn.ReLU()), shape)
    pipeline = Pipeline.from_text("linear-bottlenecks{always=true}")
    result = pipeline.run(ann, PassContext(), same=SameFunction())
    assert result.steps[0].metrics == {"merged": int(cheaper), "populations": int(not cheaper)}
    assert len(result.graph) == len(ann) + (-1 if cheaper else 1)
