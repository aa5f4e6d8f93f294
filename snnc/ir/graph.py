"""The graph: named frozen nodes and the edges between them; arrays are shared and read-only."""

from __future__ import annotations

import copy
import hashlib
import heapq
import itertools
import json
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from snnc.errors import GraphError, Loc
from snnc.ir.endpoints import Input
from snnc.ir.node import Node
from snnc.ir.op import Op, OpError, require
from snnc.ir.types import Ref, Stage, TensorType
from snnc.memory import LARGEST_TENSOR

Array = NDArray[np.generic]
DTYPES = frozenset({"bool", "float16", "float32", "float64"}) | {
    f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)
}


def _unwritable(array: Array) -> bool:
    """True if neither the array nor the base of its view is writeable."""
    if array.flags.writeable:
        return False
    base = cast(object, array.base)
    if isinstance(base, np.ndarray):
        return _unwritable(cast(Array, base))
    return base is None or isinstance(base, bytes)


def _first_free(stem: str, taken: Container[str]) -> str:
    """`stem`, or the first of `stem_1`, `stem_2`, … that is not taken."""
    names = itertools.chain([stem], (f"{stem}_{i}" for i in itertools.count(1)))
    return next(name for name in names if name not in taken)


class Graph:
    """A mutable graph of frozen nodes; edit with `graph.replace_op(name, replace(op, …))`.

    Attributes:
        stage: `ANN` or `SNN`; determines the legal ops.
        outputs: names of the nodes whose values leave the graph, in order.
        stats: per node, figures measured by `profile`; dropped when the node changes.
        meta: JSON-able facts about the whole graph (timesteps, bounds proved by `quantize`, …).
    """

    def __init__(self, stage: Stage = Stage.ANN) -> None:
        self.stage = stage
        self.outputs: tuple[str, ...] = ()
        self.stats: dict[str, dict[str, Any]] = {}
        self.meta: dict[str, Any] = {}
        self._records: dict[str, dict[str, Any]] = {}
        self._sources: dict[str, list[str]] = {}
        self._users: dict[str, set[tuple[str, int]]] = {}
        self._params: dict[str, Array] = {}
        self._digests: dict[str, bytes] = {}
        self._types: dict[str, TensorType] = {}
        self._order: list[str] | None = None

    # -- reading ---------------------------------------------------------------------------

    @property
    def params(self) -> Mapping[str, Array]:
        """Every array by name; read-only."""
        return MappingProxyType(self._params)

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All nodes in topological order, as `order`."""
        return tuple(self.node(name) for name in self.order())

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, name: object) -> bool:
        return name in self._records

    def node(self, name: str) -> Node:
        """The node called `name`. Raises `GraphError` if there is none."""
        return Node(name, **self._record(name), _graph=self)

    def _record(self, name: str) -> dict[str, Any]:
        """What the graph stores of a node: `op`, `loc` and `origins`."""
        if name not in self._records:
            raise GraphError(f"no node called {name!r}")
        return self._records[name]

    def inputs_of(self, name: str) -> tuple[str, ...]:
        """Names of the nodes whose results enter `name`, by port."""
        self._record(name)
        return tuple(self._sources[name])

    def users_of(self, name: str) -> tuple[tuple[str, int], ...]:
        """(node, port) of every use of `name`, sorted by name."""
        self._record(name)
        return tuple(sorted(self._users[name]))

    def order(self) -> tuple[str, ...]:
        """Topological order, ties in order of insertion. Raises `GraphError` naming a cycle."""
        if self._order is None:
            names = list(self._records)
            rank = {name: i for i, name in enumerate(names)}
            waiting = {name: len(sources) for name, sources in self._sources.items()}
            ready = [rank[name] for name in names if not waiting[name]]
            order: list[str] = []
            while ready:
                order.append(names[heapq.heappop(ready)])
                for user, _ in self._users[order[-1]]:
                    waiting[user] -= 1
                    if not waiting[user]:
                        heapq.heappush(ready, rank[user])
            if len(order) < len(names):
                cycle = " -> ".join(self._cycle(set(names) - set(order)))
                raise GraphError(f"the graph has a cycle: {cycle}")
            self._order = order
        return tuple(self._order)

    def _cycle(self, left: set[str]) -> list[str]:
        """A cycle among nodes that each have an input among them; its first node is also last."""
        path = [next(name for name in self._records if name in left)]
        while path.count(path[-1]) == 1:
            path.append(next(source for source in self._sources[path[-1]] if source in left))
        return path[path.index(path[-1]) :][::-1]

    def types(self) -> Mapping[str, TensorType]:
        """The type of every node's result. Raises `GraphError` for the first without one."""
        if len(self._types) < len(self._records):
            types: dict[str, TensorType] = {}
            for name in self.order():
                inputs = [types[source] for source in self._sources[name]]
                types[name] = self._types.get(name) or self._infer(self.node(name), inputs)
            self._types = types
        return MappingProxyType(self._types)

    def type_of(self, name: str) -> TensorType:
        """The type of `name`'s result."""
        self._record(name)
        return self.types()[name]

    def _infer(self, node: Node, inputs: Sequence[TensorType]) -> TensorType:
        where = f"{node.name} ({node.op.mnemonic}) at {node.loc}"
        missing = [ref.name for ref in node.op.refs().values() if ref.name not in self._params]
        if missing:
            raise GraphError(f"{where}: no array called {missing[0]!r}")
        arity = node.op.arity
        if len(inputs) != arity and (arity is not None or len(inputs) < 2):
            raise GraphError(f"{where}: has {len(inputs)} inputs, needs {arity or 'two or more'}")
        try:
            found = node.op.infer(inputs, self._params)
            require(found.size <= LARGEST_TENSOR, f"a result of {found.size} elements")
        except OpError as error:
            raise GraphError(f"{where}: {error}") from None
        return found

    def array(self, value: Ref | float) -> Array:
        """The array behind a parameter of an op; a number becomes a 0-d array."""
        return self._params[value.name] if isinstance(value, Ref) else np.asarray(value)

    @property
    def quantized(self) -> bool:
        """Whether it computes with integers: any parameter or the first output is integer."""
        integers = any(np.issubdtype(array.dtype, np.integer) for array in self._params.values())
        return integers or bool(self.outputs and self.type_of(self.outputs[0]).quantized)

    @property
    def input(self) -> str:
        """Name of the graph input. Raises `GraphError` unless there is exactly one."""
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
        """Add a node fed by `inputs`; returns its name. Raises `GraphError` if it is taken."""
        if name in self._records:
            raise GraphError(f"two nodes called {name!r}")
        for source in inputs:
            self._record(source)
        self._records[name] = {"op": op, "loc": loc or Loc(), "origins": tuple(origins)}
        self._sources[name], self._users[name] = list(inputs), set()
        for port, source in enumerate(inputs):
            self._users[source].add((name, port))
        self._order = None
        self.stats.pop(name, None)
        return name

    def insert_after(self, name: str, new: str, op: Op) -> str:
        """Insert a one-input node after `name`; all users of `name`, and outputs, then use it."""
        users = self.users_of(name)
        node = self.node(name)
        self.add(new, op, [name], loc=node.loc, origins=node.origins)
        self._redirect(users, name, new)
        return new

    def insert_before(self, name: str, port: int, new: str, op: Op) -> str:
        """Insert a one-input node on the edge that enters `name` at `port`."""
        node, source = self.node(name), self._source(name, port)
        self.add(new, op, [source], loc=node.loc, origins=node.origins)
        self.set_input(name, port, new)
        return new

    def bypass(self, name: str) -> None:
        """Remove a one-input node; its users then use its input. Raises `GraphError` for others."""
        sources = self.inputs_of(name)
        if len(sources) != 1:
            raise GraphError(f"{name} has {len(sources)} inputs; only a one-input node is bypassed")
        self._redirect(self.users_of(name), name, sources[0])
        self.remove(name)

    def _redirect(self, users: Iterable[tuple[str, int]], old: str, new: str) -> None:
        """Feed `users`, and the outputs that are `old`, from `new`."""
        for user, port in users:
            self.set_input(user, port, new)
        self.outputs = tuple(new if output == old else output for output in self.outputs)

    def remove(self, name: str) -> None:
        """Remove an unused node. Raises `GraphError` if it has users or is an output."""
        used = self.users_of(name)
        if used or name in self.outputs:
            by = "the graph's output" if not used else used[0][0]
            raise GraphError(f"{name} is still used by {by}")
        for port, source in enumerate(self._sources.pop(name)):
            self._users[source].remove((name, port))
        del self._records[name], self._users[name]
        self.stats.pop(name, None)
        self._touch()

    def set_input(self, name: str, port: int, source: str) -> None:
        """Connect `source` to `name` at `port`. Raises `GraphError` if there is no such port."""
        self._record(source)
        old = self._source(name, port)
        self._users[old].remove((name, port))
        self._users[source].add((name, port))
        self._sources[name][port] = source
        self._touch(name)

    def replace_op(self, name: str, op: Op, *, origins: Iterable[str] = ()) -> None:
        """Replace the op of a node; `origins` are added to those it has."""
        record = self._record(name)
        record.update(op=op, origins=tuple(dict.fromkeys((*record["origins"], *origins))))
        self._touch(name)

    def set_param(self, name: str, array: Array) -> Ref:
        """Store a numeric array (copied unless it is read-only); returns its `Ref`.

        Drops the `stats` of nodes that use the name. Raises `GraphError` for other dtypes.
        """
        if array.dtype.name not in DTYPES:
            raise GraphError(f"array {name!r} holds {array.dtype}, not plain numbers")
        array = array.astype(array.dtype.newbyteorder("="), copy=False)
        stored = np.ascontiguousarray(array).reshape(np.shape(array))
        if not _unwritable(stored):
            stored = stored.copy()
            stored.flags.writeable = False
        if name in self._params:
            self._drop_stats_of_users(name)
            self._types = {}
        self._params[name] = stored.view()  # a view, which cannot be made writeable
        self._digests.pop(name, None)
        return Ref(name)

    def own_param(self, name: str, field: str, array: Array) -> Ref:
        """Store an array for one field of one node, under a name that no other node uses."""
        taken = {ref.name for n in self.nodes if n.name != name for ref in n.op.refs().values()}
        return self.set_param(_first_free(f"{name}.{field}", taken), array)

    def prune_params(self) -> None:
        """Remove arrays that no op refers to."""
        used = {ref.name for node in self.nodes for ref in node.op.refs().values()}
        self._params = {name: array for name, array in self._params.items() if name in used}

    def fresh(self, stem: str) -> str:
        """A node name that is not taken: `stem`, or `stem_1`, `stem_2`, …"""
        return _first_free(stem, self)

    def clone(self) -> Graph:
        """An independent copy; arrays are shared, as they are read-only."""
        twin = Graph(self.stage)
        twin.outputs = self.outputs
        twin.stats = copy.deepcopy(self.stats)
        twin.meta = copy.deepcopy(self.meta)
        twin._records = {name: dict(record) for name, record in self._records.items()}
        twin._sources = {name: list(sources) for name, sources in self._sources.items()}
        twin._users = {name: set(users) for name, users in self._users.items()}
        twin._params = dict(self._params)
        twin._digests = dict(self._digests)
        return twin

    def fingerprint(self) -> str:
        """SHA-256 of the content: nodes, edges, arrays, outputs, stage, stats, meta."""
        digest = hashlib.sha256(f"{self.stage}{self.outputs}".encode())
        for node in self.nodes:
            digest.update(repr((node.name, node.op, self.inputs_of(node.name))).encode())
        for name in sorted(self._params):
            array = self._params[name]
            digest.update(f"{name}{array.dtype}{array.shape}".encode())
            digest.update(self._digest(name))
        facts = json.dumps([self.stats, self.meta], sort_keys=True, default=repr)
        digest.update(facts.encode())
        return digest.hexdigest()

    def _digest(self, name: str) -> bytes:
        """SHA-256 of an array's bytes, cached, as arrays of a graph are read-only."""
        if name not in self._digests:
            self._digests[name] = hashlib.sha256(self._params[name].data).digest()
        return self._digests[name]

    def _source(self, name: str, port: int) -> str:
        sources = self.inputs_of(name)
        if not 0 <= port < len(sources):
            raise GraphError(f"{name} has no input {port}; it has {len(sources)}")
        return sources[port]

    def _drop_stats_of_users(self, param: str) -> None:
        for name in list(self.stats):
            if name in self and Ref(param) in self._record(name)["op"].refs().values():
                self.stats.pop(name)

    def _touch(self, name: str | None = None) -> None:
        self._types = {}
        self._order = None
        if name is not None:
            self.stats.pop(name, None)
