"""Column by column: tiles answer for Conv and Linear, the rest is digital."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnc.interp import Interpreter, Run, for_sample
from snnc.interp.program import ReferenceProgram
from snnc.ir import Conv, Graph, Linear, Node
from snnc.target import RunResult
from snnc_backends.crossbar.chip import Chip
from snnc_backends.crossbar.mapping.matrices import WeightMatrix
from snnc_backends.crossbar.mapping.placed_parts import PartsOfLayers, laid_out
from snnc_backends.crossbar.reading.activity import Activity
from snnc_backends.crossbar.reading.reads import LayerTiles, Observe, Samples, layer_tiles


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
        which = Samples.of(lead, run)
        y = layer.currents(events, which, self.activity[node.name]).to(self.dtype)
        if op.bias is not None:
            y = y + for_sample(self.constant(op.bias), layer.result.shape)
        return y.reshape(*lead, *y.shape[1:])


class PhysicalProgram:
    """A network on a chip whose columns are summed and converted one by one.

    Args:
        graph: the network, of integers.
        matrices: the weights as they lie in the tiles, which are run in place of the graph's.
        ranges: of the converters of every layer; see `programmed.programmed`.
        observe: called for every read row block; see `reads.Observe`.
        parts: see `program.CrossbarProgram`.
    """

    def __init__(
        self,
        graph: Graph,
        matrices: Sequence[WeightMatrix],
        timesteps: int,
        chip: Chip,
        ranges: Mapping[str, NDArray[Any]] | None = None,
        observe: Observe | None = None,
        parts: PartsOfLayers | None = None,
    ) -> None:
        self.timesteps = timesteps
        self._graph = graph
        ranges = ranges or {}
        where = laid_out(graph, chip, timesteps) if parts is None else parts
        self._layers = {
            m.layer: layer_tiles(graph, m, chip, ranges.get(m.layer), observe, where.get(m.layer))
            for m in matrices
        }

    def run(self, x: NDArray[np.float32], **options: Any) -> RunResult:
        """Run a batch (N, *shape); see `snnc.target.Program`. Raises `DataError`.

        `stats["activity"]` has per layer the fields of `activity.Activity`.
        """
        interpreter = TileInterpreter(self._graph, self._layers)
        result = ReferenceProgram(self._graph, self.timesteps, interpreter).run(x, **options)
        activity = {name: asdict(counted) for name, counted in interpreter.activity.items()}
        return replace(result, stats={**result.stats, "activity": activity})
