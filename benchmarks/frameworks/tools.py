"""The tools of `speed.py`: each a call that runs a network on a batch, ready to be timed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

import torch

from benchmarks.frameworks import onnx_runtime
from benchmarks.frameworks.modules import normalized, spiking
from benchmarks.frameworks.networks import Spiking
from benchmarks.frameworks.neurons import FRAMEWORKS, Neurons, PlainNeurons
from snnc.ir import Graph
from snnc.native.jit import host
from snnc_backends.cpu.lower import lower
from snnc_backends.cpu.program import load

Call = Callable[[], Any]
"""Runs the batch; returns (N, classes), an array or a tensor."""


@dataclass(frozen=True)
class Case:
    """A network and a batch, and with how many threads they are run."""

    network: Spiking
    threads: int

    @property
    def batch(self) -> int:
        """N."""
        return len(self.network.x)

    @cached_property
    def with_scalar_thresholds(self) -> Graph:
        """The real graph; with thresholds of 1 where one is not a number."""
        graph = self.network.real
        thresholds = [getattr(node.op, "threshold", 0.0) for node in graph.nodes]
        return normalized(graph) if any(graph.array(t).ndim for t in thresholds) else graph

    @cached_property
    def tensor(self) -> torch.Tensor:
        """The encoded batch."""
        return torch.from_numpy(self.network.encoded)


Build = Callable[[Case], Mapping[str, Call]]
"""Makes calls by variant, e.g. by layout; the fastest is measured."""


def _snnc(graph: str, features: str = "") -> Build:
    def build(case: Case) -> Mapping[str, Call]:
        network = case.network
        plan, weights = lower(getattr(network, graph), network.timesteps)
        program = load(plan.to_json(), weights, case.threads, None, host(features))
        x = network.x if graph == "graph" else network.encoded
        return {"": lambda: program.run(x).output}

    return build


def _framework(name: str, neurons: Neurons) -> Build:
    def build(case: Case) -> Mapping[str, Call]:
        scalar = name == "SpikingJelly"
        graph = case.with_scalar_thresholds if scalar else case.network.real
        return dict(_layouts(case, graph, neurons))

    return build


def _layouts(case: Case, graph: Graph, neurons: Neurons) -> Iterator[tuple[str, Call]]:
    """The module on the batch, contiguous, and with channels last where there are channels."""
    formats = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}
    for layout, memory in formats.items():
        if layout == "channels last" and case.tensor.ndim != 4:
            return
        steps = case.network.timesteps
        module: Any = spiking(graph, steps, case.batch, neurons).to(memory_format=memory)
        x = case.tensor.to(memory_format=memory)
        yield layout, lambda module=module, x=x: module(x)


def _compiled(case: Case) -> Mapping[str, Call]:
    torch._dynamo.reset()
    module = spiking(case.network.real, case.network.timesteps, case.batch, PlainNeurons)
    compiled: Any = torch.compile(module)
    return {"": lambda: compiled(case.tensor)}


def _onnx(make: Callable[..., Any]) -> Build:
    def build(case: Case) -> Mapping[str, Call]:
        model = make(case.network.real, case.network.timesteps, case.batch)
        return {"": onnx_runtime.runner(model, case.network.encoded, case.threads)}

    return build


def _ann(case: Case) -> Mapping[str, Call]:
    model = onnx_runtime.ann(case.network.real, case.batch)
    return {"": onnx_runtime.runner(model, case.network.encoded, case.threads)}


def _ann_of_8_bits(case: Case) -> Mapping[str, Call]:
    x = case.network.encoded
    model = onnx_runtime.quantized(onnx_runtime.ann(case.network.real, case.batch), x)
    return {"": onnx_runtime.runner(model, x, case.threads)}


EXACT, OFF_GRID, ANN = "exact", "float", "ann"


@dataclass(frozen=True)
class Tool:
    """A tool of the comparison.

    Attributes:
        kind: `exact` tools have to give the output of the reference, bit for bit; `float` is near
            that of other weights, `ann` is another network.
    """

    build: Build
    kind: str = EXACT


TOOLS: Mapping[str, Tool] = MappingProxyType(
    {
        "snnc, 8 bits": Tool(_snnc("graph")),
        "snnc, grid": Tool(_snnc("real")),
        "snnc, float": Tool(_snnc("off_grid"), OFF_GRID),
        "snnc, 8 bits, avx2": Tool(_snnc("graph", "avx2")),
        **{name: Tool(_framework(name, neurons)) for name, neurons in FRAMEWORKS.items()},
        "torch.compile": Tool(_compiled),
        "ONNX Runtime, folded": Tool(_onnx(onnx_runtime.folded)),
        "ONNX Runtime, unrolled": Tool(_onnx(onnx_runtime.unrolled)),
        "ANN, fp32": Tool(_ann, ANN),
        "ANN, int8": Tool(_ann_of_8_bits, ANN),
    }
)
"""In this order; the ANNs are run by ONNX Runtime."""
