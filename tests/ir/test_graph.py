"""Editing a graph: what changes, what stays, and that a failed edit changes nothing."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnc.errors import GraphError, Loc
from snnc.ir import (
    Add,
    EncodeDirect,
    Graph,
    Input,
    Linear,
    Neuron,
    Node,
    Readout,
    Ref,
    Relu,
    Scale,
    Stage,
    TensorType,
)


def small() -> Graph:
    """x -> e -> a -> n -> d -> r, with d = n * 2 + n * 3."""
    graph = Graph(Stage.SNN)
    weight = graph.set_param("w", np.arange(6, dtype=np.float32).reshape(3, 2))
    graph.add("x", Input(shape=(2,)))
    graph.add("e", EncodeDirect(), ["x"])
    graph.add("a", Linear(weight=weight), ["e"], loc=Loc("net.py", 7, "fc"), origins=["fc"])
    graph.add("n", Neuron(), ["a"])
    graph.add("two", Scale(factor=2.0), ["n"])
    graph.add("three", Scale(factor=3.0), ["n"])
    graph.add("d", Add(), ["two", "three"])
    graph.add("r", Readout(), ["d"])
    graph.outputs = ("r",)
    graph.stats = {"n": {"rate": [0.5, 0.25]}, "d": {"max": 5.0}}
    graph.meta = {"timesteps": 8, "nested": {"bounds": [1, 2]}}
    return graph


def state(graph: Graph) -> tuple[Any, ...]:
    """Everything that can be seen of a graph."""
    return (
        graph.fingerprint(),
        [(node, graph.inputs_of(node.name), graph.users_of(node.name)) for node in graph],
        {name: id(array) for name, array in graph.params.items()},
    )


def test_reading() -> None:
    graph = small()
    assert [n.name for n in graph] == ["x", "e", "a", "n", "two", "three", "d", "r"]
    assert len(graph) == 8 and "n" in graph and "nobody" not in graph
    assert graph.input == "x"
    assert graph.inputs_of("d") == ("two", "three")
    assert graph.users_of("n") == (("three", 0), ("two", 0))
    assert str(graph.type_of("n")) == "spike<3>"
    assert graph.array(Ref("w")) is graph.params["w"]
    assert graph.array(2.5) == np.asarray(2.5)


def test_one_source_on_two_ports_is_two_edges() -> None:
    graph = Graph()
    graph.add("x", Input(shape=(2,)))
    graph.add("s", Add(), ["x", "x"])
    assert graph.inputs_of("s") == ("x", "x")
    assert graph.users_of("x") == (("s", 0), ("s", 1))
    graph.add("y", Relu(), ["x"])
    graph.set_input("s", 1, "y")
    assert graph.inputs_of("s") == ("x", "y")


FAILED_EDITS: dict[str, tuple[Callable[[Graph], object], str]] = {
    "add a name twice": (lambda g: g.add("a", Relu(), ["x"]), "two nodes called 'a'"),
    "add on nothing": (lambda g: g.add("z", Add(), ["x", "nobody"]), "no node called 'nobody'"),
    "insert after, name taken": (lambda g: g.insert_after("n", "a", Relu()), "two nodes"),
    "insert after nothing": (lambda g: g.insert_after("nobody", "z", Relu()), "no node called"),
    "insert before, name taken": (lambda g: g.insert_before("d", 1, "a", Relu()), "two nodes"),
    "insert before no port": (lambda g: g.insert_before("d", 2, "z", Relu()), "no input 2"),
    "bypass two inputs": (lambda g: g.bypass("d"), "d has 2 inputs"),
    "bypass no input": (lambda g: g.bypass("x"), "x has 0 inputs"),
    "remove a used node": (lambda g: g.remove("n"), "n is still used by three"),
    "remove the output": (lambda g: g.remove("r"), "r is still used by the graph's output"),
    "remove nothing": (lambda g: g.remove("nobody"), "no node called 'nobody'"),
    "set no port": (lambda g: g.set_input("d", -1, "n"), "d has no input -1; it has 2"),
    "set from nothing": (lambda g: g.set_input("d", 0, "nobody"), "no node called"),
    "replace nothing": (lambda g: g.replace_op("nobody", Relu()), "no node called"),
    "store text": (lambda g: g.set_param("w", np.array(["a"])), "holds <U1, not plain numbers"),
    "store objects": (lambda g: g.set_param("w", np.array([None])), "not plain numbers"),
}


@pytest.mark.parametrize("name", FAILED_EDITS)
def test_a_failed_edit_leaves_the_graph_as_it_was(name: str) -> None:
    edit, reason = FAILED_EDITS[name]
    graph = small()
    graph.types()
    before = state(graph)
    with pytest.raises(GraphError) as caught:
        edit(graph)
    assert reason in caught.value.message
    assert state(graph) == before


EDITS: dict[str, Callable[[Graph], object]] = {
    "add": lambda g: g.add("z", Scale(factor=1.0), ["n"]),
    "insert after": lambda g: g.insert_after("n", "z", Scale(factor=1.0)),
    "insert before": lambda g: g.insert_before("d", 1, "z", Scale(factor=1.0)),
    "bypass": lambda g: g.bypass("e"),
    "set input": lambda g: g.set_input("d", 1, "two"),
    "replace op": lambda g: g.replace_op("n", replace(g.node("n").op, wait=1)),
    "set param": lambda g: g.set_param("w", np.zeros((3, 2), np.float32)),
    "outputs": lambda g: setattr(g, "outputs", ("d",)),
    "stats": lambda g: g.stats["n"]["rate"].append(1.0),
    "meta": lambda g: g.meta["nested"]["bounds"].append(3),
    "stage": lambda g: setattr(g, "stage", Stage.ANN),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_of_a_clone_is_not_one_of_the_original(name: str) -> None:
    graph = small()
    before = state(graph)
    clone = graph.clone()
    assert state(clone) == before
    EDITS[name](clone)
    assert clone.fingerprint() != before[0]
    assert state(graph) == before


def test_insert_after_moves_users_and_output() -> None:
    graph = small()
    graph.insert_after("n", "z", Scale(factor=1.0))
    assert graph.inputs_of("two") == graph.inputs_of("three") == ("z",)
    assert graph.inputs_of("z") == ("n",)
    graph.insert_after("r", "end", Scale(factor=1.0))
    assert graph.outputs == ("end",)


def test_inserted_nodes_speak_of_the_users_line() -> None:
    graph = small()
    graph.insert_after("a", "z", Scale(factor=1.0))
    graph.insert_before("a", 0, "y", Scale(factor=1.0))
    for name in "zy":
        assert str(graph.node(name).loc) == "net.py:7 (fc)"
        assert graph.node(name).origins == ("fc",)


def test_bypass_joins_input_and_users() -> None:
    graph = small()
    graph.bypass("two")
    assert graph.inputs_of("d") == ("n", "three")
    assert "two" not in graph
    graph.bypass("r")
    assert graph.outputs == ("d",)


def test_replace_op_merges_origins() -> None:
    graph = small()
    graph.replace_op("a", graph.node("a").op, origins=["bn", "fc"])
    assert graph.node("a").origins == ("fc", "bn")


def test_types_follow_every_edit() -> None:
    graph = small()
    assert graph.type_of("d").shape == (3,)
    graph.set_param("w", np.zeros((4, 2), np.float32))
    assert graph.type_of("d").shape == (4,)
    graph.replace_op("a", Scale(factor=1.0))
    assert graph.type_of("d").shape == (2,)


def test_a_new_node_leaves_the_types_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking for a type after each addition infers every node once."""
    inferred: list[str] = []
    infer = Graph._infer

    def counted(graph: Graph, node: Node, inputs: Sequence[TensorType]) -> TensorType:
        inferred.append(node.name)
        return infer(graph, node, inputs)

    monkeypatch.setattr(Graph, "_infer", counted)
    graph = small()
    assert [graph.type_of(name).shape for name in "xr"] == [(2,), (3,)]
    graph.set_param("other", np.ones(3, np.float32))
    graph.add("more", Scale(factor=Ref("other")), ["n"])
    graph.add("sum", Add(), ["more", "d"])
    assert graph.type_of("sum").shape == (3,)
    assert sorted(inferred) == sorted(node.name for node in graph)
    assert list(graph.types()) == list(graph.order())


def test_stats_of_a_changed_node_are_dropped() -> None:
    graph = small()
    graph.replace_op("n", Neuron(wait=1))
    assert graph.stats == {"d": {"max": 5.0}}
    graph.set_input("d", 0, "n")
    assert graph.stats == {}


def test_stats_of_nodes_that_use_a_changed_array_are_dropped() -> None:
    graph = small()
    graph.stats["a"] = {"mean": 1.0}
    graph.set_param("new", np.zeros(1))
    assert "a" in graph.stats
    graph.set_param("w", np.zeros((3, 2), np.float32))
    assert "a" not in graph.stats and "n" in graph.stats


def test_arrays_are_read_only_copies() -> None:
    graph = Graph()
    array = np.arange(4.0)
    view = array[:]
    view.flags.writeable = False
    graph.set_param("a", array)
    graph.set_param("b", view)
    array[0] = 9
    assert graph.params["a"][0] == graph.params["b"][0] == 0
    with pytest.raises(ValueError, match="read-only"):
        graph.params["a"][0] = 1  # pyright: ignore[reportIndexIssue]
    with pytest.raises(TypeError):
        graph.params["c"] = array  # pyright: ignore[reportIndexIssue]


def test_arrays_are_shared_by_clones_and_kept_as_they_are() -> None:
    graph = Graph()
    graph.set_param("scalar", np.asarray(2, np.int32))
    graph.set_param("strided", np.arange(6).reshape(2, 3).T)
    graph.set_param("big", np.arange(3, dtype=">f4"))
    assert graph.params["scalar"].shape == ()
    assert graph.params["strided"].flags.c_contiguous
    assert graph.params["big"].dtype == np.float32 and graph.params["big"].dtype.isnative
    assert np.array_equal(graph.params["big"], [0, 1, 2])
    assert graph.clone().params["strided"] is graph.params["strided"]
    other = Graph()
    other.set_param("s", graph.params["strided"])
    assert np.shares_memory(other.params["s"], graph.params["strided"])


def test_prune_forgets_unused_arrays_only() -> None:
    graph = small()
    graph.set_param("unused", np.zeros(3))
    graph.prune_params()
    assert list(graph.params) == ["w"]


def test_fresh_names() -> None:
    graph = small()
    assert graph.fresh("new") == "new"
    assert graph.fresh("n") == "n_1"
    graph.add("n_1", Scale(factor=1.0), ["n"])
    assert graph.fresh("n") == "n_2"


def test_a_cycle_is_named() -> None:
    graph = small()
    graph.set_input("two", 0, "d")
    with pytest.raises(GraphError, match="cycle: (d -> two -> d|two -> d -> two)$"):
        graph.order()


@pytest.mark.parametrize("count", [0, 2])
def test_input_of_a_graph_with_another_number_of_inputs(count: int) -> None:
    graph = Graph()
    for i in range(count):
        graph.add(f"x{i}", Input(shape=(1,)))
    with pytest.raises(GraphError, match=f"found {count}"):
        _ = graph.input


def test_a_type_error_names_node_op_line_and_reason() -> None:
    graph = small()
    graph.set_param("w", np.zeros((3, 5), np.float32))
    with pytest.raises(GraphError) as caught:
        graph.types()
    message = "a (linear) at net.py:7 (fc): weights for 5 features on a sample of shape (2,)"
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda g: g.replace_op("a", Linear(weight=Ref("gone"))), "no array called 'gone'"),
        (lambda g: g.replace_op("d", Scale(factor=1.0)), "has 2 inputs, needs 1"),
        (lambda g: g.replace_op("n", Add()), "has 1 inputs, needs two or more"),
    ],
)
def test_types_of_a_broken_graph(edit: Callable[[Graph], object], reason: str) -> None:
    graph = small()
    edit(graph)
    with pytest.raises(GraphError, match=reason):
        graph.types()


@given(
    edges=st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), min_size=7, max_size=7),
    seed=st.randoms(use_true_random=False),
)
def test_order_is_topological_and_that_of_insertion_where_free(
    edges: list[tuple[int, int]], seed: Any
) -> None:
    graph = Graph()
    graph.add("n0", Input(shape=(1,)))
    for i, (a, b) in enumerate(edges, start=1):
        graph.add(f"n{i}", Add(), [f"n{a % i}", f"n{b % i}"])
    assert graph.order() == tuple(f"n{i}" for i in range(8))
    late = seed.randrange(1, 8)
    graph.insert_before(f"n{late}", 0, "late", Relu())
    order = graph.order()
    for node in graph:
        assert all(order.index(s) < order.index(node.name) for s in graph.inputs_of(node.name))
    assert order == graph.clone().order()


def test_nobody_can_write_to_an_array_of_a_graph() -> None:
    graph = Graph()
    graph.set_param("w", np.zeros(3))
    with pytest.raises(ValueError, match="WRITEABLE"):
        graph.params["w"].setflags(write=True)


def test_a_fingerprint_follows_arrays_also_in_clones() -> None:
    graph = Graph()
    graph.set_param("w", np.zeros((2, 3)))
    first = graph.fingerprint()
    twin = graph.clone()
    assert twin.fingerprint() == first
    twin.set_param("w", np.ones((2, 3)))
    assert twin.fingerprint() != first == graph.fingerprint()
    twin.set_param("w", np.zeros((2, 3)))
    assert twin.fingerprint() == first
    for other in (np.zeros((3, 2)), np.zeros((2, 3), np.float32), np.zeros(())):
        twin.set_param("w", other)
        assert twin.fingerprint() != first


def test_a_node_knows_its_inputs_users_and_type() -> None:
    graph = Graph()
    graph.add("x", Input(shape=(2,)))
    graph.add("a", Relu(), ["x"])
    graph.add("sum", Add(), ["a", "x"])
    node = graph.node("a")
    assert (node.inputs, node.users) == (("x",), (("sum", 0),))
    assert node.type == graph.type_of("a")
    graph.set_input("sum", 1, "a")
    assert node.users == (("sum", 0), ("sum", 1))
    assert node == graph.clone().node("a") and "Graph" not in repr(node)
    graph.bypass("a")
    with pytest.raises(GraphError, match="no node called 'a'"):
        assert node.inputs
    with pytest.raises(GraphError, match="no node called 'a'"):
        assert node.type


def test_graphs_and_their_nodes_are_no_cycle() -> None:
    graph = Graph()
    graph.add("x", Input(shape=(2,)))
    nodes = graph.nodes
    assert nodes[0].name == "x"
    alive = weakref.ref(graph)
    gc.disable()
    try:
        del graph, nodes
        assert alive() is None
    finally:
        gc.enable()
