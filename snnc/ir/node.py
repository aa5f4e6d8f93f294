"""A node of a graph: what it is called, what it does, and how it is connected."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from snnc.errors import Loc
from snnc.ir.op import Op
from snnc.ir.types import TensorType


class Connections(Protocol):
    """What a node asks the graph it is in."""

    def inputs_of(self, name: str) -> tuple[str, ...]: ...
    def users_of(self, name: str) -> tuple[tuple[str, int], ...]: ...
    def type_of(self, name: str) -> TensorType: ...


@dataclass(frozen=True)
class Node:
    """One operation of a graph, made by `Graph.node` and by iterating over a graph.

    `name`, `op`, `loc` and `origins` are what they were when the graph was asked, and two nodes are
    equal when these are; `inputs`, `users` and `type` are looked up in the graph as it is now.

    Attributes:
        name: unique; comes from the model (`layer1.0.conv1`) and survives passes.
        op: what it does.
        loc: the user's line and module.
        origins: names of the model's nodes that were merged into this one.
    """

    name: str
    op: Op
    loc: Loc
    origins: tuple[str, ...]
    _graph: Connections = field(repr=False, compare=False)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the nodes whose results enter this one, by port. Raises `GraphError` if gone."""
        return self._graph.inputs_of(self.name)

    @property
    def users(self) -> tuple[tuple[str, int], ...]:
        """(node, port) of every use of this one, sorted by name. Raises `GraphError` if gone."""
        return self._graph.users_of(self.name)

    @property
    def type(self) -> TensorType:
        """The type of its result. Raises `GraphError` if it has none, or the node is gone."""
        return self._graph.type_of(self.name)
