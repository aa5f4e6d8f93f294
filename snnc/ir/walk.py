"""Graph traversal, and rewriting by local rules until a fixed point.

Traversals are iterative, so that long chains need no deep recursion, and return graph order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import TypeVar

from snnc.errors import GraphError
from snnc.ir.graph import Graph
from snnc.ir.node import Node
from snnc.ir.op import Op

Until = Callable[[Node], bool]
"""Whether the traversal stops at a node; the result includes that node."""
Rule = Callable[[Graph, Node], bool]
"""Edits the graph around one node, or not; returns whether it changed anything."""
N = TypeVar("N", int, float)
CHANGES_PER_NODE = 100
"""Limit of changes, times the number of nodes, after which rewriting fails as not terminating."""


def ancestors(graph: Graph, name: str, *, until: Until | None = None) -> tuple[str, ...]:
    """Nodes that `name` depends on, without itself, in graph order.

    Args:
        graph: any graph.
        name: a node of it. Raises `GraphError` if there is none.
        until: where to stop; None to continue to the inputs of the graph.
    """
    return _reached(graph, graph.inputs_of(name), lambda node: node.inputs, until)


def descendants(graph: Graph, name: str, *, until: Until | None = None) -> tuple[str, ...]:
    """Nodes that depend on `name`, without itself, in graph order; arguments as `ancestors`."""
    return _reached(graph, _users(graph.node(name)), _users, until)


def nearest_before(graph: Graph, name: str, *kinds: type[Op]) -> tuple[str, ...]:
    """Nodes of the given kinds of op that `name` depends on with no other of them between."""
    visited = ancestors(graph, name, until=lambda node: isinstance(node.op, kinds))
    return tuple(node for node in visited if isinstance(graph.node(node).op, kinds))


def nearest_behind(graph: Graph, name: str, *kinds: type[Op]) -> tuple[str, ...]:
    """Nodes of the given kinds of op that depend on `name` with no other of them between."""
    visited = descendants(graph, name, until=lambda node: isinstance(node.op, kinds))
    return tuple(node for node in visited if isinstance(graph.node(node).op, kinds))


def used_once(graph: Graph, name: str) -> bool:
    """Whether the result of `name` has exactly one use and is no output of the graph."""
    return len(graph.users_of(name)) == 1 and name not in graph.outputs


def single_user_chain(graph: Graph, name: str, *kinds: type[Op]) -> tuple[str, ...]:
    """`name` and the chain of nodes of the given kinds after it, each the only user of the last."""
    chain = [name]
    while used_once(graph, chain[-1]):
        ((user, _),) = graph.users_of(chain[-1])
        if not isinstance(graph.node(user).op, kinds):
            break
        chain.append(user)
    return tuple(chain)


def longest_path(
    graph: Graph, weight: Callable[[Node], N], *, backwards: bool = False
) -> dict[str, N]:
    """Per node, the largest sum of weights on a path from an input of the graph to it.

    The sum includes both ends. With `backwards`, on a path from it to a node without users. The
    longest path through a node is the sum of both minus its own weight.
    """
    nodes = graph.nodes
    longest: dict[str, N] = {}
    for node in reversed(nodes) if backwards else nodes:
        before = [longest[name] for name in (_users(node) if backwards else node.inputs)]
        longest[node.name] = weight(node) + max(before) if before else weight(node)
    return longest


def rewrite(graph: Graph, *rules: Rule, backwards: bool = False) -> int:
    """Apply rules to every node until none of them changes anything.

    Nodes are visited in graph order; after every change the traversal restarts at the first node.

    Args:
        graph: edited in place.
        rules: in order of preference; at each node, the first that changes something.
        backwards: visit users before inputs.

    Returns:
        The number of changes.

    Raises:
        GraphError: rewriting does not terminate; names the rule with the most changes.
    """
    changes: Counter[str] = Counter()
    most = CHANGES_PER_NODE * (len(graph) + 1)
    while change := _first_change(graph, rules, backwards):
        name, rule = change
        changes[_name_of(rule)] += 1
        if changes.total() > most:
            ((busiest, count),) = changes.most_common(1)
            raise GraphError(
                f"the rule {busiest} does not settle: {count} changes, the last at {name}"
            )
    return changes.total()


def _first_change(graph: Graph, rules: Iterable[Rule], backwards: bool) -> tuple[str, Rule] | None:
    """Make the first possible change; its node and rule, or None if there is none."""
    order = graph.order()
    for name in reversed(order) if backwards else order:
        node = graph.node(name)
        for rule in rules:
            if rule(graph, node):
                return name, rule
    return None


def _name_of(rule: Rule) -> str:
    return getattr(rule, "__name__", type(rule).__name__)


def _users(node: Node) -> tuple[str, ...]:
    return tuple(user for user, _ in node.users)


def _reached(
    graph: Graph,
    start: Iterable[str],
    onwards: Callable[[Node], Iterable[str]],
    until: Until | None,
) -> tuple[str, ...]:
    visited: set[str] = set()
    pending = list(start)
    while pending:
        name = pending.pop()
        if name in visited:
            continue
        visited.add(name)
        node = graph.node(name)
        if until is None or not until(node):
            pending += onwards(node)
    return tuple(name for name in graph.order() if name in visited)
