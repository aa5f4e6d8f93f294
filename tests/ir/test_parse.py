"""Text that is read back gives the same text, and what cannot be read is told by its line."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnc.errors import GraphError
from snnc.ir import Graph, Input, Reshape, Scale, verify
from snnc.ir.parse import parse
from snnc.ir.text import to_text
from snnc.testing import Style, ann_cases, quantized_cases, random_graph, snn_cases

CASES = {
    f"{stage}-{case.name}": case.graph
    for stage, cases in (("ann", ann_cases()), ("snn", snn_cases()), ("int", quantized_cases()))
    for case in cases
}


@pytest.mark.parametrize("name", CASES)
def test_the_text_of_every_case_reads_back(name: str) -> None:
    text = to_text(CASES[name])
    graph = parse(text)
    verify(graph)
    assert to_text(graph) == text
    assert [node.op for node in graph] == [node.op for node in CASES[name]]
    assert graph.order() == CASES[name].order()


@pytest.mark.parametrize("style", [Style.SNN, Style.QUANTIZED])
@given(seed=st.integers(0, 10_000))
def test_the_text_of_random_graphs_reads_back(style: Style, seed: int) -> None:
    text = to_text(random_graph(seed, style))
    assert to_text(parse(text)) == text


@given(st.lists(st.text(max_size=8), min_size=3, max_size=3, unique=True))
def test_any_name_reads_back(names: list[str]) -> None:
    first, second, key = names
    graph = Graph()
    graph.add(first, Input(shape=(2,)))
    graph.add(second, Scale(factor=graph.set_param(key, np.array([0.1, 3], np.float32))), [first])
    graph.outputs = (second,)
    graph.meta, graph.stats = {key: [1, "}"]}, {second: {key: 0.5}}
    again = parse(to_text(graph))
    assert again.fingerprint() == graph.fingerprint()


@given(
    st.sampled_from(["float16", "float32", "float64", "int8", "uint8", "int64", "uint64", "bool"]),
    st.sampled_from([(), (1,), (2, 3), (16,), (17,), (5, 5), (0, 2)]),
    st.integers(0, 99),
)
def test_arrays_read_back(dtype: str, shape: tuple[int, ...], seed: int) -> None:
    rng = np.random.default_rng(seed)
    array = (rng.normal(0, 50, shape) if dtype[0] in "fi" else rng.random(shape) * 9).astype(dtype)
    graph = Graph()
    graph.add("x", Input(shape=(2,)))
    graph.outputs = ("x",)
    graph.set_param("a", array)
    again = parse(to_text(graph))
    assert to_text(again) == to_text(graph)
    if array.size <= 16:
        np.testing.assert_array_equal(again.params["a"], array)
    given_array = parse(to_text(graph), arrays={"a": array})
    assert given_array.fingerprint() == graph.fingerprint()


def test_the_seed_decides_on_values_that_are_not_in_the_text() -> None:
    text = to_text(CASES["ann-plain"])
    assert parse(text).fingerprint() == parse(text).fingerprint()
    assert parse(text).fingerprint() != parse(text, seed=1).fingerprint()


GOOD = """graph ann {
  %x = ann.input() {shape=(2)} : analog<2>
  %y = ann.reshape(%x) {shape=(2)} : analog<2>
  return %y
  @a = int8<2> [1, 2]
}
"""
WRONG = [
    ("graph ann {", "graph run {", "line 1, .*unknown stage 'run'"),
    ("ann.reshape", "ann.reshaped", "line 3, .*no operation 'reshaped'"),
    ("ann.reshape", "snn.reshape", "line 3, .*no operation 'reshape' at stage 'snn'"),
    ("(%x)", "(%z)", "line 3, .*no node called 'z'"),
    ("(%x)", "(x)", "line 3, .*'x' instead of '%'"),
    ("(%x) {shape=(2)}", "(%x) {shape=2}", "line 3, .*shape should be a list"),
    ("(%x) {shape=(2)}", "(%x) {size=(2)}", "line 3, .*unknown field 'size'"),
    ("(%x) {shape=(2)}", "(%x) {shape=(2)", "line 3, .*"),
    ("return", "yield", "line 4, .*'yield' begins no line"),
    ("int8", "complex64", "line 5, .*unknown dtype 'complex64'"),
    ("[1, 2]", "[1, 2, 3]", "line 5, .*cannot reshape"),
    ("}\n", "\n", "ends with `}`"),
]


@pytest.mark.parametrize(("old", "new", "reason"), WRONG)
def test_a_wrong_line_is_told(old: str, new: str, reason: str) -> None:
    assert parse(GOOD).node("y").op == Reshape(shape=(2,))
    place = GOOD.rindex(old) if old == "}\n" else GOOD.index(old)
    with pytest.raises(GraphError, match=reason):
        parse(GOOD[:place] + new + GOOD[place + len(old) :])


def test_an_array_that_does_not_fit_the_text_is_refused() -> None:
    with pytest.raises(GraphError, match="the array given is float64"):
        parse(GOOD, arrays={"a": np.zeros(2)})
