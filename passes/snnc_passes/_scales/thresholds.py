"""New thresholds, and the `Scale`s behind them that keep the value of spikes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.ir import AnyNeuron, Graph, Ref, Scale
from snnc_passes._scales.affine import combine, own_param
from snnc_passes._scales.equal_amounts import refuse_unequal
from snnc_passes._scales.scale_propagation import ScalePropagation, sink_past_maxima


def set_thresholds(graph: Graph, values: Mapping[str, NDArray[np.float64]]) -> None:
    """Replace thresholds, and insert a `Scale` of threshold / previous threshold behind each.

    v_init is multiplied by the same factor. If any threshold changes, every population of `values`
    gets a `Scale`, if necessary of 1: inputs of a concatenation must all be scaled or none.

    Args:
        graph: edited in place.
        values: by neuron node, (C,) or a single value; at most the `upper` of the neuron is set.

    Raises:
        PassError: spikes of one window of a max pool would stand for unequal amounts.
    """
    shapes = {name: kind.shape for name, kind in graph.types().items()}
    thresholds = {
        name: _threshold(bounded(graph, name, value), shapes[name])
        for name, value in values.items()
    }
    gains = {name: _gain(graph, name, value) for name, value in thresholds.items()}
    if all(np.all(gain == 1) for gain in gains.values()):
        return
    refuse_unequal(graph, gains)
    for name, gain in gains.items():
        op = graph.node(name).op
        assert isinstance(op, AnyNeuron)
        start = combine(np.multiply, gain, np.asarray(graph.array(op.v_init)), shapes[name])
        op = replace(op, threshold=param(graph, name, "threshold", thresholds[name]))
        if np.any(start):
            op = replace(op, v_init=param(graph, name, "v_init", start))
        graph.replace_op(name, op)
        new = graph.fresh(f"{name}.scale")
        graph.insert_after(name, new, Scale(factor=1.0))
        graph.replace_op(new, Scale(factor=param(graph, new, "factor", gain)))
        shapes[new] = shapes[name]
    sink_past_maxima(graph, ScalePropagation(graph, shapes))


def bounded(graph: Graph, name: str, threshold: NDArray[np.float64]) -> NDArray[np.float64]:
    """Thresholds of a population, (C,) or a single value, cut off at its upper bound (S26)."""
    op = graph.node(name).op
    if not isinstance(op, AnyNeuron) or op.upper is None:
        return threshold
    upper = np.asarray(graph.array(op.upper), np.float64)
    return combine(np.minimum, threshold, upper, graph.type_of(name).shape)


def fitted(graph: Graph) -> list[str]:
    """The populations whose thresholds and starts are fitted to data: those not `fixed` (S27)."""
    neurons = [(node.name, node.op) for node in graph.nodes if isinstance(node.op, AnyNeuron)]
    return [name for name, op in neurons if not op.fixed]


def _threshold(value: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """One value per channel, or a single one."""
    threshold = np.asarray(value, np.float32)
    single = threshold.shape != shape[:1] or threshold.shape == (1,)
    return threshold.reshape(()) if single else threshold


def _gain(graph: Graph, name: str, threshold: NDArray[np.float32]) -> NDArray[np.float64]:
    """New threshold / present threshold of a population."""
    node = graph.node(name)
    assert isinstance(node.op, AnyNeuron)
    before = np.asarray(graph.array(node.op.threshold), np.float64)
    return combine(np.divide, threshold.astype(np.float64), before, graph.type_of(name).shape)


def param(graph: Graph, node: str, field: str, array: NDArray[Any]) -> Ref | float:
    """A float if `array` is 0-d, else a reference to an array stored for this node."""
    if array.ndim == 0:
        return float(array)
    return own_param(graph, node, field, np.asarray(array))
