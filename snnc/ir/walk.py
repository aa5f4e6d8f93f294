"""Walking along the edges of a graph, and rewriting it by local rules until nothing changes.

All walks are loops, so that long chains need no deep recursion, and answer in graph order.
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
"""Says of a node that is met whether the walk ends there; the node itself belongs to the answer."""
Rule = Callable[[Graph, Node], bool]
"""Edits a graph around one node, or leaves it; returns whether it changed anything."""
N = TypeVar("N", int, float)
CHANGES_PER_NODE = 100
"""So many changes for each node of the graph, on average, and the rules are said not to settle."""


def ancestors(graph: Graph, name: str, *, until: Until | None = None) -> tuple[str, ...]:
    """Nodes that `name` depends on, without itself, in graph order.

    Args:
        graph: any graph.
        name: a node of it. Raises `GraphError` if there is none.
        until: where to stop; None to walk to the inputs of the graph.
    """
    return _reached(graph, graph.inputs_of(name), lambda node: node.inputs, until)


def descendants(graph: Graph, name: str, *, until: Until | None = None) -> tuple[str, ...]:
    """Nodes that depend on `name`, without itself, in graph order; arguments as `ancestors`."""
    return _reached(graph, _users(graph.node(name)), _users, until)


def nearest_before(graph: Graph, name: str, *kinds: type[Op]) -> tuple[str, ...]:
    """Nodes of some kinds of op that `name` depends on with no other of them between."""
    met = ancestors(graph, name, until=lambda node: isinstance(node.op, kinds))
    return tuple(each for each in met if isinstance(graph.node(each).op, kinds))


def nearest_behind(graph: Graph, name: str, *kinds: type[Op]) -> tuple[str, ...]:
    """Nodes of some kinds of op that depend on `name` with no other of them between."""
    met = descendants(graph, name, until=lambda node: isinstance(node.op, kinds))
    return tuple(each for each in met if isinstance(graph.node(each).op, kinds))


def used_once(graph: Graph, name: str) -> bool:
    """Whether exactly one port takes the result of `name`, and it does not leave the graph."""
    return len(graph.users_of(name)) == 1 and name not in graph.outputs


def single_user_chain(graph: Graph, name: str, *kinds: type[Op]) -> tuple[str, ...]:
    """`name` and what follows it one by one: each the only use of the one before, of some kinds."""
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

    The weights of both ends count. With `backwards`, on a path from the node to where no user is
    left. The longest path through a node is the sum of both less its own weight.
    """
    nodes = graph.nodes
    found: dict[str, N] = {}
    for node in reversed(nodes) if backwards else nodes:
        before = [found[each] for each in (_users(node) if backwards else node.inputs)]
        found[node.name] = weight(node) + max(before) if before else weight(node)
    return found


def rewrite(graph: Graph, *rules: Rule, backwards: bool = False) -> int:
    """Apply rules to every node until none of them changes anything.

    Nodes are visited in graph order, and after a change again from the first one on: a rule sees
    what the change has made of the nodes before.

    Args:
        graph: edited in place.
        rules: in order of preference; at each node, the first that changes something.
        backwards: visit users before inputs.

    Returns:
        The number of changes.

    Raises:
        GraphError: naming the rule that goes on changing the graph.
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
    """Where the first change was made and by which rule, once it is made; None for no change."""
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
    met: set[str] = set()
    waiting = list(start)
    while waiting:
        name = waiting.pop()
        if name in met:
            continue
        met.add(name)
        node = graph.node(name)
        if until is None or not until(node):
            waiting += onwards(node)
    return tuple(name for name in graph.order() if name in met)
