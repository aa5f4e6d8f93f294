"""A node of a graph: its name, op, origin and connections."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from snnc.errors import Loc
from snnc.ir.op import Op
from snnc.ir.types import TensorType


class Connections(Protocol):
    """The interface of a graph that nodes use."""

    def inputs_of(self, name: str) -> tuple[str, ...]: ...
    def users_of(self, name: str) -> tuple[tuple[str, int], ...]: ...
    def type_of(self, name: str) -> TensorType: ...


@dataclass(frozen=True)
class Node:
    """One operation of a graph, made by `Graph.node` and by iterating over a graph.

    `name`, `op`, `loc` and `origins` are a snapshot, and nodes are compared by them; `inputs`,
    `users` and `type` are looked up in the current graph.

    Attributes:
        name: unique; comes from the model (`layer1.0.conv1`) and survives passes.
        op: its operation.
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
