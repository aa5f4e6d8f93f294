"""The networks of `speed.py`: of integers, of the same numbers as float32, of any float32.

A framework gets the numbers of the integer network as float32. Sums of them are exact in any order,
so that every tool has to give the same spikes and the same readout. Its input is what the encoder
makes of an image, whole numbers of 0 to 255.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import snnc
from benchmarks.cpu.kernels import NETWORKS, How
from benchmarks.repository import EXAMPLES
from snnc.artifact import open_artifact
from snnc.data import open_data
from snnc.interp.program import ReferenceProgram
from snnc.ir import Encode, EncodeDirect, Graph, Neuron, Readout

TRAINED = "resnet20"
NAMES = ("mlp", "lenet", "vgg9", "vgg11", "vgg16", "resnet18", TRAINED)
CALIBRATED = 256
NOISE = 1 / 256
"""By this part of themselves weights are moved off the grid (standard deviation)."""

Array = NDArray[Any]


@dataclass(frozen=True)
class Spiking:
    """A spiking network of integers and a batch for it.

    Attributes:
        graph: of integers, with an encoder of the same value at all steps.
        x: (N, *shape) float32, before the encoder.
        timesteps: the window.
    """

    graph: Graph
    x: Array
    timesteps: int

    @cached_property
    def real(self) -> Graph:
        """The same numbers as float32; its input is `encoded`."""
        return _real(self.graph)

    @cached_property
    def off_grid(self) -> Graph:
        """`real` with weights that are moved off every grid; the rates are about the same."""
        graph, rng = self.real.clone(), np.random.default_rng(0)
        stats = copy.deepcopy(graph.stats)
        weights = (n.op.refs().get("weight") for n in graph.nodes)
        for name in {ref.name for ref in weights if ref is not None}:
            array = graph.params[name]
            moved = array * (1 + NOISE * rng.standard_normal(array.shape))
            graph.set_param(name, moved.astype(np.float32))
        graph.stats = stats
        return graph

    @cached_property
    def encoded(self) -> Array:
        """(N, *shape) float32, whole numbers."""
        (encoder,) = (n.op for n in self.graph.nodes if isinstance(n.op, Encode))
        code = encoder.code()
        assert code is not None
        ids = np.arange(len(self.x))
        return code.encode(self.x, 1, ids, 0).values[0].astype(np.float32)

    @cached_property
    def expected(self) -> Array:
        """(N, classes) float32: the output of the reference."""
        return ReferenceProgram(self.graph, self.timesteps).run(self.x).output

    @cached_property
    def expected_off_grid(self) -> Array:
        """That of `off_grid`."""
        return ReferenceProgram(self.off_grid, self.timesteps).run(self.encoded).output


def _real(graph: Graph) -> Graph:
    result = graph.clone()
    stats = copy.deepcopy(result.stats)
    scales = {ref.name for output in graph.outputs for ref in graph.node(output).op.refs().values()}
    for name, array in graph.params.items():
        if name not in scales:
            result.set_param(name, array.astype(np.float32))
    for node in graph.nodes:
        if isinstance(node.op, Encode):
            result.replace_op(node.name, EncodeDirect())
        elif isinstance(node.op, Neuron):
            if node.op.leak != 1.0 or node.op.wait or node.op.signed or node.op.reset != "subtract":
                sys.exit(f"{node.name}: the frameworks get neurons with soft reset only")
            result.replace_op(node.name, replace(node.op, unit=1.0, upper=None))
        elif isinstance(node.op, Readout) and node.op.start:
            sys.exit(f"{node.name}: the frameworks read all steps")
    result.stats = stats
    result.meta.pop("quantize", None)
    result.prune_params()
    return result


@dataclass(frozen=True)
class Sources:
    """Where networks come from.

    Attributes:
        work: folder in which the converted network is kept.
        data: folder with `cifar10/` and `models/cifar10-resnet20/`, or None: then there is no
            trained network.
    """

    work: Path
    data: Path | None

    def names(self) -> tuple[str, ...]:
        """The networks there are."""
        return NAMES if self.data is not None else tuple(n for n in NAMES if n != TRAINED)

    def network(self, name: str, timesteps: int, batch: int) -> Spiking:
        """A network, and a batch for it."""
        if name == TRAINED:
            return self._trained(timesteps, batch)
        graph, x = NETWORKS[name](How(False, timesteps, maximum=False, wait=0))
        more = np.random.default_rng(1).integers(0, 256, (batch - 1, *x.shape[1:]))
        return Spiking(graph, np.concatenate([x, (more / 255).astype(np.float32)]), timesteps)

    def _trained(self, timesteps: int, batch: int) -> Spiking:
        assert self.data is not None
        path = self.work / f"{TRAINED}-{timesteps}.snnc"
        if not path.exists():
            self.work.mkdir(parents=True, exist_ok=True)
            compiled = snnc.compile(
                f"{EXAMPLES / 'resnet20/net.py'}:resnet20",
                weights=self.data / "models/cifar10-resnet20/weights.safetensors",
                input_shape=(3, 32, 32),
                **NORMALIZED,
                target="cpu",
                recipe="convert{bits=8}",
                timesteps=timesteps,
                calibration=f"cifar10:{self.data / 'cifar10'}#train[:{CALIBRATED}]",
            )
            compiled.save(path)
        images = open_data(f"cifar10:{self.data / 'cifar10'}#test[:{batch}]", batch_size=batch)
        x, _ = next(iter(images))
        return Spiking(open_artifact(path).graph(), x, timesteps)


NORMALIZED: Mapping[str, Any] = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
