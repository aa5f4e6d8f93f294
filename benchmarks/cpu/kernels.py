"""Processor time of the kernels of the CPU backend, per network and per layer.

    python -m benchmarks.cpu.kernels --networks vgg16 resnet18 --layers
    python -m benchmarks.cpu.kernels --artifact net.snnc --samples images.npy

The networks have random He weights of 8 bits (`--real`: the same numbers as float32, on a binary
grid), neurons with soft reset (`--wait`: that wait so many steps), average pooling (`--maximum`:
maxima of counts) and direct encoding. Every network is compared with
the reference on one sample. Times are processor time of one sample, medians over `--repeats`;
JSON goes to standard output. To compare two versions of the program, run it with both, in turns.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import torch
from numpy.typing import NDArray

from snnc.artifact import open_artifact
from snnc.interp.program import ReferenceProgram
from snnc.ir import (
    Add,
    Conv,
    CountMaxPool,
    EncodeDirect,
    Graph,
    Input,
    Linear,
    Neuron,
    Readout,
    Reshape,
    Scale,
    Stage,
    SumPool,
)
from snnc.native.jit import Library, host
from snnc.testing import windows
from snnc_backends.cpu.lower import lower
from snnc_backends.cpu.module import RUN, build
from snnc_backends.cpu.program import ARGUMENTS, CpuProgram, load
from snnc_backends.cpu.workspace import Workspace

RATES = tuple(0.18 - 0.01 * i for i in range(11))
"""Spikes per neuron and step of the populations, from the first on; then the last of these."""
SPREAD = 32
"""Standard deviation of the integer weights."""


@dataclass(frozen=True)
class How:
    """Whether numbers are real, the window, whether pools are maxima, the wait of all neurons."""

    real: bool
    timesteps: int
    maximum: bool
    wait: int


class Network:
    """A spiking network of integers (or of real numbers on a grid), built layer by layer.

    Thresholds are those that give the rates of `RATES` for one random input; `values` holds its
    activity, (T, *shape), and the graph has its rates, as after the pass `profile`.
    """

    def __init__(self, shape: tuple[int, ...], how: How) -> None:
        self.how, self.real, timesteps = how, how.real, how.timesteps
        self.grid, self.graph = 64 if self.real else 1, Graph(Stage.SNN)
        self.rng = np.random.default_rng(0)
        self.graph.add("x", Input(shape=shape))
        encode = EncodeDirect() if self.real else EncodeDirect(scale=1 / 255, hi=255)
        self.last = self.graph.add("encode", encode, ["x"])
        pixels = np.rint(self.rng.random((1, *shape)) * 255) / (256 if self.real else 255)
        self.x: NDArray[np.float32] = pixels.astype(np.float32)
        first = torch.from_numpy(self.x if self.real else np.rint(self.x * 255))
        self.values = {self.last: first.expand(timesteps, *shape)}
        self.populations = 0

    def _parameter(self, name: str, values: NDArray[Any], kind: Any) -> Any:
        """Values in units of the grid, as a parameter of the graph."""
        values = (values / self.grid).astype(np.float32 if self.real else kind)
        return self.graph.set_param(f"{name}{len(self.graph.params)}", values)

    def _add(self, name: str, op: Any, value: torch.Tensor, *more: str) -> Network:
        self.last = self.graph.add(self.graph.fresh(name), op, [self.last, *more])
        self.values[self.last] = value
        self.graph.stats[self.last] = {"rate": float(value.mean())}
        return self

    def _weights(self, shape: tuple[int, ...]) -> tuple[Any, torch.Tensor]:
        values = np.clip(np.rint(self.rng.normal(0, SPREAD, shape)), -127, 127)
        wide = torch.from_numpy((values / self.grid).astype(np.float32))
        return self._parameter("weight", values, np.int8), wide

    def conv(self, channels: int, kernel: int = 3, stride: int = 1, pad: int = 1) -> Network:
        """A convolution."""
        x = self.values[self.last]
        ref, weight = self._weights((channels, x.shape[1], kernel, kernel))
        op = Conv(weight=ref, stride=(stride,) * 2, padding=((pad, pad),) * 2)
        return self._add("conv", op, torch.conv2d(x, weight, stride=stride, padding=pad))

    def linear(self, features: int) -> Network:
        """A linear layer."""
        x = self.values[self.last]
        ref, weight = self._weights((features, x.shape[1]))
        return self._add("fc", Linear(weight=ref), x @ weight.T)

    def neurons(self) -> Network:
        """Neurons with soft reset."""
        current, low, wait = self.values[self.last], 0.0, self.how.wait
        high = float(current.abs().sum(0).max())
        rate = RATES[min(self.populations, len(RATES) - 1)]
        self.populations += 1
        for _ in range(20):
            self.threshold = round((low + high) / 2 * self.grid) / self.grid
            spikes = fired(current, self.threshold, wait)
            more = float(spikes.mean()) > rate
            low, high = (self.threshold, high) if more else (low, self.threshold)
        return self._add("act", Neuron(threshold=self.threshold, wait=wait), spikes)

    def pool(self, size: int = 2) -> Network:
        """Average pooling, as counts; or maxima of counts."""
        x = self.values[self.last]
        each = windows((x.shape[2], x.shape[3]), size, size)
        if self.how.maximum:
            most = torch.max_pool2d(x.cumsum(0), size)
            grown = torch.diff(most, dim=0, prepend=torch.zeros_like(most[:1]))
            return self._add("pool", CountMaxPool(windows=each), grown)
        op = SumPool(windows=each)
        return self._add("pool", op, torch.nn.functional.avg_pool2d(x, size) * size**2)

    def flat(self) -> Network:
        """All elements in a row."""
        x = self.values[self.last].flatten(1)
        return self._add("flat", Reshape(shape=(x.shape[1],)), x)

    def block(self, channels: int, stride: int) -> Network:
        """A residual block; its shortcut is a convolution where shapes differ."""
        before = self.last
        self.conv(channels, stride=stride).neurons().conv(channels)
        branch, self.last = self.last, before
        x = self.values[before]
        if stride > 1 or x.shape[1] != channels:
            self.conv(channels, kernel=1, stride=stride, pad=0)
        else:
            units = np.array(np.rint(self.threshold * self.grid))
            ref = self._parameter("factor", units, np.int32)
            self._add("shortcut", Scale(factor=ref), x * self.threshold)
        total = self.values[branch] + self.values[self.last]
        return self._add("sum", Add(), total, branch).neurons()

    def done(self) -> tuple[Graph, NDArray[np.float32]]:
        """The graph, with a readout, and its input."""
        self.graph.outputs = (self.graph.add("out", Readout(), [self.last]),)
        return self.graph, self.x


Made = tuple[Graph, NDArray[np.float32]]


def fired(current: torch.Tensor, threshold: float, wait: int) -> torch.Tensor:
    """Spikes of neurons with soft reset."""
    u, spikes = torch.zeros_like(current[0]), list[torch.Tensor]()
    for number in range(len(current) + wait):
        u = u + current[number] if number < len(current) else u
        if number < wait:
            continue
        spikes.append((u > threshold).float())
        u = u - threshold * spikes[-1]
    return torch.stack(spikes)


def vgg(how: How, *stages: tuple[int, ...], hidden: tuple[int, ...] = ()) -> Made:
    """Stages of convolutions with pooling between, for images of 32x32."""
    net = Network((3, 32, 32), how)
    for stage in stages:
        for channels in stage:
            net.conv(channels).neurons()
        net.pool()
    net.flat()
    for features in hidden:
        net.linear(features).neurons()
    return net.linear(10).done()


def resnet18(how: How) -> Made:
    """ResNet-18 for images of 32x32."""
    net = Network((3, 32, 32), how).conv(64).neurons()
    for channels, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        net.block(channels, stride).block(channels, 1)
    return net.pool(4).flat().linear(10).done()


def lenet(how: How) -> Made:
    """LeNet-5 for images of 28x28."""
    net = Network((1, 28, 28), how).conv(6, 5, pad=2).neurons().pool()
    net.conv(16, 5, pad=0).neurons().pool().flat()
    return net.linear(120).neurons().linear(84).neurons().linear(10).done()


def mlp(how: How) -> Made:
    """784-512-512-10."""
    net = Network((784,), how)
    return net.linear(512).neurons().linear(512).neurons().linear(10).done()


NETWORKS: dict[str, Callable[[How], Made]] = {
    "vgg16": lambda how: vgg(
        how, (64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3, hidden=(512, 512)
    ),
    "vgg11": lambda how: vgg(
        how, (64,), (128,), (256,) * 2, (512,) * 2, (512,) * 2, hidden=(512, 512)
    ),
    "vgg9": lambda how: vgg(how, (64,) * 2, (128,) * 2, (256,) * 3, hidden=(1024,)),
    "resnet18": resnet18,
    "lenet": lenet,
    "mlp": mlp,
}


def processor_ms(call: Callable[[], Any], repeats: int) -> dict[str, float]:
    """Median and least processor time of a call, in milliseconds."""
    call()
    spent: list[float] = []
    for _ in range(repeats):
        start = time.process_time_ns()
        call()
        spent.append((time.process_time_ns() - start) / 1e6)
    return {"median": round(float(np.median(spent)), 4), "least": round(min(spent), 4)}


def layers(program: CpuProgram, weights: bytes, x: NDArray[np.float32], repeats: int) -> list[Any]:
    """Per step of the plan: output, kernel, microseconds (least), events of its first input."""
    plan, rows = program.plan, list[Any]()
    target, blob = host(), np.frombuffer(weights, np.uint8)
    space = Workspace(plan, program.timesteps, True, len(blob))
    batch = x.astype(np.float32)
    program._part(space, batch, np.arange(1), 0, range(1), _Nothing())  # pyright: ignore
    for step in plan.steps[plan.analog :]:
        alone = replace(plan, analog=0, steps=(step,))
        function = Library(build(alone, target.machine), (RUN,), target, None)
        run = function.function(RUN, *ARGUMENTS)
        arguments = (space.pointers, blob.ctypes.data, space.scratch, program.timesteps)
        spent = processor_ms(lambda run=run, a=arguments: run(*a), repeats)
        events = float(np.mean(space.view(step.inputs[0]) != 0))
        us = round(spent["least"] * 1e3, 1)
        rows.append([plan.tensors[step.output].name, step.kernel.name, us, round(events, 3)])
    return rows


class _Nothing:
    """Takes no results."""

    def take(self, row: int, space: Workspace) -> None:
        """Leave them."""


def measured(graph: Graph, x: NDArray[np.float32], options: argparse.Namespace) -> dict[str, Any]:
    """Figures of one network."""
    steps = int(graph.meta.get("timesteps", options.timesteps))  # pyright: ignore
    start = time.process_time()
    plan, weights = lower(graph, steps)
    lowered = time.process_time() - start
    program = load(plan.to_json(), weights, 1, None)
    if options.check:
        ours = program.run(x[:1], record="spikes")
        theirs = ReferenceProgram(graph, steps).run(x[:1], record="spikes")
        for name, spikes in theirs.spikes.items():
            np.testing.assert_array_equal(ours.spikes[name], spikes, err_msg=name)
        np.testing.assert_array_equal(ours.output, theirs.output)
    found: dict[str, Any] = {"timesteps": steps, "lower_s": round(lowered, 2)}
    found["ms"] = processor_ms(lambda: program.run(x[:1]), options.repeats)
    if options.layers:
        found["layers"] = layers(program, weights, x[:1], max(5, options.repeats // 4))
    return found


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--networks", nargs="*", choices=list(NETWORKS), default=[])
    parser.add_argument("--artifact", type=Path, help="measure this network too")
    parser.add_argument("--samples", type=Path, help=".npy with inputs of the artifact")
    parser.add_argument("--timesteps", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=60)
    parser.add_argument("--real", action="store_true")
    parser.add_argument("--maximum", action="store_true", help="maxima of counts as pools")
    parser.add_argument("--wait", type=int, default=0)
    parser.add_argument("--layers", action="store_true")
    parser.add_argument("--no-check", dest="check", action="store_false")
    options = parser.parse_args()
    found: dict[str, Any] = {"cpu": llvm.get_host_cpu_name()}
    has = llvm.get_host_cpu_features()
    found["features"] = [f for f in ("avx2", "avx512f", "avx512vnni", "amx-int8") if has.get(f)]
    how = How(options.real, options.timesteps, options.maximum, options.wait)
    for name in options.networks:
        graph, x = NETWORKS[name](how)
        found[name] = measured(graph, x, options)
    if options.artifact is not None:
        graph = open_artifact(options.artifact).graph()
        found[options.artifact.stem] = measured(graph, np.load(options.samples), options)
    json.dump(found, sys.stdout, indent=None if options.layers else 1)
    print()


if __name__ == "__main__":
    main()
