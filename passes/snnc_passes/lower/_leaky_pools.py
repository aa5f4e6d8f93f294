"""Max pools of leaky activations as max pools of activations that become spikes."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from snnc.ir import Add, Graph, Identity, MaxPool, Node, Op, Relu, Scale
from snnc_passes._scales.affine import Affine, Floats, affine_of, scale_op


class Leaky(NamedTuple):
    """A sum that is relu(x) - slope * relu(-x).

    Attributes:
        positive: the node of relu(x).
        x: the node of x.
        slope: () or (C,), not negative.
    """

    positive: str
    x: str
    slope: Floats


def leaky_of(graph: Graph, name: str) -> Leaky | None:
    """The leaky activation that a node is the sum of; None if it is none of a rising one."""
    if not isinstance(graph.node(name).op, Add) or len(graph.inputs_of(name)) != 2:
        return None
    for positive, term in (graph.inputs_of(name), reversed(graph.inputs_of(name))):
        relu = graph.node(positive)
        if relu.op != Relu():
            continue
        slope = _slope_of_negative(graph, term, relu.inputs[0])
        if slope is not None and np.all(slope >= 0):
            return Leaky(positive, relu.inputs[0], slope)
    return None


def _slope_of_negative(graph: Graph, name: str, x: str) -> Floats | None:
    """a, where the node is -a * relu(-x); None if it is something else."""
    scaled = graph.node(name)
    if not isinstance(scaled.op, Scale) or graph.node(scaled.inputs[0]).op != Relu():
        return None
    (mirrored,) = graph.inputs_of(scaled.inputs[0])
    op = graph.node(mirrored).op
    if not isinstance(op, Scale) or graph.inputs_of(mirrored) != (x,):
        return None
    outer, inner = affine_of(graph, scaled.op), affine_of(graph, op)
    plain = outer.bias is None and inner.bias is None and np.all(inner.factor == -1)
    return -outer.factor if plain and outer.factor.ndim < 2 else None


def mirror_again(graph: Graph, name: str) -> None:
    """Let a Scale of a node that is the negative of another one take that one, times -1.

    Such a pair is what is left of a batch norm before a leaky activation when Scales are merged.
    """
    scales = [user for user, _ in graph.users_of(name) if isinstance(graph.node(user).op, Scale)]
    for first, second in pairwise(scales):
        one, other = (_affine(graph, scale) for scale in (first, second))
        if all(np.array_equal(a, -b) for a, b in zip(one, other, strict=True)):
            plain, mirrored = (first, second) if np.all(one[0] >= 0) else (second, first)
            graph.set_input(mirrored, 0, plain)
            graph.replace_op(mirrored, Scale(factor=-1.0))


def _affine(graph: Graph, name: str) -> tuple[Floats, Floats]:
    """Factor and shift of a Scale."""
    op = graph.node(name).op
    assert isinstance(op, Scale)
    affine = affine_of(graph, op)
    return affine.factor, np.zeros(()) if affine.bias is None else affine.bias


def leaky_behind(graph: Graph, name: str) -> str | None:
    """The sum that is a leaky activation of a node."""
    for user, _ in graph.users_of(name):
        for total, _ in graph.users_of(user):
            leaky = leaky_of(graph, total)
            if leaky is not None and leaky.x == name:
                return total
    return None


def split_leaky_pool(graph: Graph, pool: Node) -> bool:
    """Replace a max pool behind or before a leaky activation by two; whether it was one.

    The activation rises with x, so its maximum is that of the largest x:
    (1 - slope) * max(relu(x)) + slope * max(x).
    """
    assert isinstance(pool.op, MaxPool)
    leaky = leaky_of(graph, pool.inputs[0])
    if leaky is not None:
        _replace(graph, pool.name, pool.op, leaky)
        return True
    total = leaky_behind(graph, pool.name)
    behind = None if total is None else leaky_of(graph, total)
    if total is None or behind is None:
        return False
    (x,) = pool.inputs
    positive = graph.add(graph.fresh(f"{x}.positive"), Relu(), [x], loc=pool.loc)
    _replace(graph, total, pool.op, Leaky(positive, x, behind.slope))
    return True


def _replace(graph: Graph, name: str, op: Op, leaky: Leaky) -> None:
    """Replace a node by (1 - slope) * op(relu(x)) + slope * op(x)."""
    positive, x, slope = leaky
    loc = graph.node(name).loc
    linear = graph.add(graph.fresh(f"{x}.spikes"), Identity(), [x], loc=loc)
    terms: list[str] = []
    for source, factor, kind in ((positive, 1 - slope, "positive"), (linear, slope, "linear")):
        pooled = graph.add(graph.fresh(f"{name}.{kind}"), op, [source], loc=loc, origins=[name])
        scaled = graph.fresh(f"{pooled}.scale")
        terms.append(graph.add(scaled, Scale(factor=1.0), [pooled], loc=loc))
        graph.replace_op(scaled, scale_op(graph, scaled, Affine(factor)))
    total = graph.add(graph.fresh(f"{name}.sum"), Add(), terms, loc=loc, origins=[name])
    for user, port in graph.users_of(name):
        graph.set_input(user, port, total)
    graph.outputs = tuple(total if output == name else output for output in graph.outputs)
    _remove_unused(graph, name)


def _remove_unused(graph: Graph, name: str) -> None:
    """Remove a node without users, and what only it used."""
    if graph.users_of(name) or name in graph.outputs:
        return
    sources = graph.inputs_of(name)
    graph.remove(name)
    for source in dict.fromkeys(sources):
        _remove_unused(graph, source)
