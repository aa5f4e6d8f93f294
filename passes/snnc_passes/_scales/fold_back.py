"""Moving a factor or shift of a current into the layers that the current is computed from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from snnc.ir import Add, Graph, Op, Rearrange, Scale, Shape, SumPool, Weighted
from snnc.ir.walk import used_once
from snnc_passes._scales.affine import (
    Affine,
    affine_of,
    compose,
    fold_into_outputs,
    pulled,
    pulled_before_sums,
    scale_op,
)


def fold_back(graph: Graph, shapes: Mapping[str, Shape], name: str) -> bool:
    """Fold the Scale `name` into the layers and Scales before it; returns whether it changed.

    Sums, sum pools and rearrangements may lie between, if no result on the way has other users. A
    shift that cannot be moved, such as one behind windows of different sizes, is left behind.

    Args:
        graph: edited in place.
        shapes: shape of a sample of every node.
        name: a Scale.
    """
    op = graph.node(name).op
    assert isinstance(op, Scale)
    affine = affine_of(graph, op)
    if _fold(graph, shapes, name, affine):
        graph.bypass(name)
        return True
    if affine.bias is None or np.all(affine.factor == 1):
        return False
    if not _fold(graph, shapes, name, Affine(affine.factor)):
        return False
    graph.replace_op(name, scale_op(graph, name, Affine(np.ones(()), affine.bias)))
    return True


def _fold(graph: Graph, shapes: Mapping[str, Shape], name: str, affine: Affine) -> bool:
    """Put `affine`, behind what `name` takes, into the layers before; whether all can take it."""
    node = graph.node(name)
    takers = _takers(graph, shapes, node.inputs[0], affine)
    if takers is None:
        return False
    for taker, part in takers:
        op = graph.node(taker).op
        if isinstance(op, Scale):
            whole = compose(affine_of(graph, op), part, shapes[taker])
            graph.replace_op(taker, scale_op(graph, taker, whole))
        else:
            fold_into_outputs(graph, taker, part)
        graph.replace_op(taker, graph.node(taker).op, origins=[name, *node.origins])
    return True


def _takers(
    graph: Graph, shapes: Mapping[str, Shape], source: str, affine: Affine
) -> list[tuple[str, Affine]] | None:
    """The layers that `source` is computed from, each with what `affine` behind it becomes there.

    None if a result on the way has other users, or a layer or an op cannot take it.
    """
    op, inputs = graph.node(source).op, graph.inputs_of(source)
    if not used_once(graph, source):
        return None
    if isinstance(op, Scale):
        return [(source, affine)]
    if isinstance(op, Weighted):
        fits = affine.factor.shape in ((), shapes[source][:1])
        return [(source, affine)] if fits else None
    takers: list[tuple[str, Affine]] = []
    parts = _before(op, affine, [shapes[name] for name in inputs])
    for name, part in zip(inputs, parts, strict=True):
        found = None if part is None else _takers(graph, shapes, name, part)
        if found is None:
            return None
        takers += found
    return takers or None


def _before(op: Op, affine: Affine, shapes: Sequence[Shape]) -> Sequence[Affine | None]:
    """Per input of `op`, of these shapes, the map that equals `affine` behind it; None for none."""
    if isinstance(op, Add):  # the shift is added once
        return [affine, *(Affine(affine.factor) for _ in shapes[1:])]
    if isinstance(op, Rearrange):
        return pulled(op, affine, shapes) or [None] * len(shapes)
    if isinstance(op, SumPool):
        return [pulled_before_sums(op, affine, shapes[0])]
    return [None] * len(shapes)
