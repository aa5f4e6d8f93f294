"""Moving factors and shifts of a `Scale` through a graph without changing what it computes (S17).

Everything is computed in float64 and stored in float32 (float64 in a graph that holds float64).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from snnc.interp import evaluate
from snnc.interp.ops import largest
from snnc.ir import (
    Conv,
    Graph,
    Linear,
    Maximum,
    Node,
    Op,
    Pool,
    Rearrange,
    Ref,
    Scale,
    Shape,
    SumPool,
    Weighted,
    broadcast_to_sample,
)
from snnc.ir.kinds import Positions
from snnc.ir.walk import descendants

Floats = NDArray[np.float64]
PASSABLE = (Pool, Rearrange)
"""Ops behind which a factor of their inputs can be moved."""


@dataclass(frozen=True)
class Affine:
    """y = factor * x + bias for a sample x; both are scalar, (C,) or of the sample's shape.

    bias None is no shift.
    """

    factor: Floats
    bias: Floats | None = None

    @property
    def is_identity(self) -> bool:
        """Whether it is y = x."""
        return self.bias is None and bool(np.all(self.factor == 1))


def affine_of(graph: Graph, op: Scale) -> Affine:
    """The factor and bias of a `Scale`, in float64."""
    bias = None if op.bias is None else graph.array(op.bias).astype(np.float64)
    return Affine(graph.array(op.factor).astype(np.float64), bias)


def scale_op(graph: Graph, name: str, affine: Affine) -> Scale:
    """A `Scale` for the node `name`; its arrays are stored in the graph under that name."""
    factor: Ref | float = (
        float(affine.factor)
        if affine.factor.ndim == 0
        else own_param(graph, name, "factor", affine.factor)
    )
    bias = None if affine.bias is None else own_param(graph, name, "bias", affine.bias)
    return Scale(factor=factor, bias=bias)


def own_param(graph: Graph, node: str, field: str, array: NDArray[Any]) -> Ref:
    """Store `array` for one field of one node; other users of a shared array keep the old one.

    Real numbers are stored in float32, or in float64 if the graph has float64 arrays.
    """
    if array.dtype == np.float64:
        wide = any(param.dtype == np.float64 for param in graph.params.values())
        array = array if wide else array.astype(np.float32)
    return graph.own_param(node, field, array)


def full(array: NDArray[Any], shape: Shape) -> NDArray[Any]:
    """A parameter broadcast to a sample of `shape`."""
    return np.broadcast_to(broadcast_to_sample(array, shape), shape)


def compact(array: Floats) -> Floats:
    """An array of a sample's shape as (C,) if it is constant within every channel."""
    flat = array.reshape(len(array), -1)
    return flat[:, 0].copy() if np.all(flat == flat[:, :1]) else array


def combine(
    operation: Callable[[Any, Any], Any], a: NDArray[Any], b: NDArray[Any], shape: Shape
) -> Floats:
    """`operation` of two parameters of samples of `shape`, broadcast only where needed."""
    if a.ndim == 0 or b.ndim == 0 or a.shape == b.shape:
        return np.asarray(operation(a, b), np.float64)
    return operation(broadcast_to_sample(a, shape), broadcast_to_sample(b, shape))


def compose(first: Affine, second: Affine, shape: Shape) -> Affine:
    """second(first(x)), for samples of `shape`."""
    factor = combine(np.multiply, first.factor, second.factor, shape)
    bias = second.bias
    if first.bias is not None:
        shifted = combine(np.multiply, first.bias, second.factor, shape)
        bias = shifted if bias is None else combine(np.add, shifted, bias, shape)
    return Affine(factor, bias)


# -- through one op ----------------------------------------------------------------------------


def pushed(op: Op, affine: Affine, shape: Shape) -> Affine | None:
    """The map g with op(affine(x)) = g(op(x)) for inputs of `shape`; None if there is none."""
    factor = _pushed_factor(op, affine.factor, shape)
    if factor is None:
        return None
    if affine.bias is None:
        return Affine(factor)
    if isinstance(op, Maximum):
        bias = _of_windows(op, affine.bias, shape)
        return None if bias is None else Affine(factor, bias)
    return Affine(factor, compact(_applied(op, full(affine.bias, shape))))


def _pushed_factor(op: Op, factor: Floats, shape: Shape) -> Floats | None:
    if isinstance(op, Maximum) and np.any(factor < 0):
        return None
    if factor.ndim == 0:
        return factor
    if isinstance(op, Pool):
        return _of_windows(op, factor, shape)
    return moved_factor(op, [full(factor, shape)]) if isinstance(op, Rearrange) else None


def _of_windows(op: Pool, values: Floats, shape: Shape) -> Floats | None:
    """The value of every window, if all elements of a window have the same; else None."""
    if values.ndim == 0 or values.shape == shape[:1]:
        return values
    low, high = window_extremes(op, full(values, shape))
    return compact(high) if np.array_equal(low, high) else None


def window_extremes(op: Pool, values: Floats) -> tuple[Floats, Floats]:
    """The smallest and the largest value (C, *pooled) of every window of a sample."""
    x = torch.from_numpy(np.array(values, np.float64))[None]
    low, high = -largest(op.windows, -x), largest(op.windows, x)
    return low[0].numpy(), high[0].numpy()


def moved_factor(op: Rearrange, factors: Sequence[Floats]) -> Floats:
    """The factor of the result, given those of all elements of the inputs; (C,) if possible.

    Zeros that `op` inserts may have any factor: they get that of their channel, or 0.
    """
    return _filled(op.move(factors, np.nan), 0.0)


def joined(op: Rearrange, affines: Sequence[Affine], shapes: Sequence[Shape]) -> Affine:
    """The map g with op(a(x), b(y), …) = g(op(x, y, …)) for inputs of `shapes`."""
    pairs = list(zip(affines, shapes, strict=True))
    factor = moved_factor(op, [full(a.factor, shape) for a, shape in pairs])
    if all(a.bias is None for a in affines):
        return Affine(factor)
    biases = (np.zeros(()) if a.bias is None else a.bias for a in affines)
    shifts = [full(bias, shape) for bias, shape in zip(biases, shapes, strict=True)]
    return Affine(factor, compact(op.move(shifts, 0.0)))


def _filled(values: Floats, otherwise: float) -> Floats:
    """Values of a sample as (C,) if each channel has one; NaN is any value, else `otherwise`."""
    flat = values.reshape(len(values), -1)
    channel = np.nanmax(np.where(np.isnan(flat), -np.inf, flat), axis=1)
    channel = np.where(np.isfinite(channel), channel, otherwise)
    same = np.isnan(flat) | (flat == channel[:, None])
    return channel if np.all(same) else np.nan_to_num(values, nan=otherwise)


def pulled(op: Rearrange, affine: Affine, shapes: Sequence[Shape]) -> list[Affine] | None:
    """The maps g, h, … with affine(op(x, y, …)) = op(g(x), h(y), …) for inputs of `shapes`.

    None if there are none: an element that `op` repeats must have one factor and one shift, a zero
    that it inserts no shift.
    """
    positions = op.positions(shapes)
    factors = _pulled_values(positions, affine.factor, shapes, unused=1.0)
    if factors is None or affine.bias is None:
        return None if factors is None else [Affine(factor) for factor in factors]
    if np.any(full(affine.bias, positions.shape)[positions < 0] != 0):
        return None
    biases = _pulled_values(positions, affine.bias, shapes, unused=0.0)
    if biases is None:
        return None
    return [Affine(*both) for both in zip(factors, biases, strict=True)]


def pulled_before_sums(op: SumPool, affine: Affine, shape: Shape) -> Affine | None:
    """`pulled` for a sum pool: factors per channel, and shifts if every window is as large."""
    arrays = [affine.factor, *([] if affine.bias is None else [affine.bias])]
    if any(array.shape not in ((), shape[:1]) for array in arrays):
        return None
    if affine.bias is None:
        return affine
    sizes = _applied(op, np.ones(shape))
    same = bool(np.all(sizes == sizes.flat[0]))
    return Affine(affine.factor, affine.bias / sizes.flat[0]) if same else None


def _pulled_values(
    positions: Positions, values: Floats, shapes: Sequence[Shape], *, unused: float
) -> list[Floats] | None:
    """Values of the elements of the inputs; None if an element is repeated with different ones.

    Elements that do not occur in the result get the value of their channel, or `unused`.
    """
    if values.ndim == 0:
        return [values for _ in shapes]
    wanted, used = full(values, positions.shape), positions >= 0
    sizes = [prod(shape) for shape in shapes]
    flat = np.full(sum(sizes), np.nan)
    flat[positions[used]] = wanted[used]
    if np.any(flat[positions[used]] != wanted[used]):
        return None
    parts = np.split(flat, np.cumsum(sizes)[:-1])
    return [_filled(part.reshape(shape), unused) for part, shape in zip(parts, shapes, strict=True)]


def _applied(op: Op, sample: Floats) -> Floats:
    """Result of a one-input op without parameters on one sample, in float64."""
    if isinstance(op, Rearrange):
        return op.move([sample], 0.0)
    x = torch.from_numpy(np.array(sample, np.float64))
    return evaluate(op, [x[None]], x.ndim, _no_parameters)[0].numpy()


def _no_parameters(value: Ref | float) -> torch.Tensor:
    raise AssertionError(f"an op without parameters requested {value}")


# -- into weights ------------------------------------------------------------------------------


def fold_into_inputs(graph: Graph, name: str, affine: Affine, shape: Shape) -> bool:
    """Fold `affine`, applied to the input of the Conv or Linear `name`, into it; False if not.

    Args:
        shape: shape of the input's samples.
    """
    op = graph.node(name).op
    if not isinstance(op, Weighted):
        return False
    if affine.factor.ndim > 0 and affine.factor.shape != shape[:1]:
        return False
    weight = graph.array(op.weight).astype(np.float64)
    if affine.bias is not None:
        op = replace(op, bias=_shifted_bias(graph, name, op, weight, affine.bias, shape))
    weight *= _on_input_channels(op, affine.factor, weight)
    graph.replace_op(name, replace(op, weight=own_param(graph, name, "weight", weight)))
    return True


def _on_input_channels(op: Weighted, factor: Floats, weight: Floats) -> Floats:
    """`factor` of the input channels, shaped to multiply the weights."""
    if factor.ndim == 0:
        return factor
    rows = factor.reshape(op.matrices, -1)
    if op.matrices > 1:
        rows = np.repeat(rows, len(weight) // op.matrices, axis=0)
    return rows.reshape(*rows.shape, *(1,) * (weight.ndim - 2))


def _shifted_bias(
    graph: Graph, name: str, op: Weighted, weight: Floats, shift: Floats, shape: Shape
) -> Ref:
    """The bias of `name` plus the response to the constant input `shift`.

    Exact at the borders (S18): where a convolution pads, it has the shape of the output.
    """
    added = _response(op, weight, shift, shape)
    if op.bias is not None:
        old = graph.array(op.bias).astype(np.float64)
        added = combine(np.add, added, old, graph.type_of(name).shape)
    return own_param(graph, name, "bias", added)


def _response(op: Weighted, weight: Floats, shift: Floats, shape: Shape) -> Floats:
    if isinstance(op, Linear):
        return weight @ full(shift, shape)
    flat = shift.ndim == 0 or shift.shape == shape[:1]
    if flat and isinstance(op, Conv) and not np.any(op.padding):
        per_channel = np.broadcast_to(shift, shape[:1])
        return (
            (weight * _on_input_channels(op, per_channel, weight))
            .reshape(len(weight), -1)
            .sum(axis=1)
        )
    x = torch.from_numpy(np.array(full(shift, shape), np.float64))
    kernel = torch.from_numpy(weight)
    plain = replace(op, bias=None)
    return compact(evaluate(plain, [x[None]], x.ndim, lambda _: kernel)[0].numpy())


def fold_into_outputs(graph: Graph, name: str, affine: Affine) -> bool:
    """Fold `affine`, applied to the result of the Conv or Linear `name`, into it; False if not."""
    op = graph.node(name).op
    if not isinstance(op, Weighted):
        return False
    shape = graph.type_of(name).shape
    if affine.factor.ndim > 0 and affine.factor.shape != shape[:1]:
        return False
    old = graph.array(op.weight)
    rows = np.broadcast_to(affine.factor, shape[:1]).reshape(-1, *(1,) * (old.ndim - 1))
    weight = old.astype(np.float64) * rows
    bias = None if op.bias is None else Affine(np.ones(()), graph.array(op.bias).astype(np.float64))
    after = affine if bias is None else compose(bias, affine, shape)
    changed = replace(op, weight=own_param(graph, name, "weight", weight))
    if after.bias is not None:
        per_channel = full(after.bias, shape[:1]) if after.bias.ndim == 0 else after.bias
        changed = replace(changed, bias=own_param(graph, name, "bias", per_channel))
    graph.replace_op(name, changed)
    return True


def leads_to(graph: Graph, name: str, targets: tuple[type[Op], ...]) -> bool:
    """Whether `name`, or a user of it behind `PASSABLE` ops only, is one of `targets`."""

    def ends(node: Node) -> bool:
        return isinstance(node.op, targets) or not isinstance(node.op, PASSABLE)

    start = graph.node(name)
    reached = (name, *(() if ends(start) else descendants(graph, name, until=ends)))
    return any(isinstance(graph.node(node).op, targets) for node in reached)
