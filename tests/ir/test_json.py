"""Graphs to JSON and back: exact, and strict about everything that is not such a graph."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnc.encoding import CODES
from snnc.errors import ArtifactError, Loc
from snnc.ir import (
    EncodeDirect,
    EncodeLatency,
    EncodePoisson,
    Graph,
    Input,
    Linear,
    Neuron,
    Readout,
    Relu,
    Stage,
    problems,
)
from snnc.ir.json import from_json, to_json
from snnc.testing.graphs import ann_cases, quantized_cases, snn_cases

CASES = {
    f"{stage}-{case.name}": case.graph
    for stage, cases in (("ann", ann_cases()), ("snn", snn_cases()), ("int", quantized_cases()))
    for case in cases
}
FLOATS = st.floats(allow_nan=False, allow_infinity=False)


def small() -> Graph:
    graph = Graph(Stage.SNN)
    weight = graph.set_param("w", np.ones((3, 2), np.float32))
    graph.add("x", Input(shape=(2,)))
    graph.add("e", EncodeDirect(scale=0.1), ["x"])
    graph.add("fc", Linear(weight=weight), ["e"], loc=Loc("net.py", 3, "fc"), origins=["fc", "bn"])
    graph.add("n", Neuron(threshold=2), ["fc"])
    graph.add("r", Readout(), ["n"])
    graph.outputs = ("r",)
    graph.stats = {"n": {"rate": [0.1, 0.2]}}
    graph.meta = {"timesteps": 8, "bound": {"u": 2**40}}
    return graph


def through_text(graph: Graph) -> Graph:
    text = json.dumps(to_json(graph), sort_keys=True, allow_nan=False)
    return from_json(json.loads(text), graph.params)


@pytest.mark.parametrize("name", CASES)
def test_round_trip_is_exact(name: str) -> None:
    graph = CASES[name]
    back = through_text(graph)
    assert back.fingerprint() == graph.fingerprint()
    assert back.nodes == graph.nodes
    assert to_json(back) == to_json(graph)


def test_round_trip_keeps_lines_origins_stats_and_meta() -> None:
    graph = small()
    back = through_text(graph)
    assert back.node("fc").loc == Loc("net.py", 3, "fc")
    assert back.node("fc").origins == ("fc", "bn")
    assert back.stats == graph.stats and back.meta == graph.meta
    assert back.fingerprint() == graph.fingerprint()


@given(threshold=FLOATS, leak=st.one_of(FLOATS, st.integers(-(2**62), 2**62)), name=st.text())
def test_round_trip_changes_no_number_and_no_name(threshold: float, leak: float, name: str) -> None:
    graph = Graph(Stage.SNN)
    graph.add(name, Neuron(threshold=np.float64(threshold), leak=leak))
    graph.meta[name] = threshold
    back = through_text(graph)
    assert back.fingerprint() == graph.fingerprint()
    (node,) = back.nodes
    assert isinstance(node.op, Neuron)
    assert repr(node.op.threshold) == repr(threshold) and repr(node.op.leak) == repr(leak)


def test_an_edited_graph_keeps_its_order() -> None:
    graph = small()
    graph.insert_before("fc", 0, "late", Relu())
    back = through_text(graph)
    assert back.order() == graph.order()
    assert back.fingerprint() == graph.fingerprint()


def put(*path: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    def edit(data: dict[str, Any]) -> None:
        place: Any = data
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return edit


def drop(*path: Any) -> Callable[[dict[str, Any]], None]:
    def edit(data: dict[str, Any]) -> None:
        place: Any = data
        for key in path[:-1]:
            place = place[key]
        del place[path[-1]]

    return edit


N = ("nodes", 3, "fields")
WRONG: list[tuple[Callable[[dict[str, Any]], None], str]] = [
    (put("version", value=3), "the graph has format 3, this snnc reads up to 2"),
    (put("version", value="1"), "graph version should be a int, is a str"),
    (drop("version"), "graph version should be a int, is a NoneType"),
    (put("stage", value="rnn"), "unknown stage 'rnn'"),
    (put("stage", value=["snn"]), "unknown stage ['snn']"),
    (drop("nodes"), "graph has no 'nodes'"),
    (put("nodes", value={}), "'nodes' of graph should be a list, is a dict"),
    (put("nodes", 3, value=7), "node 3 should be a dict, is a int"),
    (drop("nodes", 3, "name"), "node 3 has no 'name'"),
    (put("nodes", 3, "name", value="fc"), "two nodes called 'fc'"),
    (put("nodes", 3, "op", value="lif"), "n: unknown operation 'lif'"),
    (put("nodes", 3, "op", value=None), "'op' of n should be a str, is a NoneType"),
    (put("nodes", 3, "inputs", value=["r"]), "no node called 'r'"),
    (put("nodes", 3, "inputs", value="fc"), "'inputs' of n should be a list, is a str"),
    (put("nodes", 3, "inputs", value=[1]), "an entry of 'inputs' of n should be a str, is a int"),
    (put("nodes", 3, "origins", value=None), "'origins' of n should be a list"),
    (put("nodes", 3, "loc", value=[]), "'loc' of n should be a dict"),
    (put("nodes", 3, "loc", "line", value="3"), "loc of n: line should be a int, is a str"),
    (put("nodes", 3, "loc", "column", value=3), "loc of n: unknown field 'column'"),
    (put(*N, "gain", value=1), "n (neuron): unknown field 'gain'"),
    (drop("nodes", 0, "fields", "shape"), "x (input): no field 'shape'"),
    (put("nodes", 0, "fields", "shape", value=2), "x (input): shape should be a list, is a int"),
    (put("nodes", 0, "fields", "shape", value=[2.0]), "shape should be a int, is a float"),
    (put("nodes", 0, "fields", "shape", value=[2**63]), "shape is beyond 64 bits"),
    (put("nodes", 2, "fields", "weight", value=1.0), "weight should be a dict, is a float"),
    (put("nodes", 2, "fields", "weight", value={}), "fc (linear): weight has no 'ref'"),
    (put("nodes", 2, "fields", "bias", value="b"), "bias should be a dict, is a str"),
    (put(*N, "threshold", value="1"), "n (neuron): threshold should be a float, is a str"),
    (put(*N, "threshold", value=True), "threshold should be a float, is a bool"),
    (put(*N, "threshold", value=None), "threshold should be a float, is a NoneType"),
    (put(*N, "threshold", value={"ref": 3}), "'ref' of n (neuron): threshold should be a str"),
    (put(*N, "wait", value=1.0), "wait should be a int, is a float"),
    (put(*N, "signed", value=0), "signed should be a bool, is a int"),
    (put(*N, "reset", value="never"), "reset is 'never', not one of subtract, zero"),
    (put(*N, "reset", value=["zero"]), "reset is ['zero'], not one of"),
    (put("outputs", value=[3]), "an entry of 'outputs' of graph should be a str"),
    (put("stats", "n", value=3), "stats of n should be a dict, is a int"),
    (put("meta", value=[]), "'meta' of graph should be a dict, is a list"),
    (drop("params", "w"), "array 'w' is not in both the graph and the tensors"),
    (put("params", "v", value={}), "array 'v' is not in both the graph and the tensors"),
    (put("params", "w", "dtype", value="int8"), "array 'w' is "),
    (put("params", "w", "shape", value=[2, 3]), "array 'w' is "),
]


@pytest.mark.parametrize(("edit", "reason"), WRONG, ids=[reason for _, reason in WRONG])
def test_what_is_no_graph_is_refused_in_one_line(
    edit: Callable[[dict[str, Any]], None], reason: str
) -> None:
    graph = small()
    data = copy.deepcopy(to_json(graph))
    edit(data)
    with pytest.raises(ArtifactError) as caught:
        from_json(data, graph.params)
    assert reason in caught.value.message
    assert "\n" not in caught.value.message


def test_fields_with_a_default_may_be_left_out() -> None:
    graph = small()
    data = to_json(graph)
    del data["nodes"][3]["fields"]["wait"]
    assert from_json(data, graph.params).fingerprint() == graph.fingerprint()


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, item in items:
        found.append((*path, key))
        if isinstance(item, (dict, list)):
            found += places(item, (*path, key))
    return found


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-3, 9), FLOATS, st.text(max_size=3)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_changed_graph_is_read_or_refused_never_worse(data: st.DataObject) -> None:
    """Whatever stands in the JSON: a graph whose problems can be listed, or an `ArtifactError`."""
    graph = CASES[data.draw(st.sampled_from(sorted(CASES)))]
    document = json.loads(json.dumps(to_json(graph)))
    for _ in range(data.draw(st.integers(1, 3))):
        put(*data.draw(st.sampled_from(places(document))), value=data.draw(JSON))(document)
    try:
        back = from_json(document, graph.params)
    except ArtifactError:
        return
    problems(back)


@pytest.mark.parametrize("mode", CODES)
def test_format_1_had_one_encoder_with_modes(mode: str) -> None:
    graph = Graph(Stage.SNN)
    graph.add("x", Input(shape=(2,)))
    kinds = {"direct": EncodeDirect, "poisson": EncodePoisson, "latency": EncodeLatency}
    graph.add("e", kinds[mode](scale=0.5, lo=-3, hi=3), ["x"])
    data = to_json(graph)
    data["version"] = 1
    data["nodes"][1]["op"] = "encode"
    data["nodes"][1]["fields"]["mode"] = mode
    assert from_json(data, {}).fingerprint() == graph.fingerprint()
