"""Activations that spiking neurons compute: ReLU, bounded, leaky, and rounded to levels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnc.frontends.importing.arithmetic import for_sample, scale, stored
from snnc.frontends.importing.pooling import largest_of
from snnc.frontends.importing.site import (
    FINE_TUNE,
    Constant,
    ImportSite,
    RefusedError,
    Rounding,
    Value,
)
from snnc.ir import Add, Graph, Node, Pool, Ref, Relu, Scale
from snnc.ir.walk import ancestors

TOLERANCE = 1e-4
"""How far a number of levels, computed in float32, may be from a whole number."""
BOUNDED = f"put ReLU, ReLU6 or clamp(0, b) in its place and {FINE_TUNE}"


def relu(site: ImportSite, x: Value) -> Value:
    """max(x, 0)."""
    return site.emit(Relu(), [x]) if x.rounding is None else clip(site, x, 0)


def clip(
    site: ImportSite,
    x: Value,
    low: Constant | float | None = None,
    high: Constant | float | None = None,
) -> Value:
    """min(max(x, low), high), a neuron that saturates; None is no bound.

    Args:
        low: 0, or None if x is never negative.
        high: a number, or one per channel.

    Raises:
        RefusedError: for other bounds.
    """
    at_least = -np.inf if low is None else for_sample(low, x)
    at_most = for_sample(high, x) if isinstance(high, Constant) else _number(high)
    if x.rounding is not None:
        return _bounded_rounding(site, x, x.rounding, at_least, at_most)
    if np.any(at_least != 0) and not (np.all(at_least <= 0) and _never_negative(site.graph, x)):
        if np.all(np.isneginf(at_least)):
            raise RefusedError(
                "it bounds from above what may be negative, and a rate is never below 0",
                "put a ReLU before it, or use clamp(0, b)",
            )
        raise RefusedError(
            f"its lower bound is {np.min(at_least):g}, and a neuron's rate is never below 0",
            BOUNDED,
        )
    if np.all(np.isposinf(at_most)):
        return relu(site, x)
    if at_most.shape not in ((), x.shape[:1]) or not np.all((at_most > 0) & np.isfinite(at_most)):
        raise RefusedError("its upper bound is not a positive number, or one per channel", BOUNDED)
    return _bounded(site, x, high, at_most)


def _number(bound: float | None) -> NDArray[np.floating[Any]]:
    return np.asarray(np.inf if bound is None else bound, np.float64)


def _bounded(
    site: ImportSite,
    x: Value,
    bound: Constant | float | None,
    upper: NDArray[np.floating[Any]],
) -> Value:
    """min(max(x, 0), upper); where x = f * relu(y) with f > 0, that is f * min(max(y, 0), …)."""
    factor, bias, name = _affine_chain(site.graph, x.name)
    maker = site.graph.node(name)
    if not isinstance(maker.op, Relu) or maker.op.levels or bias or factor <= 0:
        factor = 1.0
    else:
        upper = upper / factor
        if maker.op.upper is not None:
            upper = np.minimum(upper, site.graph.array(maker.op.upper))
        x = Value(maker.inputs[0], site.graph.type_of(maker.inputs[0]))
    if upper.ndim == 0:
        y = site.emit(Relu(upper=float(upper)), [x])
    else:
        kept = bound if bound is not None and np.array_equal(for_sample(bound, x), upper) else 0.0
        array = stored(site, kept, upper.astype(np.float32), "upper")
        y = site.emit(Relu(upper=array), [x])
    return y if factor == 1 else site.emit(Scale(factor=factor), [y], "scale")


def leaky_relu(site: ImportSite, x: Value, slope: Constant | float) -> Value:
    """relu(x) - slope * relu(-x): a population of its positive and one of its negative values.

    `slope`: a number, or one per channel (C, 1, …), broadcast as in numpy. Raises `RefusedError`
    for others.
    """
    factor = for_sample(slope, x)
    if factor.ndim > 1:
        raise RefusedError(
            f"it has slopes of shape {factor.shape}", "use one slope, or one per channel"
        )
    if np.all(factor == 0):
        return relu(site, x)
    positive = site.emit(Relu(), [x], "positive")
    mirrored = site.emit(Scale(factor=-1.0), [x], "mirrored")
    negative = site.emit(Relu(), [mirrored], "negative")
    stored_factor = -float(factor) if factor.ndim == 0 else site.array(-factor, "slope")
    return site.emit(Add(), [positive, site.emit(Scale(factor=stored_factor), [negative], "slope")])


def maximum(site: ImportSite, values: Sequence[Value]) -> Value:
    """The largest of values, element by element; max(x, a * x) is a LeakyReLU for a in [0, 1]."""
    if len(values) == 2:
        for x, other in (values, values[::-1]):
            factor, bias, name = _affine_chain(site.graph, other.name)
            if name == x.name and not bias and 0 <= factor < 1:
                return leaky_relu(site, x, factor)
    return largest_of(site, values)


def floor(site: ImportSite, x: Value) -> Value:
    """floor(x), where it makes an activation one of whole levels.

    That is floor(L * clip(y / theta, 0, 1) + 1/2): a neuron with the threshold theta that starts at
    half of it, in L steps (Bu et al., "Optimal ANN-SNN Conversion for High-accuracy and
    Ultra-low-latency Spiking Neural Networks", 2022). What bounds it may stand behind it too.
    Raises `RefusedError` for others.
    """
    return _levels(site, x, 0.5)


def round_half_even(site: ImportSite, x: Value) -> Value:
    """round(x), where it makes an activation one of whole levels; see `floor`.

    Values that lie exactly between two levels may be rounded to the other one.
    """
    return _levels(site, x, 0.0)


def _levels(site: ImportSite, x: Value, shift: float) -> Value:
    """x rounded down (shift 1/2) or to the nearest (shift 0), where x = factor * relu(y) + shift.

    Without a bounded activation before it the rounding is left to what bounds it.
    """
    if x.rounding is not None:
        raise x.rounding.refused()
    factor, bias, name = _affine_chain(site.graph, x.name)
    op = site.graph.node(name).op
    if not isinstance(op, Relu) or op.upper is None:
        return replace(x, rounding=Rounding(site, x.name, -shift))
    steps = factor * np.asarray(site.graph.array(op.upper), np.float64)
    levels = np.unique(np.rint(steps))
    whole = np.abs(steps / levels[0] - 1) < TOLERANCE
    if len(levels) > 1 or levels[0] < 1 or not np.all(whole) or bias != shift:
        raise RefusedError(
            "its levels are not L whole steps from 0 to the bound, rounded to the nearest",
            "use floor(clamp(x / theta, 0, 1) * L + 0.5) * theta / L",
        )
    (source,) = site.graph.inputs_of(name)
    return _quantised(site, source, op.upper, int(levels[0]), factor)


def _quantised(
    site: ImportSite, source: str, upper: Ref | float, levels: int, factor: float
) -> Value:
    """factor times a ReLU of whole levels up to a bound of the node `source`.

    relu(f * x) = f * relu(x) with another bound: of x, if one positive number multiplies it.
    """
    graph = site.graph
    op = graph.node(source).op
    if isinstance(op, Scale) and op.bias is None and not isinstance(upper, Ref):
        own = graph.array(op.factor)
        if own.size == 1 and float(own.max()) > 0:
            (source,) = graph.inputs_of(source)
            factor, upper = factor * float(own.max()), upper / float(own.max())
    value = site.emit(Relu(upper=upper, levels=levels), [Value(source, graph.type_of(source))])
    return value if factor == 1 else site.emit(Scale(factor=factor), [value], "levels")


def _bounded_rounding(
    site: ImportSite,
    x: Value,
    rounding: Rounding,
    low: NDArray[np.floating[Any]] | float,
    high: NDArray[np.floating[Any]],
) -> Value:
    """factor * round(x + shift) between bounds: an activation of whole levels, if 0 is the lower.

    round(x) between 0 and N is round(min(max(x, 0), N)).
    """
    bounded = rounding.low or bool(np.all(low == 0))
    if not bounded or rounding.less_source or rounding.factor <= 0 or high.ndim > 0:
        raise rounding.refused()
    if np.isposinf(high):
        return replace(x, rounding=replace(rounding, low=True))
    steps = float(high) / rounding.factor
    levels = round(steps)
    if levels < 1 or abs(steps / levels - 1) > TOLERANCE:
        raise rounding.refused()
    plain = scale(site, replace(x, rounding=None), 1, rounding.shift)
    factor, bias, name = _affine_chain(site.graph, plain.name)
    if bias != 0 or factor <= 0:
        factor, name = 1.0, plain.name
    return _quantised(site, name, levels / factor, levels, factor * rounding.factor)


def _affine_chain(graph: Graph, name: str) -> tuple[float, float, str]:
    """The numbers a, b and the node y with `name` = a * y + b; y is no Scale by numbers."""
    factor, bias = 1.0, 0.0
    while isinstance(op := graph.node(name).op, Scale):
        own = graph.array(op.factor)
        shift = np.zeros(()) if op.bias is None else graph.array(op.bias)
        if own.size > 1 or shift.size > 1:
            break
        bias += factor * float(shift.max())
        factor *= float(own.max())
        (name,) = graph.inputs_of(name)
    return factor, bias, name


def _never_negative(graph: Graph, x: Value) -> bool:
    """Whether a value comes from ReLUs alone, through ops that keep the sign."""

    def keeps(node: Node) -> bool:
        op = node.op
        if isinstance(op, Scale):
            parts = [op.factor, *([] if op.bias is None else [op.bias])]
            return all(np.all(np.asarray(graph.array(part), np.float64) >= 0) for part in parts)
        return bool(node.inputs) and (op.keeps_sign or isinstance(op, Pool))

    if not keeps(graph.node(x.name)):
        return isinstance(graph.node(x.name).op, Relu)
    found = ancestors(graph, x.name, until=lambda node: not keeps(node))
    makers = [node for node in map(graph.node, found) if not keeps(node)]
    return all(isinstance(node.op, Relu) for node in makers)
