"""Every rule of every stage, broken."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from snnc.errors import GraphError, Loc
from snnc.ir import (
    Add,
    EncodeDirect,
    Graph,
    Input,
    Linear,
    MaxPool,
    Neuron,
    Readout,
    Ref,
    Relu,
    Scale,
    Stage,
    problems,
    verify,
)
from snnc.ir.verify import RULES, STRUCTURE
from snnc.testing.graphs import ann_cases, quantized_cases, snn_cases


def ann() -> Graph:
    graph = Graph(Stage.ANN)
    weight = graph.set_param("w", np.ones((3, 2), np.float32))
    graph.add("x", Input(shape=(2,)))
    graph.add("fc", Linear(weight=weight), ["x"], loc=Loc("net.py", 3, "fc"))
    graph.add("act", Relu(), ["fc"])
    graph.outputs = ("act",)
    return graph


def snn() -> Graph:
    graph = Graph(Stage.SNN)
    weight = graph.set_param("w", np.ones((3, 2), np.float32))
    graph.add("x", Input(shape=(2,)))
    graph.add("e", EncodeDirect(), ["x"])
    graph.add("fc", Linear(weight=weight), ["e"], loc=Loc("net.py", 3, "fc"))
    graph.add("n", Neuron(), ["fc"])
    graph.add("r", Readout(), ["n"])
    graph.outputs = ("r",)
    return graph


def test_the_graphs_broken_below_are_sound() -> None:
    assert problems(ann()) == problems(snn()) == []
    verify(ann())


@pytest.mark.parametrize("cases", [ann_cases, snn_cases, quantized_cases])
def test_the_graphs_of_the_testing_kit_are_sound(cases: Callable[[], tuple[object, ...]]) -> None:
    for case in cases():
        assert problems(case.graph) == [], case.name  # type: ignore[attr-defined]


def outputs(graph: Graph, *names: str) -> None:
    graph.outputs = names


def two_inputs(graph: Graph) -> None:
    graph.add("y", Input(shape=(3,)))
    graph.add("sum", Add(), ["act", "y"])
    graph.outputs = ("sum",)


def cycle(graph: Graph) -> None:
    graph.add("loop", Add(), ["act", "act"])
    graph.set_input("act", 0, "loop")
    graph.outputs = ("loop",)


BROKEN_ANN: dict[str, tuple[Callable[[Graph], object], str]] = {
    "no outputs": (lambda g: outputs(g), "the graph has no outputs"),
    "output missing": (lambda g: outputs(g, "gone"), "output 'gone' is not a node"),
    "two inputs": (two_inputs, "the graph has 2 inputs instead of one: ['x', 'y']"),
    "cycle": (cycle, "the graph has a cycle: "),
    "stage": (
        lambda g: g.replace_op("act", Neuron()),
        "act (neuron) at unknown location: neuron is not legal at stage ann",
    ),
    "arity": (
        lambda g: g.replace_op("act", Add()),
        "act (add) at unknown location: add needs two or more inputs, has 1",
    ),
    "arity fixed": (
        lambda g: (g.add("s", Add(), ["act", "fc"]), g.replace_op("s", Relu()), outputs(g, "s")),
        "s (relu) at unknown location: relu needs 1 inputs, has 2",
    ),
    "array missing": (
        lambda g: g.replace_op("fc", Linear(weight=Ref("gone"))),
        "fc (linear) at net.py:3 (fc): weight refers to @gone, which the graph does not hold",
    ),
    "NaN": (
        lambda g: g.set_param("w", np.full((3, 2), np.nan)),
        "fc (linear) at net.py:3 (fc): weight @w holds NaN or infinity",
    ),
    "infinite number": (
        lambda g: g.replace_op("act", Scale(factor=float("inf"))),
        "act (scale) at unknown location: factor is inf",
    ),
    "unused": (
        lambda g: g.add("dead", Relu(), ["fc"]),
        "dead (relu) at unknown location: its result is never used",
    ),
    "type": (
        lambda g: g.set_param("w", np.ones((3, 4))),
        "fc (linear) at net.py:3 (fc): weights for 4 features on a sample of shape (2,)",
    ),
}

ENCODED = "an input must be followed by exactly one encode"
BROKEN_SNN: dict[str, tuple[Callable[[Graph], object], str]] = {
    "stage": (lambda g: g.insert_after("fc", "z", Relu()), "relu is not legal at stage snn"),
    "not encoded": (
        lambda g: g.bypass("e"),
        "fc (linear) at net.py:3 (fc): takes the analog x; put an encode between",
    ),
    "encoded twice": (
        lambda g: (
            g.add("e2", EncodeDirect(), ["x"]),
            g.add("sum", Add(), ["e", "e2"]),
            g.set_input("fc", 0, "sum"),
        ),
        f"x (input) at unknown location: {ENCODED}",
    ),
    "analog pool used twice": (
        lambda g: (
            g.insert_before("e", 0, "pool", MaxPool(windows=())),
            g.add("e2", EncodeDirect(), ["pool"]),
            g.add("sum", Add(), ["e", "e2"]),
            g.set_input("fc", 0, "sum"),
        ),
        f"pool (maxpool) at unknown location: {ENCODED}",
    ),
    "analog output": (lambda g: outputs(g, "r", "x"), ENCODED),
    "no readout": (
        lambda g: g.bypass("r"),
        "n (neuron) at unknown location: an output of an snn graph must be a readout",
    ),
    "readout used": (
        lambda g: g.insert_after("n", "early", Readout()),
        "early (readout) at unknown location: a readout is the end of the network; "
        "nothing may use it",
    ),
    "type": (lambda g: g.replace_op("n", Neuron(threshold=-1)), "threshold that is not positive"),
}


@pytest.mark.parametrize("name", BROKEN_ANN)
def test_broken_ann(name: str) -> None:
    graph = ann()
    broke, reason = BROKEN_ANN[name]
    broke(graph)
    assert reason in problems(graph)[0]


@pytest.mark.parametrize("name", BROKEN_SNN)
def test_broken_snn(name: str) -> None:
    """Rules S7 and S15 of docs/semantics.md."""
    graph = snn()
    broke, reason = BROKEN_SNN[name]
    broke(graph)
    assert any(reason in problem for problem in problems(graph)), problems(graph)


@pytest.mark.parametrize("rule", [*STRUCTURE, *RULES[Stage.ANN], *RULES[Stage.SNN]])
def test_every_rule_is_broken_by_a_graph_here(rule: Callable[..., object]) -> None:
    broken: list[tuple[Graph, Callable[[Graph], object]]] = [
        *((ann(), broke) for broke, _ in BROKEN_ANN.values()),
        *((snn(), broke) for broke, _ in BROKEN_SNN.values()),
    ]
    found = []
    for graph, broke in broken:
        broke(graph)
        try:
            found += [p for node in graph.nodes for p in rule(graph, node)]  # type: ignore[attr-defined]
        except (GraphError, KeyError):
            continue  # a rule that stands on others which this graph breaks
    assert found


def test_all_problems_are_reported_at_once() -> None:
    graph = ann()
    graph.set_param("w", np.full((3, 2), np.inf))
    graph.add("dead", Relu(), ["fc"])
    with pytest.raises(GraphError) as caught:
        verify(graph)
    assert caught.value.message.count("\n  ") == 2
