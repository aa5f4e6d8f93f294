"""The text of graphs, against golden files and of pooling windows."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest

from snnc.ir import (
    Add,
    AvgPool,
    BatchNorm,
    Conv,
    EncodeDirect,
    Graph,
    Input,
    Linear,
    MaxPool,
    Neuron,
    Readout,
    Ref,
    Relu,
    Reshape,
    Stage,
    SumPool,
    Windows,
)
from snnc.ir.text import to_text
from snnc.testing import windows
from snnc.testing.golden import Golden
from snnc.testing.graphs import ann_cases, quantized_cases, snn_cases

CASES = {
    f"{stage}-{case.name}": case.graph
    for stage, cases in (("ann", ann_cases()), ("snn", snn_cases()), ("int", quantized_cases()))
    for case in cases
}


def ramp(graph: Graph, name: str, *shape: int, dtype: str = "float32") -> Ref:
    return graph.set_param(name, np.arange(1, 1 + prod(shape)).reshape(shape).astype(dtype))


def test_text_of_an_ann(golden: Golden) -> None:
    graph = Graph(Stage.ANN)
    channels = {name: ramp(graph, f"bn.{name}", 4) for name in ("mean", "variance", "bias")}
    graph.add("x", Input(shape=(2, 6, 6)))
    conv = Conv(weight=ramp(graph, "conv.weight", 4, 1, 3, 3), padding=((1, 1), (0, 2)), groups=2)
    graph.add("conv", conv, ["x"])
    graph.add("bn", BatchNorm(**channels, eps=1e-3), ["conv"])
    graph.add("act", Relu(), ["bn"])
    halves, uneven = ((0, 2), (2, 4), (4, 6)), ((0, 2), (1, 3), (3, 6))
    pool = AvgPool(windows=(halves, uneven), divisors=((2, 2, 2), (2, 2, 3)))
    graph.add("pool", pool, ["act"])
    graph.add("sum", Add(), ["pool", "pool"])
    graph.add("flat", Reshape(shape=(36,)), ["sum"])
    graph.add("fc", Linear(weight=ramp(graph, "fc.weight", 3, 36)), ["flat"])
    graph.outputs = ("fc",)
    assert to_text(graph) == golden


def test_text_of_a_quantised_snn(golden: Golden) -> None:
    graph = Graph(Stage.SNN)
    graph.add("x", Input(shape=(2, 8)))
    graph.add("encode", EncodeDirect(scale=1 / 255), ["x"])
    weight = ramp(graph, "conv.weight", 4, 2, 3, dtype="int8")
    bias = ramp(graph, "conv.bias", 4, 8, dtype="int32")
    conv = Conv(weight=weight, bias=bias, stride=(1,), padding=((1, 1),), dilation=(1,))
    graph.add("conv", conv, ["encode"])
    threshold = ramp(graph, "act.threshold", 4, dtype="int32")
    graph.add("act", Neuron(threshold=threshold, leak=0.875, v_init=3, wait=2), ["conv"])
    ordinary = (((0, 2), (1, 4), (3, 6), (5, 8)),)
    graph.add("pool", SumPool(windows=ordinary, multiplicity=((3, 2, 2, 2),)), ["act"])
    graph.add("flat", Reshape(shape=(16,)), ["pool"])
    graph.add("fc", Linear(weight=ramp(graph, "fc.weight", 3, 16, dtype="int8")), ["flat"])
    graph.add("readout", Readout(scale=0.25), ["fc"])
    graph.outputs = ("readout",)
    graph.meta = {"timesteps": 8, "bounds": {"act": 1000}}
    graph.stats = {"act": {"rate": 0.125, "max": [1.5, 2.0]}}
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
    assert (
        "  @a = float32<1x2> [1.5, -2.25]\n  @b = int32<scalar> 3\n  @c = int8<0x2>\n"
        in to_text(graph)
    )
