"""Moving `Scale`s towards the outputs: past pools and rearrangements, into weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from snnc.ir import Graph, Maximum, Node, Rearrange, Scale, Shape, Weighted
from snnc.ir.walk import rewrite
from snnc_passes._scales.affine import (
    PASSABLE,
    Affine,
    affine_of,
    compose,
    fold_into_inputs,
    joined,
    leads_to,
    pushed,
    scale_op,
)
from snnc_passes._scales.events import event_kinds

Wanted = Callable[[str], bool]
"""Whether a scale should be moved into or past the user of this name."""


def sink_past_maxima(graph: Graph, scales: ScalePropagation) -> int:
    """Move scales behind max pools, which compare events; returns the number of moves."""

    def sink(graph: Graph, node: Node) -> bool:
        op = node.op
        return isinstance(op, Scale) and scales.propagate(
            node.name,
            lambda user: (
                leads_to(graph, user, (Maximum,))
                and (op.bias is None or graph.node(user).op.arity == 1)
            ),
        )

    return rewrite(graph, sink)


class ScalePropagation:
    """Moves the scales of one graph towards its outputs.

    Args:
        graph: edited in place.
        shapes: shape of a sample of every node. The types of the graph are not computed, because
            it may break a rule of its stage until every scale has been moved.
    """

    def __init__(self, graph: Graph, shapes: Mapping[str, Shape]) -> None:
        self.graph = graph
        self.shapes = dict(shapes)

    def propagate(self, name: str, wanted: Wanted) -> bool:
        """Move the scale `name` into or past every wanted user where this is possible.

        It is removed when it has no users left. Returns whether the graph changed.
        """
        users = [pair for pair in self.graph.users_of(name) if wanted(pair[0])]
        moved = [self._move_into(name, user, port) for user, port in users]
        if name in self.graph and not self._used(name):
            self.graph.remove(name)
        return any(moved)

    def _used(self, name: str) -> bool:
        return bool(self.graph.users_of(name)) or name in self.graph.outputs

    def _move_into(self, name: str, user: str, port: int) -> bool:
        graph = self.graph
        if name not in graph.inputs_of(user)[port : port + 1]:
            return False  # a concatenation has taken all its ports at once
        node = graph.node(name)
        assert isinstance(node.op, Scale)
        (source,) = graph.inputs_of(name)
        affine, shape, op = affine_of(graph, node.op), self.shapes[name], graph.node(user).op
        if isinstance(op, Rearrange) and op.arity is None:
            return self._move_past_join(user, op)
        if isinstance(op, Weighted):
            done = fold_into_inputs(graph, user, affine, shape)
        elif isinstance(op, Scale):
            graph.replace_op(
                user, scale_op(graph, user, compose(affine, affine_of(graph, op), shape))
            )
            done = True
        elif isinstance(op, PASSABLE):
            after = pushed(op, affine, shape)
            done = after is not None
            if after is not None:
                self._put_after(user, after)
        else:
            return False
        if done:
            graph.set_input(user, port, source)
            graph.replace_op(user, graph.node(user).op, origins=[name, *node.origins])
        return done

    def _put_after(self, name: str, affine: Affine) -> None:
        """Insert a scale behind `name`, even the identity: a sum may need a current."""
        new = self.graph.fresh(f"{name}.scale")
        self.graph.insert_after(name, new, scale_op(self.graph, new, affine))
        self.shapes[new] = self.shapes[name]

    def _move_past_join(self, name: str, op: Rearrange) -> bool:
        """Move the scales before a concatenation behind it, if its inputs are then of one kind."""
        graph = self.graph
        kinds = event_kinds(graph)
        before = [self._before(source) for source in graph.inputs_of(name)]
        if len({kinds.get(source) for source, _ in before}) > 1:
            return False
        old = graph.inputs_of(name)
        for port, (source, _) in enumerate(before):
            graph.set_input(name, port, source)
        shapes = [self.shapes[source] for source, _ in before]
        affines = [affine for _, affine in before]
        self._put_after(name, joined(op, affines, shapes))
        for source in dict.fromkeys(old):
            if source in graph and not self._used(source):
                graph.remove(source)
        return True

    def _before(self, name: str) -> tuple[str, Affine]:
        """The input of a scale and what it does to it; another node as it is."""
        op = self.graph.node(name).op
        if not isinstance(op, Scale):
            return name, Affine(np.ones(()))
        return self.graph.inputs_of(name)[0], affine_of(self.graph, op)
