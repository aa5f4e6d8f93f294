"""Two weighted layers as one, whose weights are the product of theirs."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from operator import mul

import numpy as np
from numpy.typing import NDArray

from snnc.ir import Array, Conv, Graph, Linear, Node, Weighted
from snnc.ir.walk import used_once
from snnc_passes._scales.affine import Affine, fold_into_inputs, own_param

Real = NDArray[np.float64]


def merge_into_next(graph: Graph, node: Node) -> bool:
    """Merge the layer that `node` takes into it, if one layer costs no more; whether it did.

    It costs no more if it has neither more weights nor more multiplications than both. One of the
    two must be pointwise, so that the product of their weights is a layer of the same kind.
    """
    if not isinstance(node.op, Weighted):
        return False
    first = graph.node(node.inputs[0])
    if not isinstance(first.op, Weighted) or not used_once(graph, first.name):
        return False
    if first.op.pruned or node.op.pruned:  # the product would fill the zeros
        return False
    geometry = _geometry(graph, first, node)
    if geometry is None or not _pays(graph, first, node, geometry):
        return False
    _shift(graph, first, node)
    weight = _product(graph, first, node)
    bias = graph.node(node.name).op.refs().get("bias")
    op = replace(geometry, weight=own_param(graph, node.name, "weight", weight), bias=bias)
    graph.set_input(node.name, 0, first.inputs[0])
    graph.replace_op(node.name, op, origins=[first.name, *first.origins])
    graph.remove(first.name)
    return True


def _geometry(graph: Graph, first: Node, second: Node) -> Weighted | None:
    """The op with the strides, padding and kernel of both together; None if there is none."""
    if isinstance(first.op, Linear) and isinstance(second.op, Linear):
        return second.op
    if not isinstance(first.op, Conv) or not isinstance(second.op, Conv):
        return None
    if second.op.groups == 1 and _is_pointwise(graph, second.op):
        return replace(first.op, groups=1)
    both_dense = first.op.groups == second.op.groups == 1
    return second.op if both_dense and _is_pointwise(graph, first.op) else None


def _is_pointwise(graph: Graph, op: Conv) -> bool:
    """Whether a convolution takes one position for each of its results, all of them in order."""
    kernel = graph.array(op.weight).shape[2:]
    return prod(kernel) == 1 and not np.any(op.padding) and set(op.stride) == {1}


def _pays(graph: Graph, first: Node, second: Node, geometry: Weighted) -> bool:
    """Whether the merged layer has neither more weights nor more multiplications than both."""
    inputs, outputs = (graph.type_of(name).shape[0] for name in (first.inputs[0], second.name))
    weights = [_weight(graph, node).size for node in (first, second)]
    places = [prod(graph.type_of(node.name).shape[1:]) for node in (first, second)]
    merged = outputs * inputs * prod(graph.array(geometry.weight).shape[2:])
    return merged <= sum(weights) and merged * places[1] <= sum(map(mul, weights, places))


def _shift(graph: Graph, first: Node, second: Node) -> None:
    """Add what the second layer makes of the bias of the first to its bias."""
    bias = first.op.refs().get("bias")
    if bias is None:
        return
    shift = Affine(np.ones(()), graph.array(bias).astype(np.float64))
    fold_into_inputs(graph, second.name, shift, graph.type_of(first.name).shape)


def _product(graph: Graph, first: Node, second: Node) -> Real:
    """(C_out, C_in, *kernel) weights of both layers together; one of them is pointwise."""
    before, after = (_dense(graph, node) for node in (first, second))
    kernel = before.shape[2:] if prod(after.shape[2:]) == 1 else after.shape[2:]
    flat = [w.reshape(*w.shape[:2], -1) for w in (before, after)]
    return np.einsum("mik,omk->oik", *flat).reshape(len(after), before.shape[1], *kernel)


def _dense(graph: Graph, node: Node) -> Real:
    """(C_out, C_in, *kernel) weights without groups."""
    weight = _weight(graph, node).astype(np.float64)
    groups = node.op.groups if isinstance(node.op, Conv) else 1
    if groups == 1:
        return weight
    outputs, inputs = len(weight) // groups, weight.shape[1]
    dense = np.zeros((len(weight), inputs * groups, *weight.shape[2:]))
    for group in range(groups):
        rows = slice(group * outputs, (group + 1) * outputs)
        dense[rows, group * inputs : (group + 1) * inputs] = weight[rows]
    return dense


def _weight(graph: Graph, node: Node) -> Array:
    assert isinstance(node.op, Weighted)
    return graph.array(node.op.weight)
