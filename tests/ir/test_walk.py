"""Walks along edges, on branches and on chains deeper than the recursion limit; rewriting."""

from __future__ import annotations

from dataclasses import replace

import pytest

from snnc.errors import GraphError
from snnc.ir import Add, Graph, Input, Node, Relu, Reshape, Scale
from snnc.ir.walk import (
    ancestors,
    descendants,
    longest_path,
    nearest_before,
    nearest_behind,
    rewrite,
    single_user_chain,
    used_once,
)

LONG = 5000


def diamond() -> Graph:
    """x -> a -> b -> sum -> out, and a -> c -> d -> sum."""
    graph = Graph()
    graph.add("x", Input(shape=(2,)))
    graph.add("a", Relu(), ["x"])
    graph.add("b", Reshape(shape=(2,)), ["a"])
    graph.add("c", Scale(factor=2.0), ["a"])
    graph.add("d", Scale(factor=3.0), ["c"])
    graph.add("sum", Add(), ["b", "d"])
    graph.add("out", Relu(), ["sum"])
    graph.outputs = ("out",)
    return graph


def chain(length: int) -> Graph:
    graph = Graph()
    last = graph.add("x", Input(shape=(2,)))
    for i in range(length):
        last = graph.add(f"n{i}", Relu(), [last])
    graph.outputs = (last,)
    return graph


def test_walks_answer_in_graph_order_without_the_start() -> None:
    graph = diamond()
    assert ancestors(graph, "sum") == ("x", "a", "b", "c", "d")
    assert descendants(graph, "a") == ("b", "c", "d", "sum", "out")
    assert ancestors(graph, "x") == descendants(graph, "out") == ()
    with pytest.raises(GraphError, match="no node called 'no'"):
        ancestors(graph, "no")


def test_a_walk_ends_at_the_nodes_it_is_told_to() -> None:
    graph = diamond()
    assert ancestors(graph, "sum", until=lambda n: n.name in ("c", "b")) == ("b", "c", "d")
    assert descendants(graph, "x", until=lambda n: isinstance(n.op, Scale)) == (
        *("a", "b", "c", "sum", "out"),
    )


def test_the_nearest_of_a_kind_have_none_between() -> None:
    graph = diamond()
    assert nearest_before(graph, "out", Scale) == ("d",)
    assert nearest_before(graph, "out", Relu, Scale) == ("a", "d")
    assert nearest_behind(graph, "a", Scale) == ("c",)
    assert nearest_behind(graph, "sum", Scale) == ()


def test_a_chain_ends_where_a_result_is_used_twice_or_leaves_the_graph() -> None:
    graph = diamond()
    assert single_user_chain(graph, "x", Relu, Scale) == ("x", "a")
    assert single_user_chain(graph, "c", Scale) == ("c", "d")
    assert single_user_chain(graph, "c", Scale, Add, Relu) == ("c", "d", "sum", "out")
    graph.outputs = ("out", "sum")
    assert single_user_chain(graph, "c", Scale, Add, Relu) == ("c", "d", "sum")
    assert used_once(graph, "d") and not used_once(graph, "a") and not used_once(graph, "sum")


def test_the_longest_path_counts_both_ends() -> None:
    graph, weights = diamond(), {"a": 1, "b": 5, "c": 2, "d": 2, "out": 10}

    def weight(node: Node) -> int:
        return weights.get(node.name, 0)

    before = longest_path(graph, weight)
    assert before == {"x": 0, "a": 1, "b": 6, "c": 3, "d": 5, "sum": 6, "out": 16}
    behind = longest_path(graph, weight, backwards=True)
    assert behind == {"x": 16, "a": 16, "b": 15, "c": 14, "d": 12, "sum": 10, "out": 10}
    assert longest_path(graph, lambda n: -weights.get(n.name, 0))["sum"] == -5


def test_long_chains_need_no_recursion() -> None:
    graph = chain(LONG)
    last = f"n{LONG - 1}"
    assert len(ancestors(graph, last)) == LONG
    assert len(descendants(graph, "x")) == LONG
    assert nearest_before(graph, last, Input) == ("x",)
    assert len(single_user_chain(graph, "x", Relu)) == LONG + 1
    assert longest_path(graph, lambda _: 1)[last] == LONG + 1


def merge(graph: Graph, node: Node) -> bool:
    """Two scales in a row become one."""
    if not isinstance(node.op, Scale):
        return False
    source = graph.node(node.inputs[0])
    if not isinstance(source.op, Scale) or len(source.users) > 1:
        return False
    assert isinstance(node.op.factor, float) and isinstance(source.op.factor, float)
    graph.replace_op(node.name, replace(node.op, factor=node.op.factor * source.op.factor))
    graph.bypass(source.name)
    return True


def drop_reshapes(graph: Graph, node: Node) -> bool:
    if isinstance(node.op, Reshape):
        graph.bypass(node.name)
        return True
    return False


def test_rules_are_applied_until_nothing_changes() -> None:
    graph = diamond()
    assert rewrite(graph, merge, drop_reshapes) == 2
    assert graph.order() == ("x", "a", "d", "sum", "out")
    assert graph.node("d").op == Scale(factor=6.0)
    assert rewrite(graph, merge, drop_reshapes) == 0


def test_after_a_change_the_visit_starts_anew_from_either_end() -> None:
    visited: list[str] = []

    def grow(graph: Graph, node: Node) -> bool:
        visited.append(node.name)
        if node.name != "b" or "e" in graph:
            return False
        graph.insert_after("b", "e", Relu())
        return True

    graph = diamond()
    assert rewrite(graph, grow) == 1
    assert visited == ["x", "a", "b", *graph.order()] and "e" in graph
    visited.clear()
    assert rewrite(graph, grow, backwards=True) == 0
    assert visited == [*reversed(graph.order())]


def test_a_rule_that_never_settles_is_named() -> None:
    def flip(graph: Graph, node: Node) -> bool:
        if not isinstance(node.op, Scale):
            return False
        assert isinstance(node.op.factor, float)
        graph.replace_op(node.name, Scale(factor=-node.op.factor))
        return True

    with pytest.raises(GraphError, match=r"the rule flip does not settle: \d+ changes.* at c"):
        rewrite(diamond(), drop_reshapes, flip)


def test_a_rule_that_lets_the_graph_grow_is_named() -> None:
    class Grow:
        def __call__(self, graph: Graph, node: Node) -> bool:
            graph.insert_after(node.name, graph.fresh(f"{node.name}_"), Relu())
            return True

    with pytest.raises(GraphError, match="the rule Grow does not settle"):
        rewrite(chain(3), Grow())
