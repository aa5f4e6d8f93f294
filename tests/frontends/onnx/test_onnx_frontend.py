"""The frontend: names, places, shapes, batches, and what it refuses."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from snnc.errors import ModelError, UnsupportedError, UsageError
from snnc.frontends import load, reference
from snnc.frontends.loading import find_frontend
from snnc.ir import Graph

node = helper.make_node


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


def layers() -> list[Any]:
    return [
        node("Gemm", ["x", "fc/weight:0"], ["h"], name="/fc/Gemm"),
        node("Relu", ["h"], ["model/relu"]),
        node("Identity", ["model/relu"], ["y"], name="é\x1b[0m"),
    ]


def test_names_and_places(write: Any) -> None:
    path = str(write(layers(), ["N", 4], {"fc/weight:0": zeros(4, 3)}))
    graph = load(path)
    assert [n.name for n in graph] == ["input", "fc.Gemm", "model.relu"]
    assert list(graph.params) == ["fc.weight_0"]
    assert str(graph.node("fc.Gemm").loc) == f"{path} (/fc/Gemm)"
    assert find_frontend(path).name == "onnx"


@pytest.mark.parametrize("batch", ["N", None, 0, -1, 1, 4])
def test_batches(write: Any, batch: Any) -> None:
    rng = np.random.default_rng(0)
    w = rng.standard_normal((4, 3)).astype(np.float32)
    path = str(write([node("MatMul", ["x", "w"], ["y"])], [batch, 4], {"w": w}))
    assert load(path).type_of("input").shape == (4,)
    x = rng.standard_normal((11, 4)).astype(np.float32)
    np.testing.assert_allclose(reference(path)(x)[0], x @ w, rtol=1e-4, atol=1e-5)


def test_sizes_that_are_open(write: Any) -> None:
    pool = node("GlobalAveragePool", ["x"], ["y"])
    path = str(write([pool], ["N", 3, "H", None]))
    with pytest.raises(UsageError, match=r"3,\?,\?") as error:
        load(path)
    assert "--input-shape" in str(error.value.hint)
    assert load(path, input_shape=(3, 5, 6)).type_of("input").shape == (3, 5, 6)
    for wrong in ((4, 5, 6), (3, 5)):
        with pytest.raises(ModelError, match="takes an input of shape"):
            load(path, input_shape=wrong)


def test_sizes_that_are_open_of_channels_last(write: Any) -> None:
    nodes = [
        node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
        node("GlobalMaxPool", ["t"], ["y"]),
    ]
    path = str(write(nodes, ["N", None, None, 3]))
    assert load(path, input_shape=(3, 5, 6)).type_of("input").shape == (3, 5, 6)


def listed(write: Any, *args: Any, **kwargs: Any) -> list[str]:
    with pytest.raises(UnsupportedError) as error:
        load(str(write(*args, **kwargs)))
    assert error.value.exit_code == 3
    return error.value.message.splitlines()


def test_all_it_refuses_is_listed(write: Any) -> None:
    nodes = [
        node("Sigmoid", ["x"], ["a"], name="gate"),
        node("Mul", ["x", "a"], ["b"], name="product"),
        node("LpPool", ["b"], ["c"], kernel_shape=[2, 2], name="norm"),
        node("Relu", ["c"], ["d"], name="fine"),
        node("Conv", ["d", "v"], ["e"], name="not reached"),
        node("Elu", ["e"], ["f"], name="elu"),
        node("Fused", ["f"], ["y"], name="own", domain="my.domain"),
    ]
    arrays = {"v": zeros(2, 2, 1, 1)}
    head, *problems = listed(write, nodes, ["N", 2, 3, 3], arrays, domains=["my.domain"])
    assert head.endswith("5 operations cannot be compiled")
    wanted = [
        ("(gate): gate (Sigmoid): ", "only on an output", "--recipe diet"),
        ("(product): product (Mul): it multiplies activations",),
        ("(norm): norm (LpPool): it is no mean, sum or maximum; ",),
        ("(elu): elu (Elu): ",),
        ("(own): own (Fused): it is of the domain my.domain, ",),
    ]
    for words, problem in zip(wanted, problems, strict=True):
        assert all(word in problem for word in words), problem


REFUSED: dict[str, tuple[list[Any], list[Any], dict[str, Any], str]] = {
    "softmax inside": (
        [node("Softmax", ["x"], ["s"]), node("Relu", ["s"], ["y"])], ["N", 3], {},
        "divides by a sum of exponentials",
    ),
    "batch moved": ([node("Transpose", ["x"], ["y"])], ["N", 3], {}, "moves the batch axis"),
    "batch lost": (
        [node("Reshape", ["x", "s"], ["y"])], ["N", 4], {"s": np.array([2, -1])},
        "batch as its first axis",
    ),
    "a number of the batch": (
        [node("Shape", ["x"], ["s"]), node("Cast", ["s"], ["f"], to=1),
         node("ReduceProd", ["f"], ["p"]), node("Mul", ["x", "p"], ["y"])],
        ["N", 4], {}, "depends on the batch",
    ),
    "clip": (
        [node("Clip", ["x", "a", "b"], ["y"])], ["N", 4],
        {"a": np.float32(-1), "b": np.float32(1)}, "lower bound is -1",
    ),
    "classes": (
        [node("ArgMax", ["x"], ["i"]), node("Cast", ["i"], ["y"], to=1)], ["N", 4], {},
        "return the logits",
    ),
    "loop": (
        [node("If", ["c"], ["y"], **{
            branch: helper.make_graph([node("Identity", ["x"], ["z"])], branch, [],
                                      [helper.make_tensor_value_info("z", 1, None)])
            for branch in ("then_branch", "else_branch")
        })], ["N", 4], {"c": np.array(True)}, "control flow",
    ),
    "a constant": ([node("Neg", ["c"], ["y"])], ["N", 4], {"c": zeros(4)}, "returns a constant"),
    "linear": (
        [node("Resize", ["x", "", "s"], ["y"], mode="linear")], ["N", 2, 3, 3],
        {"s": np.array([1, 1, 2, 2], np.float32)}, "mixes neighbours",
    ),
    "uneven": (
        [node("Resize", ["x", "", "s"], ["y"])], ["N", 2, 4, 4],
        {"s": np.array([1, 1, 1.5, 1.5], np.float32)}, "unevenly",
    ),
    "mirrored and cropped": (
        [node("Pad", ["x", "p"], ["y"], mode="reflect")], ["N", 2, 4],
        {"p": np.array([0, 0, 1, 0, 0, -1])}, "crops while it pads",
    ),
    "a large border": (
        [node("Pad", ["x", "p"], ["y"], mode="edge")], ["N", 2, 4],
        {"p": np.array([0, 0, 600, 0, 0, 0])}, "more than 512 runs",
    ),
    "hard-swish": ([node("HardSwish", ["x"], ["y"])], ["N", 4], {}, "not this curve"),
    "a norm": ([node("LpNormalization", ["x"], ["y"])], ["N", 4], {}, "statistics of each sample"),
    "statistics": (
        [node("BatchNormalization", ["x", *"aaaa"], ["y", "m", "v"], training_mode=1)],
        ["N", 4], {"a": np.ones(4, np.float32)}, "statistics of the batch",
    ),
    "a matrix on the left": (
        [node("MatMul", ["w", "x"], ["y"])], [4, 4], {"w": zeros(4, 4)}, "mixes samples",
    ),
    "copies of samples": (
        [node("Tile", ["x", "n"], ["y"])], ["N", 4], {"n": np.array([2, 1])},
        "repeats the samples",
    ),
    "a sum of two sizes": (
        [node("Split", ["x", "n"], ["a", "b"], axis=2), node("Add", ["a", "b"], ["y"])],
        ["N", 2, 5], {"n": np.array([3, 2])}, r"different shapes \(2, 3\) and \(2, 2\)",
    ),
    "the smaller": (
        [node("Relu", ["x"], ["a"]), node("Min", ["a", "x"], ["y"])], ["N", 4], {},
        "compares activations",
    ),
    "a huge transposed convolution": (
        [node("ConvTranspose", ["x", "w"], ["y"], strides=[2**30], pads=[2**30 - 1, 0])],
        ["N", 2, 2], {"w": zeros(2, 2, 1)}, "takes [0-9]* elements",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused(write: Any, case: str) -> None:
    nodes, shape, arrays, words = REFUSED[case]
    assert re.search(words, "\n".join(listed(write, nodes, shape, arrays)))


def test_weights_are_in_the_file(write: Any) -> None:
    path = str(write(layers(), ["N", 4], {"fc/weight:0": zeros(4, 3)}))
    with pytest.raises(UsageError, match="holds its weights"):
        load(path, weights="w.safetensors")


def test_without_the_parser(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(write(layers(), ["N", 4], {"fc/weight:0": zeros(4, 3)}))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match="package onnx is not installed") as error:
        load(path)
    assert error.value.hint == "pip install 'snnc[onnx]'"


def test_outputs_of_classes_have_no_reference(write: Any, tmp_path: Path) -> None:
    nodes = [node("Cast", ["x"], ["y"], to=TensorProto.INT64)]
    with pytest.raises(ModelError, match="not of floating point"):
        reference(str(write(nodes, ["N", 4])))(zeros(2, 4))
    nodes = [node("If", ["c"], ["y"])]
    with pytest.raises(ModelError):
        reference(str(write(nodes, ["N", 4], {"c": np.array(True)})))


def test_several_outputs(write: Any) -> None:
    nodes = [node("Relu", ["x"], ["y"]), node("Neg", ["y"], ["z"])]
    graph: Graph = load(str(write(nodes, ["N", 4], outputs=["z", "y"])))
    assert [graph.node(name).op.mnemonic for name in graph.outputs] == ["scale", "relu"]
