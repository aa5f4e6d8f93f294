"""Write the frozen artifacts of a new format version, with what each of them gives.

    python tests/frozen/write.py tests/frozen/v1

Run by hand, once, from the root of the repository, by the code that brings a new version of the
format; the folder is named after that version. Files of a version are never rewritten: they say
what users have on their disks, and what it gave.

Real weights are multiples of 1/64 and inputs of 1/8. So every sum of real values is exact, in
whatever order a machine takes it, and equality of spikes and outputs is asked for everywhere.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import snnc
from snnc.artifact.layout import VERSION
from snnc.driver import ModelSource
from snnc.driver.models import load_model
from snnc.interp import Interpreter
from snnc.ir import AnyNeuron, EncodeLatency, Graph, Ref
from snnc.target import Program
from snnc.testing import Style, build, sample_inputs

TIMESTEPS = 8
PREFIXES = (1, 3, 8)
SAMPLE_IDS = (5, 0, 2**40 + 3)
SEED = 2**33 + 7
STORED = 2
"""Inputs that each artifact stores with what they give."""
WEIGHT_STEP, INPUT_STEP = 1 / 64, 1 / 8
ALL = ("reference", "cpu", "crossbar{rows=32 cols=40}")
REFERENCE, CPU, CROSSBAR = ALL
POISSON = (
    "fold-batchnorm,lower-avgpool,activations-to-neurons{encode=poisson},"
    "threshold-balance{source=ann statistic=percentile percentile=99.9 granularity=channel},"
    "initialize-potential{fraction=0.5},fold-scale"
)


@dataclass(frozen=True)
class Frozen:
    """A spiking graph (or a model and how to convert it), and the targets it is frozen for."""

    name: str
    model: Graph | nn.Module
    targets: tuple[str, ...] = ALL
    passes: str | None = ""
    recipe: str | None = None


class Plain(nn.Module):
    """Batch norm, average pooling, a depthwise and a pointwise convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 6, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(6)
        self.pool = nn.AvgPool2d(2)
        self.depthwise = nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.pointwise = nn.Conv2d(6, 8, 1)
        self.fc = nn.Linear(8 * 4 * 4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(torch.relu(self.bn(self.conv(x))))
        x = torch.relu(self.pointwise(torch.relu(self.depthwise(x))))
        return self.fc(x.flatten(1))


class Residual(nn.Module):
    """A block with an identity shortcut, and one whose shortcut is strided and padded."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3, padding=1)
        self.conv1 = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 8, 3, stride=2, padding=1)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(x))
        x = torch.relu(self.bn1(self.conv1(x)) + x)
        shortcut = nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2))
        x = torch.relu(self.conv2(x) + shortcut)
        return self.fc(x.mean((2, 3)))


class Bounded(nn.Module):
    """Bounded activations, a max pool, and a sigmoid on the output."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 6, 3, padding=1)
        self.bn = nn.BatchNorm2d(6)
        self.fc = nn.Linear(6 * 4 * 4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.max_pool2d(torch.clamp(self.bn(self.conv(x)), 0, 0.5), 2)
        return torch.sigmoid(self.fc(x.flatten(1)))


def frozen() -> Iterator[Frozen]:
    """What is frozen."""
    yield from _real()
    yield from _whole()


def _real() -> Iterator[Frozen]:
    """Real values, of which a crossbar gets integers."""

    def graph(topology: str, **options: Any) -> Graph:
        return on_grid(build(topology, Style.SNN, **options))

    leaky = {"leak": 0.5, "order": "fire-integrate", "reset": "zero"}
    wait = spiking(randomised(Residual()), recipe="convert{wait=T}")
    signed = spiking(randomised(Residual()), recipe="convert{signed=true}")
    poisson = spiking(randomised(Plain()), passes=POISSON)
    yield Frozen("real-direct-residual", graph("residual"), passes="fold-scale")
    yield Frozen("real-direct-grouped-maxpool", graph("grouped"), (REFERENCE, CPU))
    yield Frozen("real-direct-branches-concat", graph("branches"), (CPU,))
    yield Frozen("real-poisson-convert", on_grid(poisson))
    yield Frozen("real-wait-convert", on_grid(wait))
    yield Frozen("real-signed-convert", on_grid(signed))
    yield Frozen("real-fire-integrate-zero-leak", graph("residual", neuron=leaky), (REFERENCE, CPU))


def _whole() -> Iterator[Frozen]:
    """Integers."""

    def graph(topology: str, **options: Any) -> Graph:
        return build(topology, Style.QUANTIZED, **options)

    leaky = {"leak": 0.9, "order": "fire-integrate", "reset": "zero"}
    yield convert("int-direct-convert", Plain(), "convert{bits=8}")
    yield convert("int-bounded-convert", Bounded(), "convert{bits=8}")
    yield Frozen("int-poisson-convert", randomised(Plain()), passes=f"{POISSON},quantize{{bits=8}}")
    yield convert("int-wait-convert", Residual(), "convert{bits=8 wait=T}")
    yield convert("int-signed-convert", Residual(), "convert{bits=8 signed=true}")
    yield Frozen("int-direct-grouped-maxpool", graph("grouped"), (CPU, CROSSBAR))
    yield Frozen("int-direct-branches-concat", graph("branches"), (REFERENCE, CPU))
    yield Frozen("int-direct-enlarged-upsample", graph("enlarged"))
    yield Frozen("int-direct-pooled-counts", graph("pooled"))
    yield Frozen("int-direct-bottlenecks", graph("bottlenecks"))
    yield Frozen("int-latency-plain", graph("plain", encode=EncodeLatency), (CPU, CROSSBAR))
    yield Frozen("int-leak-residual", graph("residual", neuron={"leak": 0.9}), (CPU, CROSSBAR))
    yield Frozen("int-zero-residual", graph("residual", neuron={"reset": "zero"}), (CPU,))
    yield Frozen("int-fire-integrate-zero-leak", graph("residual", neuron=leaky), (REFERENCE, CPU))


def convert(name: str, model: nn.Module, recipe: str) -> Frozen:
    """A model with random weights, converted by a recipe for all targets."""
    return Frozen(name, randomised(model), passes=None, recipe=recipe)


def randomised(model: nn.Module) -> nn.Module:
    """The model with seeded weights and statistics, in evaluation mode."""
    generator = torch.Generator().manual_seed(0)
    for name, values in model.state_dict().items():
        if values.ndim > 1:
            values.normal_(0, 1.4 * values[0].numel() ** -0.5, generator=generator)
        elif name.endswith("var"):
            values.uniform_(0.5, 2, generator=generator)
        elif name.endswith("bn.weight"):
            values.uniform_(0.5, 1.5, generator=generator)
        elif values.is_floating_point():
            values.normal_(0.05, 0.1, generator=generator)
    return model.eval()


def spiking(model: nn.Module, *, recipe: str | None = None, passes: str | None = None) -> Graph:
    """The spiking graph of real values that a model becomes."""
    images = calibration((2, 8, 8))
    return snnc.compile(
        model,
        input_shape=(2, 8, 8),
        target=REFERENCE,
        recipe=recipe,
        passes=passes,
        timesteps=TIMESTEPS,
        calibration=images,
    ).graph


def calibration(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Images to convert with."""
    return np.random.default_rng(2).random((32, *shape), dtype=np.float32)


def on_grid(graph: Graph) -> Graph:
    """The graph with its real parameters rounded to `WEIGHT_STEP`; thresholds stay positive."""
    result = graph.clone()
    thresholds = {
        node.op.threshold.name
        for node in graph
        if isinstance(node.op, AnyNeuron) and isinstance(node.op.threshold, Ref)
    }
    for name, array in graph.params.items():
        least = 1 if name in thresholds else -np.inf
        values = np.maximum(np.rint(array.astype(np.float64) / WEIGHT_STEP), least) * WEIGHT_STEP
        result.set_param(name, values.astype(np.float32))
    return result


def inputs(graph: Graph) -> NDArray[np.float32]:
    """One sample for each identity, from 0 to 1 in steps of `INPUT_STEP`."""
    x = sample_inputs(graph, len(SAMPLE_IDS), seed=1)
    return (np.rint(x / INPUT_STEP) * INPUT_STEP).astype(np.float32)


def require_exact(name: str, graph: Graph, x: NDArray[np.float32]) -> None:
    """Exit unless a graph of real values has the same values in float32 as in float64."""
    runs = [
        Interpreter(graph, dtype).snn(
            x, TIMESTEPS, keep="all", sample_ids=np.array(SAMPLE_IDS), seed=SEED
        )
        for dtype in (torch.float32, torch.float64)
    ]
    for node in graph:
        single, double = (run.values.get(node.name) for run in runs)
        if single is not None and double is not None and not torch.equal(single.double(), double):
            sys.exit(f"{name}: {node.name} is not exact in float32; take coarser weights")


def expected(program: Program, x: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    """What a run gives, as arrays for one `.npz`, and what it was given."""
    ids = np.array(SAMPLE_IDS, np.int64)
    run = program.run(x, record="spikes", sample_ids=ids, seed=SEED, prefixes=PREFIXES)
    silent = [node for node, counts in run.counts.items() if not counts.any()]
    if silent:
        print(f"  {', '.join(silent)}: silent", file=sys.stderr)
    stats = {key: run.stats[key] for key in ("saturated", "activity") if key in run.stats}
    return {
        "x": x,
        "sample_ids": ids,
        "seed": np.array(SEED),
        "timesteps": np.array(run.timesteps),
        "output": run.output,
        **({} if run.readout is None else {"readout": run.readout}),
        **{f"prefix/{t}": output for t, output in run.stats["prefixes"].items()},
        **{f"counts/{node}": counts for node, counts in run.counts.items()},
        **{f"spikes/{node}": spikes for node, spikes in run.spikes.items()},
        "stats": np.array(json.dumps(stats, sort_keys=True)),
    }


def write(folder: Path, case: Frozen) -> None:
    """The artifact and the expectation of a case for each of its targets."""
    model = case.model
    if not isinstance(model, Graph):
        model = load_model(ModelSource(model=model, input_shape=(2, 8, 8)))
    x = inputs(model)
    for target in case.targets:
        path = folder / f"{target.partition('{')[0]}-{case.name}.snnc"
        compiled = snnc.compile(
            model,
            output=path,
            target=target,
            passes=case.passes,
            recipe=case.recipe,
            timesteps=TIMESTEPS,
            calibration=calibration(x.shape[1:]),
            sample=x[:STORED],
        )
        if not compiled.graph.quantized:
            require_exact(case.name, compiled.graph, x)
        np.savez_compressed(path.with_suffix(".npz"), **expected(snnc.load(path), x))
        print(path, path.stat().st_size, path.with_suffix(".npz").stat().st_size)


def main() -> None:
    """Write the folder that the command names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path, help="a new folder, named after the format's version")
    folder = parser.parse_args().folder
    if folder.name != f"v{VERSION.removesuffix('.0')}":
        sys.exit(f"{folder}: this code writes version {VERSION} of the format")
    if folder.exists():
        sys.exit(f"{folder} exists; files of a version are never rewritten")
    folder.mkdir()
    for case in frozen():
        write(folder, case)


if __name__ == "__main__":
    main()
