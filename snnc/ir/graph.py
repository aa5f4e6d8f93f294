"""The graph: named frozen nodes over a private networkx graph, arrays held once and read-only."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from snnc.errors import GraphError, Loc
from snnc.ir.ops import Input, Op, OpError
from snnc.ir.types import Ref, Stage, TensorType

Array = NDArray[np.generic]


@dataclass(frozen=True)
class Node:
    """One operation of a graph.

    Attributes:
        name: unique; comes from the model (`layer1.0.conv1`) and survives passes.
        op: what it does.
        loc: the user's line and module.
        origins: names of the model's nodes that were merged into this one.
    """

    name: str
    op: Op
    loc: Loc = field(default_factory=Loc)
    origins: tuple[str, ...] = ()


class Graph:
    """A mutable facade: nodes are frozen, an edit is `graph.replace_op(name, replace(op, …))`.

    Attributes:
        stage: what is legal in it.
        outputs: names of the nodes whose values leave the graph, in order.
        stats: per node, figures measured by `profile`; dropped when the node changes.
        meta: JSON-able facts about the whole graph (timesteps, bounds proved by `quantize`, …).
    """

    def __init__(self, stage: Stage = Stage.ANN) -> None:
        self.stage = stage
        self.outputs: tuple[str, ...] = ()
        self.stats: dict[str, dict[str, Any]] = {}
        self.meta: dict[str, Any] = {}
        self._graph: nx.MultiDiGraph[str] = nx.MultiDiGraph()
        self._params: dict[str, Array] = {}
        self._types: dict[str, TensorType] | None = None
        self._order: list[str] | None = None

    # -- reading ---------------------------------------------------------------------------

    @property
    def params(self) -> Mapping[str, Array]:
        """Every array by name; read-only."""
        return MappingProxyType(self._params)

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All nodes, inputs before users; the same order for the same graph."""
        return tuple(self.node(name) for name in self.order())

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return self._graph.number_of_nodes()

    def __contains__(self, name: object) -> bool:
        return name in self._graph

    def node(self, name: str) -> Node:
        """The node called `name`. Raises `GraphError` if there is none."""
        if name not in self._graph:
            raise GraphError(f"no node called {name!r}")
        return self._graph.nodes[name]["node"]

    def inputs_of(self, name: str) -> tuple[str, ...]:
        """Names of the nodes whose results enter `name`, by port."""
        edges = self._graph.in_edges(name, keys=True)
        return tuple(source for _, source in sorted((port, source) for source, _, port in edges))

    def users_of(self, name: str) -> tuple[tuple[str, int], ...]:
        """(node, port) of every use of `name`, in graph order."""
        edges = self._graph.out_edges(name, keys=True)
        return tuple(sorted((user, port) for _, user, port in edges))

    def order(self) -> tuple[str, ...]:
        """Topological order, ties in order of insertion. Raises `GraphError` naming a cycle."""
        if self._order is None:
            rank = {name: i for i, name in enumerate(self._graph.nodes)}
            try:
                order = nx.lexicographical_topological_sort(self._graph, key=rank.__getitem__)
                self._order = list(order)
            except nx.NetworkXUnfeasible:
                cycle = " -> ".join(edge[0] for edge in nx.find_cycle(self._graph))
                raise GraphError(f"the graph has a cycle: {cycle}") from None
        return tuple(self._order)

    def types(self) -> Mapping[str, TensorType]:
        """The type of every node's result. Raises `GraphError` for the first that has none."""
        if self._types is None:
            found: dict[str, TensorType] = {}
            for node in self.nodes:
                inputs = [found[source] for source in self.inputs_of(node.name)]
                found[node.name] = self._infer(node, inputs)
            self._types = found
        return MappingProxyType(self._types)

    def type_of(self, name: str) -> TensorType:
        """The type of `name`'s result."""
        return self.types()[name]

    def _infer(self, node: Node, inputs: Sequence[TensorType]) -> TensorType:
        try:
            return node.op.infer(inputs, self._params)
        except (OpError, KeyError) as error:
            reason = f"no array called {error}" if isinstance(error, KeyError) else str(error)
            where = f"{node.name} ({node.op.mnemonic}) at {node.loc}"
            raise GraphError(f"{where}: {reason}") from None

    def array(self, value: Ref | float) -> Array:
        """The array behind a parameter of an op; a number becomes a 0-d array."""
        return self._params[value.name] if isinstance(value, Ref) else np.asarray(value)

    @property
    def input(self) -> str:
        """Name of the one graph input. Raises `GraphError` unless there is exactly one."""
        names = [node.name for node in self.nodes if isinstance(node.op, Input)]
        if len(names) != 1:
            raise GraphError(f"expected one graph input, found {len(names)}: {names}")
        return names[0]

    # -- editing ---------------------------------------------------------------------------

    def add(
        self,
        name: str,
        op: Op,
        inputs: Sequence[str] = (),
        *,
        loc: Loc | None = None,
        origins: Iterable[str] = (),
    ) -> str:
        """Add a node fed by `inputs`; returns its name. Raises `GraphError` if the name is taken."""
        if name in self._graph:
            raise GraphError(f"two nodes called {name!r}")
        for source in inputs:
            self.node(source)
        self._graph.add_node(name, node=Node(name, op, loc or Loc(), tuple(origins)))
        for port, source in enumerate(inputs):
            self._graph.add_edge(source, name, key=port)
        self._touch(name)
        return name

    def insert_after(self, name: str, new: str, op: Op) -> str:
        """Put a one-input node behind `name`: every user of `name` (and an output) now uses it."""
        users = self.users_of(name)
        node = self.node(name)
        self.add(new, op, [name], loc=node.loc, origins=node.origins)
        for user, port in users:
            self.set_input(user, port, new)
        self.outputs = tuple(new if output == name else output for output in self.outputs)
        return new

    def insert_before(self, name: str, port: int, new: str, op: Op) -> str:
        """Put a one-input node on the edge that enters `name` at `port`."""
        node = self.node(name)
        self.add(new, op, [self.inputs_of(name)[port]], loc=node.loc, origins=node.origins)
        self.set_input(name, port, new)
        return new

    def bypass(self, name: str) -> None:
        """Remove a one-input node; its users then use its input."""
        (source,) = self.inputs_of(name)
        for user, port in self.users_of(name):
            self.set_input(user, port, source)
        self.outputs = tuple(source if output == name else output for output in self.outputs)
        self.remove(name)

    def remove(self, name: str) -> None:
        """Remove a node nobody uses. Raises `GraphError` if it is used or an output."""
        used = self.users_of(name)
        if used or name in self.outputs:
            by = "the graph's output" if not used else used[0][0]
            raise GraphError(f"{name} is still used by {by}")
        self._graph.remove_node(name)
        self.stats.pop(name, None)
        self._touch()

    def set_input(self, name: str, port: int, source: str) -> None:
        """Let `source` feed `name` at `port`."""
        self.node(source)
        old = self.inputs_of(name)[port]
        self._graph.remove_edge(old, name, key=port)
        self._graph.add_edge(source, name, key=port)
        self._touch(name)

    def replace_op(self, name: str, op: Op, *, origins: Iterable[str] = ()) -> None:
        """Give a node another op; `origins` are added to those it has."""
        node = self.node(name)
        merged = tuple(dict.fromkeys((*node.origins, *origins)))
        self._graph.nodes[name]["node"] = replace(node, op=op, origins=merged)
        self._touch(name)

    def set_param(self, name: str, array: Array) -> Ref:
        """Store an array (a read-only copy unless it already is read-only); returns its `Ref`."""
        stored = np.ascontiguousarray(array).reshape(np.shape(array))
        if stored.flags.writeable:
            stored = stored.copy()
            stored.flags.writeable = False
        self._params[name] = stored
        self._types = None
        return Ref(name)

    def prune_params(self) -> None:
        """Forget arrays that no op refers to."""
        used = {ref.name for node in self.nodes for ref in node.op.refs().values()}
        self._params = {name: array for name, array in self._params.items() if name in used}

    def fresh(self, stem: str) -> str:
        """A node name that is not taken: `stem`, or `stem_1`, `stem_2`, …"""
        candidates = (stem if i == 0 else f"{stem}_{i}" for i in range(len(self) + 1))
        return next(name for name in candidates if name not in self._graph)

    def clone(self) -> Graph:
        """A copy to work on; arrays are shared, as they are read-only."""
        copy = Graph(self.stage)
        copy.outputs = self.outputs
        copy.stats = {name: dict(values) for name, values in self.stats.items()}
        copy.meta = dict(self.meta)
        copy._graph = self._graph.copy()
        copy._params = dict(self._params)
        return copy

    def fingerprint(self) -> str:
        """A hash of everything the graph means: nodes, edges, arrays, outputs, stage, stats, meta."""
        digest = hashlib.sha256(f"{self.stage}{self.outputs}".encode())
        for node in self.nodes:
            digest.update(repr((node.name, node.op, self.inputs_of(node.name))).encode())
        for name in sorted(self._params):
            array = self._params[name]
            digest.update(f"{name}{array.dtype}{array.shape}".encode())
            digest.update(array.tobytes())
        digest.update(repr((sorted(self.stats.items()), sorted(self.meta.items()))).encode())
        return digest.hexdigest()

    def _touch(self, name: str | None = None) -> None:
        self._types = None
        self._order = None
        if name is not None:
            self.stats.pop(name, None)
