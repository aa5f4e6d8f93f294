"""The magnitudes that levels of weights are relative to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from snnc.errors import GraphError
from snnc.ir import Encode, Graph, Weighted
from snnc.ir.populations import groups
from snnc.transform import TargetInfo
from snnc_passes._largest_weight import largest_weight
from snnc_passes._scales.events import scale_events_into_currents
from snnc_passes._statistics import Granularity
from snnc_passes.quantize._rounding import Rounding, along

Real = NDArray[np.float64]


QUANTIZE_BITS = 8
"""Bits of the weights that `quantize` makes, unless told otherwise."""


def weight_bounds(
    graph: Graph, granularity: Granularity, target: TargetInfo | None
) -> dict[str, Real]:
    """Per weight array, the weight that becomes the largest integer in `quantize` (S19).

    One number per output channel, shaped to divide the weights, or 0-d where a layer has one scale.
    Layers whose results are added share it. Where there are no integers, in a network with layers
    on currents, it is the largest weight of the channel, or of the layer.
    """
    bounds: dict[str, Real] = {}
    for name, bound in _bounds(graph, granularity, target).items():
        op = graph.node(name).op
        assert isinstance(op, Weighted)
        array = graph.params[op.weight.name]
        shaped = along(bound, array)
        before = bounds.get(op.weight.name)
        bounds[op.weight.name] = shaped if before is None else np.maximum(before, shaped)
    return bounds


def _bounds(graph: Graph, granularity: Granularity, target: TargetInfo | None) -> dict[str, Real]:
    twin = graph.clone()
    scale_events_into_currents(twin)
    for node in twin.nodes:
        if isinstance(node.op, Encode) and node.op.scale is None:
            twin.replace_op(node.name, replace(node.op, scale=1.0))  # an input with a range
    try:
        found = groups(twin)
    except GraphError:
        return {
            node.name: _largest(graph, node.op, granularity)
            for node in graph
            if isinstance(node.op, Weighted)
        }
    rounding = Rounding(twin, dict(twin.types()), largest_weight(QUANTIZE_BITS, target), units={})
    bounds: dict[str, Real] = {}
    for group in found:
        scales = rounding.scales(group, granularity)
        for layer in group.contributors:
            if isinstance(twin.node(layer.name).op, Weighted):
                bounds[layer.name] = scales[layer.name] * rounding.q_max
    return bounds


def _largest(graph: Graph, op: Weighted, granularity: Granularity) -> Real:
    array = graph.array(op.weight)
    size = np.abs(array.astype(np.float64)).reshape(len(array), -1)
    return size.max(1) if granularity == "channel" else size.max()
