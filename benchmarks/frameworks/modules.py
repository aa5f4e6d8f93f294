"""A spiking network as a torch module whose neurons are those of a framework; and as an ANN.

All steps of a layer are computed before the next layer, as one batch of T * N samples; what is the
same at all steps is computed once. So every framework gets the fastest order that it allows. The
forward function is written by torch.fx, a line for each layer.
"""

from __future__ import annotations

import operator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from benchmarks.frameworks.neurons import Neurons, Population
from snnc.ir import (
    Add,
    Conv,
    Encode,
    Graph,
    Input,
    Linear,
    Neuron,
    Node,
    Pad,
    Readout,
    Reshape,
    Scale,
    Slice,
    SumPool,
)


def normalized(graph: Graph) -> Graph:
    """The graph with thresholds of 1: all that reaches a population is divided by its threshold.

    Potentials begin half a unit of the integers lower, so that none is near 1 and rounding changes
    no spike. Raises `ValueError` for a sum of what is no layer of its own.
    """
    result = graph.clone()
    for node in graph.nodes:
        if isinstance(node.op, Neuron):
            threshold = graph.array(node.op.threshold)
            for source in _currents(graph, graph.inputs_of(node.name)[0]):
                _divide(result, source, threshold)
            start = (graph.array(node.op.v_init) - 0.5) / threshold
            start = result.own_param(node.name, "v_init", start.astype(np.float32))
            result.replace_op(node.name, replace(node.op, threshold=1.0, v_init=start))
    return result


def _currents(graph: Graph, name: str) -> list[Node]:
    """The layers whose sum a node is."""
    node = graph.node(name)
    if isinstance(node.op, Add):
        return [each for source in graph.inputs_of(name) for each in _currents(graph, source)]
    if not isinstance(node.op, Conv | Linear | Scale) or len(node.users) > 1:
        raise ValueError(f"{name}: a current that is no layer of its own")
    return [node]


def _divide(graph: Graph, node: Node, threshold: Any) -> None:
    fields = {}
    for field in ("weight", "factor", "bias"):
        value = getattr(node.op, field, None)
        if value is not None:
            array = np.asarray(graph.array(value))
            by = threshold.reshape(-1, *(1,) * (array.ndim - 1)) if threshold.ndim else threshold
            fields[field] = graph.own_param(node.name, field, (array / by).astype(np.float32))
    graph.replace_op(node.name, replace(node.op, **fields))


def spiking(graph: Graph, timesteps: int, batch: int, neurons: Neurons) -> nn.Module:
    """The module of a real graph: (N, *shape) encoded to (N, classes)."""
    return _Builder(graph, timesteps, batch, neurons).module()


def ann(graph: Graph) -> nn.Module:
    """The same layers with ReLUs, one pass; weights are such that activations stay small."""
    return _Builder(normalized(graph), 1, 1, lambda _: nn.ReLU(), True).module()


class _Builder:
    def __init__(
        self, graph: Graph, timesteps: int, batch: int, neurons: Neurons, is_ann: bool = False
    ) -> None:
        self.graph, self.timesteps, self.batch, self.neurons = graph, timesteps, batch, neurons
        self.is_ann = is_ann
        self.types = graph.types()
        self.modules = dict[str, nn.Module]()
        self.code = fx.Graph()

    def module(self) -> nn.Module:
        """All nodes, in order."""
        made = dict[str, fx.Node]()
        for node in self.graph.nodes:
            sources = self.graph.inputs_of(node.name)
            made[node.name] = self._node(node, sources, [made[source] for source in sources])
        self.code.output(made[self.graph.outputs[0]])
        return fx.GraphModule(nn.ModuleDict(self.modules), self.code).eval()

    def _constant(self, name: str) -> bool:
        return self.is_ann or self.types[name].constant_in_time

    def _node(self, node: Node, names: tuple[str, ...], inputs: list[fx.Node]) -> fx.Node:
        op = node.op
        if isinstance(op, Input):
            return self.code.placeholder("x")
        if isinstance(op, Encode):
            return inputs[0]
        if isinstance(op, Add):
            return self._sum(node.name, names, inputs)
        if isinstance(op, Slice):
            part = (slice(None), *map(slice, op.starts, op.stops, op.steps))
            return self.code.call_function(operator.getitem, (inputs[0], part))
        if isinstance(op, Pad):
            pads = [pad for axis in reversed(op.padding) for pad in axis]
            return self.code.call_function(nn.functional.pad, (inputs[0], pads))
        if isinstance(op, Readout):
            return self._readout(op, names[0], inputs[0])
        if self.is_ann and isinstance(op, Scale) and op.bias is None:
            return inputs[0]
        return self._call(node.name, self._module(node, names[0]), inputs[0])

    def _call(self, name: str, module: nn.Module, x: fx.Node) -> fx.Node:
        key = name.replace(".", "_")
        self.modules[key] = module
        return self.code.call_module(key, (x,))

    def _sum(self, name: str, names: tuple[str, ...], inputs: list[fx.Node]) -> fx.Node:
        steps = 1 if self._constant(name) else self.timesteps
        total: Any = None
        for source, value in zip(names, inputs, strict=True):
            if steps > 1 and self._constant(source):
                value = self.code.call_method("repeat", (value, steps, *self._ones(source)))
            total = value if total is None else self.code.call_function(torch.add, (total, value))
        return total

    def _ones(self, name: str) -> tuple[int, ...]:
        return (1,) * len(self.types[name].shape)

    def _readout(self, op: Readout, name: str, x: fx.Node) -> fx.Node:
        if not self._constant(name):
            x = self.code.call_method("unflatten", (x, 0, (self.timesteps, self.batch)))
            x = self.code.call_method("mean", (x, 0))
        scale = np.asarray(self.graph.array(op.scale), np.float32)
        if scale.ndim == 0:
            return self.code.call_function(torch.mul, (x, float(scale))) if scale != 1 else x
        return self._call("readout", _Factor(torch.from_numpy(scale)), x)

    def _module(self, node: Node, source: str) -> nn.Module:
        op, shape = node.op, self.types[source].shape
        if isinstance(op, Neuron):
            known = (self.timesteps, self.batch, self._constant(source))
            return self.neurons(
                Population(
                    self._values(op.threshold, shape), self._values(op.v_init, shape), *known
                )
            )
        if isinstance(op, Conv):
            return self._conv(op, shape)
        if isinstance(op, Linear):
            weight = self._tensor(op.weight)
            layer = nn.Linear(*reversed(weight.shape), bias=op.bias is not None)
            return _filled(layer, weight, None if op.bias is None else self._tensor(op.bias))
        if isinstance(op, Scale):
            bias = None if op.bias is None else self._values(op.bias, shape)
            return _Factor(self._values(op.factor, shape), bias)
        if isinstance(op, SumPool):
            return self._pool(op)
        if isinstance(op, Reshape):
            return nn.Flatten()
        raise ValueError(f"{node.name}: no module for {op.mnemonic}")

    def _conv(self, op: Conv, shape: tuple[int, ...]) -> nn.Module:
        weight = self._tensor(op.weight)
        pads = {pad for axis in op.padding for pad in axis}
        bias = None if op.bias is None else self._tensor(op.bias)
        is_map = bias is not None and bias.ndim > 1
        layer = nn.Conv2d(
            shape[0],
            len(weight),
            weight.shape[2:],  # type: ignore[arg-type]
            op.stride,  # type: ignore[arg-type]
            tuple(axis[0] for axis in op.padding),  # type: ignore[arg-type]
            op.dilation,  # type: ignore[arg-type]
            op.groups,
            bias=bias is not None and not is_map,
        )
        if len(pads) > 1 and any(first != last for first, last in op.padding):
            raise ValueError("a convolution with padding on one side")
        if bias is None or not is_map:
            return _filled(layer, weight, bias)
        return nn.Sequential(_filled(layer, weight, None), _Shift(bias))

    def _pool(self, op: SumPool) -> nn.Module:
        (first, *_), _ = op.windows
        size = first[1] - first[0]
        regular = tuple((i * size, i * size + size) for i in range(len(op.windows[0])))
        if op.multiplicity is not None or any(axis != regular for axis in op.windows):
            raise ValueError("windows that overlap or are cut off")
        return nn.AvgPool2d(size) if self.is_ann else nn.AvgPool2d(size, divisor_override=1)

    def _tensor(self, value: Any) -> Tensor:
        return torch.from_numpy(np.array(self.graph.array(value), np.float32))

    def _values(self, value: Any, shape: tuple[int, ...]) -> Tensor:
        """A number, one per channel or one per element, to broadcast against a sample."""
        tensor = self._tensor(value)
        return tensor.reshape(-1, *(1,) * (len(shape) - 1)) if tensor.ndim == 1 else tensor


class _Shift(nn.Module):
    """x and a bias for each element of a sample."""

    def __init__(self, bias: Tensor) -> None:
        super().__init__()
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias


class _Factor(nn.Module):
    """x times a factor, and a bias."""

    def __init__(self, factor: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("factor", factor)
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor if self.bias is None else torch.addcmul(self.bias, x, self.factor)


@torch.no_grad()
def _filled(layer: Any, weight: Tensor, bias: Tensor | None) -> nn.Module:
    layer.weight.copy_(weight)
    if bias is not None:
        layer.bias.copy_(bias)
    return layer
