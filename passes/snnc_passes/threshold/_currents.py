"""Thresholds from the weighted input of every layer of a spiking network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from snnc.errors import PassError
from snnc.ir import AnyNeuron, Graph, TwoSidedNeuron, broadcast_to_sample
from snnc.memory import HELD_BYTES
from snnc.transform import PassContext
from snnc_passes._samples import chunks
from snnc_passes._statistics import Granularity, in_rows, kth_smallest
from snnc_passes._sweep.layer_sweep import Layer, LayerSweep


class _Currents:
    """The input of a neuron node: first step by step, then by samples."""

    def __init__(self, sweep: LayerSweep, layer: Layer) -> None:
        self.sweep, self.layer = sweep, layer
        size = 4 * sweep.steps(layer) * len(sweep.x) * int(np.prod(layer.shape))
        self.held: list[NDArray[np.float32]] | None = [] if size <= HELD_BYTES else None

    def steps(self) -> Iterator[NDArray[np.float32]]:
        """(N, *shape) for every step; only one if the input is constant in time."""
        for step in range(self.sweep.steps(self.layer)):
            values = np.empty((len(self.sweep.x), *self.layer.shape), np.float32)
            for rows in self.sweep.rows:
                values[rows] = self._at(step, rows)
            if self.held is not None:
                self.held.append(values)
            yield values

    def windows(self) -> Iterator[tuple[slice, torch.Tensor]]:
        """Rows and their input (T or 1, n, *shape); to be called after `steps`."""
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
    """Per neuron node, the maximum over `timesteps` steps of a percentile of its weighted input.

    See `_percentile`; of two-sided neurons it is that of the magnitude. Every population is run
    with the threshold found for it. Returns (G,) arrays, one value per channel or one for the
    layer; they may be zero or negative.

    Raises:
        PassError: there is no calibration data.
    """
    if ctx.calibration is None:
        raise PassError("there is no calibration data", hint="add --calibration DATA")
    statistics: dict[str, NDArray[np.float64]] = {}
    x = np.concatenate(list(chunks(ctx.calibration)))
    sweep = LayerSweep(graph, x, timesteps, ctx.device)
    with ctx.progress("currents", len(neurons)) as advance, torch.no_grad():
        for layer in sweep.layers():
            if isinstance(layer.node.op, AnyNeuron):
                currents = _Currents(sweep, layer)
                steps = currents.steps()
                if isinstance(layer.node.op, TwoSidedNeuron):
                    steps = map(np.abs, steps)
                values = _percentile(steps, percent, granularity)
                statistics[layer.node.name] = values
                threshold = fill_silent(values)
                if threshold is None:
                    threshold = graph.array(layer.node.op.threshold).astype(np.float64)
                elif granularity == "layer":
                    threshold = threshold.reshape(())
                _fire(sweep, layer, threshold, currents)
                advance(1)
    return statistics


def _percentile(
    steps: Iterator[NDArray[np.float32]], percent: float, granularity: Granularity
) -> NDArray[np.float64]:
    """(G,) maximum over steps of the k-th smallest value, k = 1 + round(percent/100 * (M-1)).

    M is the number of values of a group in one step. The maximum of all values if that is positive
    for no group.
    """
    smallest: list[NDArray[np.floating]] = []
    largest: list[NDArray[np.floating]] = []
    for values in steps:
        rows = in_rows(values, granularity)
        smallest.append(kth_smallest(rows, percent))
        largest.append(rows.max(axis=1))
    usual, top = (np.max(np.stack(v), axis=0).astype(np.float64) for v in (smallest, largest))
    return usual if np.any(usual > 0) else top


def _fire(
    sweep: LayerSweep, layer: Layer, threshold: NDArray[np.float64], currents: _Currents
) -> None:
    """Run a population; its starting potential in thresholds stays the same."""
    op, device = layer.node.op, sweep.interpreter.device
    assert isinstance(op, AnyNeuron)
    shape = layer.shape
    wide, before, start = (
        np.asarray(broadcast_to_sample(np.asarray(value, np.float32), shape), np.float32)
        for value in (threshold, sweep.graph.array(op.threshold), sweep.graph.array(op.v_init))
    )
    theta, u = (torch.from_numpy(np.array(v)).to(device) for v in (wide, start * (wide / before)))
    sweep.fire(layer, theta, u, currents.windows())


def fill_silent(values: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """`values` with those that are not positive replaced by the median of the positive ones.

    None if none is positive.
    """
    active = values[values > 0]
    return np.where(values > 0, values, np.median(active)) if active.size else None
