"""Dequantisation: the real-valued graph of an integer graph (docs/semantics.md, S20)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from snnc.errors import GraphError
from snnc.ir.elementwise import Scale
from snnc.ir.endpoints import Readout
from snnc.ir.graph import Array, Graph
from snnc.ir.kinds import Weighted
from snnc.ir.neuron import AnyNeuron
from snnc.ir.op import broadcast_to_sample
from snnc.ir.populations import Group, WeightedInput, groups
from snnc.ir.shared_scales import Classes, shared_channels
from snnc.ir.types import Ref, Shape

Real = NDArray[np.float64]


def dequantize(graph: Graph) -> Graph:
    """A copy of an integer graph with real parameters (float64).

    Every coefficient that reaches a population is multiplied by the population's unit, so that
    thresholds, weights and biases are in the units of the model, up to their rounding. The encoding
    of the input and a leak of m/2^15 stay, the latter without rounding down. Spikes equal those of
    the integer graph except at ties and for that rounding.

    Raises:
        GraphError: the graph holds no integers, or a population has a unit for every element.
    """
    if not graph.quantized:
        raise GraphError("the graph holds no integers")
    result = graph.clone()
    shapes = {name: kind.shape for name, kind in graph.types().items()}
    for group in groups(graph):
        classes = shared_channels(graph, group, shapes)
        units = _units(graph, group, classes)
        for layer in group.contributors:
            _layer(result, layer, units[classes[layer.name]], shapes[layer.name])
        for name in group.populations:
            _population(result, name, units[classes[name]], shapes[name])
    result.meta.pop("quantize", None)
    result.prune_params()
    return result


def _units(graph: Graph, group: Group, classes: Mapping[str, Classes]) -> Real:
    """The unit of every class of channels: a neuron's unit, else the scale of the readout."""
    units = np.ones(1 + max(int(own.max()) for own in classes.values()))
    neurons = [n for n in group.populations if isinstance(graph.node(n).op, AnyNeuron)]
    readouts = [n for n in group.populations if n not in neurons]
    for name in (*readouts, *neurons):
        op = graph.node(name).op
        value = (
            op.unit if isinstance(op, AnyNeuron) else op.scale if isinstance(op, Readout) else 1.0
        )
        unit = graph.array(value).astype(np.float64)
        if unit.ndim > 1:
            raise GraphError(f"{name} has a unit for every element, not for every channel")
        units[classes[name]] = unit
    return units


def _layer(graph: Graph, layer: WeightedInput, unit: Real, shape: Shape) -> None:
    name = layer.name
    op = graph.node(name).op
    assert isinstance(op, Weighted | Scale)
    for field in ("weight", "factor", "bias"):
        if getattr(op, field, None) is None:
            continue
        integers = graph.array(getattr(op, field)).astype(np.float64)
        first = integers if integers.ndim else np.broadcast_to(integers, shape[:1])
        scale = np.ones(()) if layer.signs and field == "factor" else unit
        rows = scale if scale.ndim == 0 else scale.reshape(-1, *(1,) * (first.ndim - 1))
        op = replace(op, **{field: graph.own_param(name, field, np.asarray(first * rows))})
    graph.replace_op(name, op)


def _population(graph: Graph, name: str, unit: Real, shape: Shape) -> None:
    op = graph.node(name).op
    if isinstance(op, Readout):
        scale = _spread(graph.array(op.scale), shape) / _spread(unit, shape)
        graph.replace_op(name, replace(op, scale=_small(graph, name, "scale", scale)))
    elif isinstance(op, AnyNeuron):
        real: dict[str, Ref | float] = {}
        for field in ("threshold", "v_init", "upper"):
            value: Ref | float | None = getattr(op, field)
            if value is not None:
                values = _spread(graph.array(value), shape) * _spread(unit, shape)
                real[field] = _small(graph, name, field, values)
        graph.replace_op(name, replace(op, unit=1.0, **real))


def _spread(array: Array, shape: Shape) -> Real:
    return np.broadcast_to(np.asarray(broadcast_to_sample(array, shape), np.float64), shape)


def _small(graph: Graph, name: str, field: str, values: Real) -> Ref | float:
    """The values as one number or one per channel if they allow it, else in full."""
    flat = values.reshape(len(values), -1) if values.ndim else values.reshape(1, 1)
    if np.all(flat == flat[0, 0]):
        return float(flat[0, 0])
    per_channel = bool(np.all(flat == flat[:, :1])) and prod(values.shape[1:]) >= 1
    array = flat[:, 0] if per_channel else values
    return graph.own_param(name, field, np.array(array))
