"""Thresholds from the weighted input of every layer of a spiking network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from snnc.errors import PassError
from snnc.ir import Graph, Neuron, Node, broadcast_to_sample
from snnc.memory import HELD_BYTES
from snnc.transform import PassContext
from snnc_passes._layer_sweep import Layer, LayerSweep
from snnc_passes._samples import chunks
from snnc_passes._statistics import Granularity, in_rows, kth_smallest


class _Currents:
    """The input of a neuron node: at one step of all samples, or of some samples at all steps."""

    def __init__(self, sweep: LayerSweep, layer: Layer) -> None:
        self.sweep, self.layer = sweep, layer
        size = 4 * sweep.steps(layer) * len(sweep.x) * int(np.prod(layer.shape))
        self.held: list[NDArray[np.float32]] | None = [] if size <= HELD_BYTES else None

    def steps(self) -> Iterator[NDArray[np.float32]]:
        """(N, *shape) of every step; one where all are the same."""
        for step in range(self.sweep.steps(self.layer)):
            values = np.empty((len(self.sweep.x), *self.layer.shape), np.float32)
            for rows in self.sweep.rows:
                values[rows] = self._at(step, rows)
            if self.held is not None:
                self.held.append(values)
            yield values

    def windows(self) -> Iterator[tuple[slice, torch.Tensor]]:
        """Rows and their input (T or 1, n, *shape), after `steps`."""
        for rows in self.sweep.rows:
            if self.held is not None:
                parts = [values[rows] for values in self.held]
            else:
                parts = [self._at(t, rows) for t in range(self.sweep.steps(self.layer))]
            yield rows, torch.from_numpy(np.stack(parts)).to(self.sweep.interpreter.device)

    def _at(self, step: int, rows: slice) -> NDArray[np.float32]:
        now = slice(step, step + 1)
        return self.sweep.value(self.layer.source, rows, now)[0].cpu().numpy()


def current_statistic(
    graph: Graph,
    ctx: PassContext,
    neurons: Sequence[str],
    percent: float,
    granularity: Granularity,
    timesteps: int,
) -> Mapping[str, NDArray[np.float64]]:
    """Per neuron node, the largest over `timesteps` steps of a percentile of its weighted input.

    At each step over all samples: the k-th smallest, k = 1 + round(percent/100 * (n-1)). Where that
    is positive nowhere, the maximum. Returns (G,) arrays, one value a channel or one for the layer;
    they may be zero or negative.
    """
    if ctx.calibration is None:
        raise PassError("there is no calibration data", hint="add --calibration DATA")
    found: dict[str, NDArray[np.float64]] = {}

    def choose(node: Node, currents: Iterator[NDArray[np.float32]]) -> NDArray[np.float64]:
        steps: list[NDArray[np.floating]] = []
        tops: list[NDArray[np.floating]] = []
        for values in currents:
            rows = in_rows(values, granularity)
            steps.append(kth_smallest(rows, percent))
            tops.append(rows.max(axis=1))
        usual, top = (np.max(np.stack(each), axis=0).astype(np.float64) for each in (steps, tops))
        found[node.name] = usual if np.any(usual > 0) else top
        filled = fill_silent(found[node.name])
        if filled is None:
            assert isinstance(node.op, Neuron)
            return graph.array(node.op.threshold).astype(np.float64)
        return filled if granularity == "channel" else filled.reshape(())

    x = np.concatenate(list(chunks(ctx.calibration)))
    sweep = LayerSweep(graph, x, timesteps, ctx.device)
    with ctx.progress("currents", len(neurons)) as advance, torch.no_grad():
        for layer in sweep.layers():
            if isinstance(layer.node.op, Neuron):
                currents = _Currents(sweep, layer)
                threshold = choose(layer.node, currents.steps())
                _fire(sweep, layer, threshold, currents)
                advance(1)
    return found


def _fire(
    sweep: LayerSweep, layer: Layer, threshold: NDArray[np.float64], currents: _Currents
) -> None:
    """Potentials start as high above 0 as before, in thresholds."""
    op, device = layer.node.op, sweep.interpreter.device
    assert isinstance(op, Neuron)
    shape = layer.shape
    wide, before, start = (
        np.asarray(broadcast_to_sample(np.asarray(each, np.float32), shape), np.float32)
        for each in (threshold, sweep.graph.array(op.threshold), sweep.graph.array(op.v_init))
    )
    theta, u = (torch.from_numpy(np.array(v)).to(device) for v in (wide, start * (wide / before)))
    sweep.fire(layer, theta, u, currents.windows())


def fill_silent(values: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """`values` with those that are not positive replaced by the median of the others.

    None where none is positive.
    """
    active = values[values > 0]
    return np.where(values > 0, values, np.median(active)) if active.size else None
