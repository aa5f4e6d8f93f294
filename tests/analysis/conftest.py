"""Faults to inject: passes that do wrong what conversion can do wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from snnc.analysis.diagnosis import Diagnosis, diagnose_graphs
from snnc.ir import AvgPool, Conv, Graph, MaxPool, Neuron, Scale, Stage, SumPool
from snnc.pipeline import Pipeline
from snnc.transform import Batches, Pass, PassContext, PassResult

CONVERT = (
    "fold-batchnorm,fold-normalization,lower-avgpool,activations-to-neurons,"
    "threshold-balance,initialize-potential{fraction=0.5},fold-scale"
)


@dataclass(frozen=True, kw_only=True)
class ScaleThreshold(Pass):
    """Multiply one threshold; `honest` lets a spike count as much more, so that only T suffers."""

    name: ClassVar[str] = "scale-threshold"
    layer: str
    factor: float
    honest: bool = False

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        op = graph.node(self.layer).op
        assert isinstance(op, Neuron)
        value = np.asarray(graph.array(op.threshold), np.float32) * np.float32(self.factor)
        op = replace(op, threshold=graph.own_param(self.layer, "threshold", value))
        graph.replace_op(self.layer, op)
        if self.honest:
            graph.insert_after(self.layer, f"{self.layer}.more", Scale(factor=self.factor))
        return PassResult(graph)


@dataclass(frozen=True, kw_only=True)
class ForgetNorm(Pass):
    """Leave a batch norm out."""

    name: ClassVar[str] = "forget-norm"
    takes: ClassVar[Stage] = Stage.ANN
    gives: ClassVar[Stage] = Stage.ANN
    norm: str

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        graph.bypass(self.norm)
        graph.prune_params()
        return PassResult(graph)


@dataclass(frozen=True, kw_only=True)
class FoldIntoConstantBias(Pass):
    """Fold `f x + b` into a padded convolution as if its padding were not there."""

    name: ClassVar[str] = "fold-into-constant-bias"
    takes: ClassVar[Stage] = Stage.ANN
    gives: ClassVar[Stage] = Stage.ANN
    scale: str = "normalize"

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        op = graph.node(self.scale).op
        ((conv, _),) = graph.users_of(self.scale)
        target = graph.node(conv).op
        assert isinstance(op, Scale) and isinstance(target, Conv) and op.bias is not None
        weight = np.asarray(graph.array(target.weight), np.float32)
        factor, shift = (
            np.broadcast_to(np.asarray(graph.array(value), np.float32), weight.shape[1:2])[
                None, :, None, None
            ]
            for value in (op.factor, op.bias)
        )
        bias = (weight * shift).sum((1, 2, 3), dtype=np.float32)
        if target.bias is not None:
            bias = bias + np.asarray(graph.array(target.bias), np.float32)
        weight = graph.own_param(conv, "weight", (weight * factor).astype(np.float32))
        bias = graph.own_param(conv, "bias", bias.astype(np.float32))
        graph.replace_op(conv, replace(target, weight=weight, bias=bias))
        graph.bypass(self.scale)
        graph.prune_params()
        return PassResult(graph)


@dataclass(frozen=True, kw_only=True)
class PoolBySum(Pass):
    """Give a max pool the place of a sum, which `PoolByMaximum` takes back among spikes."""

    name: ClassVar[str] = "pool-by-sum"
    takes: ClassVar[Stage] = Stage.ANN
    gives: ClassVar[Stage] = Stage.ANN

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        for node in graph.nodes:
            if isinstance(node.op, MaxPool):
                ones = tuple((1,) * len(axis) for axis in node.op.windows)
                graph.replace_op(node.name, AvgPool(windows=node.op.windows, divisors=ones))
        return PassResult(graph)


@dataclass(frozen=True, kw_only=True)
class PoolByMaximum(Pass):
    """Max pools of spikes: one fires when any of its inputs does."""

    name: ClassVar[str] = "pool-by-maximum"
    pools: tuple[str, ...] = ()

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        for name in self.pools:
            op = graph.node(name).op
            assert isinstance(op, SumPool)
            graph.replace_op(name, MaxPool(windows=op.windows))
        return PassResult(graph)


@dataclass(frozen=True, kw_only=True)
class Kill(Pass):
    """Give some channels a bias under which they are never active."""

    name: ClassVar[str] = "kill"
    conv: str
    channels: int
    takes: ClassVar[Stage] = Stage.SNN
    gives: ClassVar[Stage] = Stage.SNN

    def run(self, graph: Graph, ctx: PassContext) -> PassResult:
        kill(graph, self.conv, self.channels)
        return PassResult(graph)


def kill(graph: Graph, conv: str, channels: int) -> None:
    """The same, in place."""
    op: Any = graph.node(conv).op
    bias = np.array(graph.array(op.bias), np.float32)
    bias[:channels] -= 1000
    ref = graph.own_param(conv, "bias", bias)
    graph.replace_op(conv, replace(op, bias=ref))


def diagnose(
    model: Graph,
    data: Batches,
    timesteps: int,
    *,
    after: Mapping[str, Pass] | None = None,
    first: Sequence[Pass] = (),
    calibration: Batches | None = None,
    passes: str = CONVERT,
) -> Diagnosis:
    """Convert with faults put in behind named passes, or in front of all, and diagnose."""
    faults = dict(after or {})
    steps: list[Pass] = list(first)
    for each in Pipeline.from_text(passes).passes:
        steps.append(each)
        if each.name in faults:
            steps.append(faults.pop(each.name))
    assert not faults
    ctx = PassContext(timesteps=timesteps, calibration=data if calibration is None else calibration)
    result = Pipeline(steps).run(model, ctx)
    assert result.ann is not None
    ran = [step.name for step in result.steps]
    return diagnose_graphs(result.graph, result.ann, model, data, timesteps, passes=ran)


@pytest.fixture(scope="session")
def inject() -> Any:
    """The passes, and what converts with them and diagnoses."""
    return SimpleNamespace(
        ScaleThreshold=ScaleThreshold,
        ForgetNorm=ForgetNorm,
        FoldIntoConstantBias=FoldIntoConstantBias,
        PoolBySum=PoolBySum,
        PoolByMaximum=PoolByMaximum,
        Kill=Kill,
        kill=kill,
        CONVERT=CONVERT,
        diagnose=diagnose,
    )
