"""Running a network on the chip: tiles answer for Conv and Linear, the rest is digital."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnc.interp import Interpreter, Run, for_sample
from snnc.interp.program import ReferenceProgram, stored_window
from snnc.ir import Conv, Graph, Linear, Node
from snnc.target import Artifact, Record, RunResult
from snnc_backends.crossbar.chip import Chip
from snnc_backends.crossbar.lower import programmed, stored_graph
from snnc_backends.crossbar.matrices import WeightMatrix
from snnc_backends.crossbar.reads import Activity, LayerTiles, layer_tiles


class TileInterpreter(Interpreter):
    """The interpreter of an integer graph whose weighted layers are read from tiles.

    Attributes:
        activity: per layer, what its tiles have done so far.
    """

    def __init__(self, graph: Graph, layers: Mapping[str, LayerTiles]) -> None:
        super().__init__(graph, torch.float64)
        self._layers = layers
        self.activity = {name: Activity() for name in layers}

    def apply(self, node: Node, inputs: Sequence[Tensor], run: Run | None = None) -> Tensor:
        """Result of one node; see `Interpreter.apply`. The bias is added digitally."""
        op = node.op
        if not isinstance(op, Conv | Linear):
            return super().apply(node, inputs, run)
        (x,) = inputs
        layer = self._layers[node.name]
        rank = len(layer.events.shape)
        lead = x.shape[: x.ndim - rank]
        events = x.reshape(prod(lead), *x.shape[x.ndim - rank :])
        y = layer.currents(events, self.activity[node.name]).to(self.dtype)
        if op.bias is not None:
            y = y + for_sample(self.constant(op.bias), layer.result.shape)
        return y.reshape(*lead, *y.shape[1:])


class CrossbarProgram:
    """A network on an ideal chip.

    Args:
        graph: the network, of integers.
        matrices: the weights as they lie in the tiles, which are run in place of the graph's.

    Attributes:
        timesteps: the artifact's window.
    """

    def __init__(
        self, graph: Graph, matrices: Sequence[WeightMatrix], timesteps: int, chip: Chip
    ) -> None:
        self.timesteps = timesteps
        self._graph = graph
        self._layers = {m.layer: layer_tiles(graph, m, chip) for m in matrices}

    def run(
        self,
        x: NDArray[np.float32],
        *,
        timesteps: int | None = None,
        record: Record = "none",
        sample_ids: NDArray[np.int64] | None = None,
        seed: int = 0,
        prefixes: tuple[int, ...] = (),
    ) -> RunResult:
        """Run a batch (N, *shape); see `snnc.target.Program`. Raises `DataError`.

        `stats["activity"]` has per layer the fields of `reads.Activity`.
        """
        interpreter = TileInterpreter(self._graph, self._layers)
        result = ReferenceProgram(self._graph, self.timesteps, interpreter).run(
            x,
            timesteps=timesteps,
            record=record,
            sample_ids=sample_ids,
            seed=seed,
            prefixes=prefixes,
        )
        activity = {name: asdict(counted) for name, counted in interpreter.activity.items()}
        return replace(result, stats={**result.stats, "activity": activity})


def load(artifact: Artifact, chip: Chip) -> CrossbarProgram:
    """The program of an artifact. Raises `ArtifactError`."""
    graph = stored_graph(artifact)
    matrices = programmed(artifact, graph, chip)
    return CrossbarProgram(graph, matrices, stored_window(graph), chip)
