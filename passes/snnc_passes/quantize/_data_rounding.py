"""Real weights moved onto the grid of their integers, layer by layer, against data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from snnc.ir import AnyNeuron, Conv, Graph, Linear, Node, Readout, Scale, Weighted
from snnc.ir.populations import makes_events
from snnc.ir.walk import ancestors
from snnc.transform import Batches, PassContext
from snnc_passes._samples import first
from snnc_passes._scales.affine import combine, own_param
from snnc_passes._sweep.layer_sweep import LayerSweep
from snnc_passes._sweep.paired_sweep import waits_for_all
from snnc_passes.calibrate._layer_products import LayerProducts
from snnc_passes.calibrate._weight_correction import add_bias, summed_into
from snnc_passes.quantize._layer_pair import LayerPair
from snnc_passes.quantize._rounded_group import RoundedGroup, of_group
from snnc_passes.quantize._rounding import along

Real = NDArray[np.float64]
SAMPLES = 256
"""Most samples."""
STEPS = 8192
"""Most samples times steps, if these are more than `FEWEST` samples."""
FEWEST = 64
FARTHEST_START = 0.5
"""Largest change of an initial potential, in thresholds."""


@dataclass(frozen=True)
class DataRounding:
    """Chooses the integers of one layer after the other, on the spikes of the rounded ones before.

    Attributes:
        graph: real values; not changed.
        scales: by layer and population, (C,) or (), in real units.
        values: what an event of a layer's input stands for, by layer whose weights are chosen.
        largest: the largest integer of a weight.
    """

    graph: Graph
    scales: Mapping[str, Real]
    values: Mapping[str, float]
    largest: int

    def rounded(self, batches: Batches, ctx: PassContext) -> Graph:
        """A copy whose weights, biases, thresholds and starts are multiples of the scales.

        Raises:
            PassError: see `LayerSweep`.
            DataError: see `chunks`.
        """
        x = np.concatenate(list(first(batches, min(SAMPLES, max(FEWEST, STEPS // ctx.timesteps)))))
        graph, once = self.graph.clone(), waits_for_all(self.graph, ctx.timesteps)
        real, ours = (
            LayerSweep(each, x, ctx.timesteps, ctx.device, at_once=once, channels_last=True)
            for each in (self.graph, graph)
        )
        populations = sum(isinstance(n.op, AnyNeuron | Readout) for n in graph.nodes)
        done = set[str]()
        with ctx.progress("quantize", populations) as advance, torch.no_grad():
            for _, layer in zip(real.layers(), ours.layers(), strict=True):
                pair = LayerPair(real, ours, layer)
                for node in _coefficients_before(graph, layer.node.name):
                    if node.name in self.values and node.name not in done:
                        self._weights(pair, node)
                        done.add(node.name)
                self._biases(pair)
                if isinstance(layer.node.op, AnyNeuron):
                    self._neurons(pair)
                    pair.fire()
                advance(1)
        graph.prune_params()
        return graph

    def _weights(self, pair: LayerPair, node: Node) -> None:
        """Round the weights of a layer, group by group; no change if it is not one of images."""
        op, graph = node.op, pair.rounded.graph
        assert isinstance(op, Conv | Linear)
        if isinstance(op, Conv) and len(op.stride) != 2:
            return
        source = pair.layer.source
        direct = node.name in {term.name for term in summed_into(graph, source)}
        parts = pair.parts(node.inputs[0], source if direct else node.name)
        upper = pair.upper() if direct else None
        shape = graph.array(op.weight).shape
        weight = torch.from_numpy(graph.array(op.weight).astype(np.float64)).flatten(1)
        step = self.scales[node.name] / self.values[node.name]
        steps = torch.from_numpy(np.array(np.broadcast_to(step, len(weight))))[:, None]
        kept = (weight != 0) if op.pruned else torch.ones_like(weight, dtype=torch.bool)
        groups = op.groups if isinstance(op, Conv) else 1
        parted = [each.tensor_split(groups) for each in (weight, steps, kept)]
        integers = [
            RoundedGroup(
                LayerProducts(op, shape[1:]),
                of_group(parts, groups, group),
                None if upper is None else upper.tensor_split(groups)[group],
                direct,
            ).integers(each, scale, some, self.largest)
            for group, (each, scale, some) in enumerate(zip(*parted, strict=True))
        ]
        new = (torch.cat(integers) * steps).reshape(shape).numpy()
        graph.replace_op(node.name, replace(op, weight=own_param(graph, node.name, "weight", new)))
        pair.rounded.edited()

    def _biases(self, pair: LayerPair) -> None:
        """Add the mean error to a bias; make all of them multiples of the scales."""
        graph = pair.rounded.graph
        add_bias(graph, pair.layer.source, pair.mean_error())
        for node in _coefficients_before(graph, pair.layer.node.name):
            if isinstance(node.op, Weighted | Scale) and node.op.bias is not None:
                bias = graph.array(node.op.bias).astype(np.float64)
                unit = along(self.scales[node.name], bias)
                ref = own_param(graph, node.name, "bias", np.rint(bias / unit) * unit)
                graph.replace_op(node.name, replace(node.op, bias=ref))
        pair.rounded.edited()

    def _neurons(self, pair: LayerPair) -> None:
        """Thresholds and starts as multiples of the scale; starts add what biases lack, in sum."""
        graph, name, shape = pair.rounded.graph, pair.layer.node.name, pair.layer.shape
        op = graph.node(name).op
        assert isinstance(op, AnyNeuron)
        unit = self.scales[name]
        threshold, start = (
            np.asarray(graph.array(value), np.float64) for value in (op.threshold, op.v_init)
        )
        if np.all(graph.array(op.leak) == 1):
            shift = pair.rounded.timesteps * pair.mean_error()
            most = FARTHEST_START * threshold
            shift = combine(np.maximum, combine(np.minimum, shift, most, shape), -most, shape)
            start = combine(np.add, start, shift, shape)
        whole = np.maximum(np.rint(combine(np.divide, threshold, unit, shape)), 1)
        share = combine(np.divide, start, threshold, shape)
        counts = np.rint(combine(np.multiply, share, whole, shape))
        values = {
            field: own_param(graph, name, field, combine(np.multiply, value, unit, shape))
            for field, value in (("threshold", whole), ("v_init", counts))
        }
        graph.replace_op(name, replace(op, **values))
        pair.rounded.edited()


def _coefficients_before(graph: Graph, name: str) -> list[Node]:
    """The layers and scales between a population and the events that reach it."""
    names = ancestors(
        graph, name, until=lambda node: isinstance(node.op, Weighted) or makes_events(node)
    )
    nodes = [graph.node(each) for each in names]
    return [node for node in nodes if isinstance(node.op, Weighted | Scale)]
