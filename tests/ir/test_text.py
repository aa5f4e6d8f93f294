"""The text of graphs, against golden files and of pooling windows."""

from __future__ import annotations

import numpy as np
import pytest

from snnc.ir import Graph, Input, MaxPool, Reshape, Stage, SumPool, Windows
from snnc.ir.text import to_text
from snnc.testing.builder import windows
from snnc.testing.golden import Golden
from snnc.testing.graphs import ann_cases, quantized_cases, snn_cases

CASES = {
    f"{stage}-{case.name}": case.graph
    for stage, cases in (("ann", ann_cases()), ("snn", snn_cases()), ("int", quantized_cases()))
    for case in cases
}


@pytest.mark.parametrize("name", ["ann-plain", "ann-grouped", "snn-residual-leak", "int-branches"])
def test_text(name: str, golden: Golden) -> None:
    graph = CASES[name].clone()
    graph.meta["timesteps"] = 8
    graph.stats = {graph.outputs[0]: {"max": 2.5, "mean": [0.1, 0.2]}}
    assert to_text(graph) == golden


@pytest.mark.parametrize("name", CASES)
def test_text_names_every_node_and_array_once(name: str) -> None:
    graph = CASES[name]
    lines = to_text(graph).splitlines()
    for node in graph:
        assert sum(line.startswith(f"  %{node.name} = ") for line in lines) == 1
    for param in graph.params:
        assert sum(line.startswith(f"  @{param} = ") for line in lines) == 1
    assert to_text(graph.clone()) == to_text(graph)


def pooled(size: int, axis: tuple[tuple[int, int], ...]) -> str:
    graph = Graph(Stage.ANN)
    graph.add("x", Input(shape=(1, size)))
    graph.add("p", MaxPool(windows=(axis,)), ["x"])
    graph.outputs = ("p",)
    line = next(line for line in to_text(graph).splitlines() if line.startswith("  %p"))
    return line[line.index("{") + 1 : line.index("}")]


@pytest.mark.parametrize("size", [4, 5, 7, 8, 16])
@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (3, 2), (3, 1), (4, 3)])
@pytest.mark.parametrize("padding", [0, 1])
def test_ordinary_pooling_is_abbreviated(size: int, kernel: int, stride: int, padding: int) -> None:
    ((axis,),) = [windows((size,), kernel, stride, padding)]
    text = pooled(size, axis)
    assert text.startswith("kernel=(")
    if len(axis) > 2:
        padded = f", padding=({padding})" if padding else ""
        assert text == f"kernel=({kernel}), stride=({stride}){padded}"


def test_global_and_ceil_mode_pooling_are_abbreviated() -> None:
    assert pooled(5, ((0, 5),)) == "kernel=(5), stride=(5)"
    assert pooled(5, ((0, 2), (2, 4), (4, 5))) == "kernel=(2), stride=(2)"


def test_uneven_windows_are_written_out() -> None:
    uneven = ((0, 2), (1, 3), (3, 5))
    assert pooled(5, uneven) == "windows=(((0, 2), (1, 3), (3, 5)))"


def test_the_same_divisors_are_abbreviated() -> None:
    both: Windows = (((0, 2), (2, 4), (4, 6)),) * 2
    graph = Graph(Stage.SNN)
    graph.add("x", Input(shape=(1, 6, 6)))
    graph.add("p", SumPool(windows=both, multiplicity=((2, 2, 2), (1, 2, 1))), ["x"])
    graph.outputs = ("p",)
    assert "{kernel=(2, 2), stride=(2, 2), multiplicity=((2)*3, (1, 2, 1))}" in to_text(graph)


def test_arrays_are_summarised() -> None:
    graph = Graph(Stage.ANN)
    graph.add("x", Input(shape=(2,)))
    graph.add("y", Reshape(shape=(2,)), ["x"])
    graph.outputs = ("y",)
    graph.set_param("a", np.array([[1.5, -2.25]], np.float32))
    graph.set_param("b", np.asarray(3, np.int32))
    graph.set_param("c", np.zeros((0, 2), np.int8))
    assert "  @a = float32<1x2> -2.25..1.5\n  @b = int32<scalar> 3\n  @c = int8<0x2>\n" in to_text(
        graph
    )
