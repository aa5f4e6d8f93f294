"""Transposed convolutions, what repeats, turns around or chooses elements: as onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import helper

from snnc.errors import UnsupportedError

node = helper.make_node
RNG = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def whole(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


TRANSPOSED: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "plain": ((2, 4, 3, 3), {}),
    "1d": ((2, 4, 3), {"strides": [3], "pads": [1, 0]}),
    "doubled": ((2, 4, 2, 2), {"strides": [2, 2]}),
    "decoder": ((2, 4, 4, 4), {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
    "longer": ((2, 4, 3, 3), {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}),
    "uneven": ((2, 4, 3, 2), {"strides": [2, 1], "pads": [0, 1, 1, 0], "dilations": [1, 2]}),
    "dilated": ((2, 4, 3, 3), {"strides": [2, 2], "dilations": [2, 3], "pads": [1, 2, 2, 1]}),
    "cut deep": ((2, 4, 3, 3), {"strides": [2, 2], "pads": [3, 4, 3, 3]}),
    "groups": ((2, 2, 3, 3), {"group": 2, "strides": [2, 2]}),
    "upper": ((2, 4, 3, 4), {"auto_pad": "SAME_UPPER", "strides": [2, 3]}),
    "lower": ((2, 4, 4, 3), {"auto_pad": "SAME_LOWER", "strides": [3, 2]}),
    "valid": ((2, 4, 2, 3), {"auto_pad": "VALID", "strides": [2, 2]}),
    "shape": ((2, 4, 3, 3), {"output_shape": [8, 10], "strides": [2, 2]}),
    "shape upper": (
        (2, 4, 3, 3),
        {"output_shape": [8, 10], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
    ),
}


@pytest.mark.parametrize("case", TRANSPOSED)
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "bare"])
def test_transposed_convolution(compare: Any, case: str, bias: bool) -> None:
    shape, attributes = TRANSPOSED[case]
    arrays = {"w": normal(*shape), "b": normal(4)}
    inputs = ["x", "w", "b"] if bias else ["x", "w"]
    size = [7] if len(shape) == 3 else [4, 5]
    compare([node("ConvTranspose", inputs, ["y"], **attributes)], ["N", 2, *size], arrays, opset=11)


MOVES: dict[str, tuple[Any, list[Any], dict[str, Any]]] = {
    "turned": (
        node("Slice", ["x", "b", "e", "a", "s"], ["y"]), ["N", 6, 9],
        {"b": whole(-1), "e": whole(-(2**62)), "a": whole(2), "s": whole(-1)},
    ),
    "turned in steps": (
        node("Slice", ["x", "b", "e", "a", "s"], ["y"]), ["N", 6, 9],
        {"b": whole(99, 7), "e": whole(-99, 0), "a": whole(1, 2), "s": whole(-4, -3)},
    ),
    "colours": (node("Gather", ["x", "i"], ["y"], axis=1), ["N", 3, 4], {"i": whole(2, 1, 0)}),
    "shuffled": (
        node("Gather", ["x", "i"], ["y"], axis=1), ["N", 6, 4], {"i": whole(0, 3, 1, 4, 2, 5)},
    ),
    "repeated": (
        node("Gather", ["x", "i"], ["y"], axis=2), ["N", 2, 4], {"i": whole(1, 1, -1, 0, 2, 2)},
    ),
    "tile": (node("Tile", ["x", "n"], ["y"]), ["N", 2, 3, 4], {"n": whole(1, 2, 1, 3)}),
    "expand": (node("Expand", ["x", "s"], ["y"]), ["N", 2, 1, 4], {"s": whole(2, 3, 1)}),
    "expand all": (node("Expand", ["x", "s"], ["y"]), [1, 2, 1], {"s": whole(1, 1, 5)}),
}  # fmt: skip


@pytest.mark.parametrize("case", MOVES)
def test_moves(compare: Any, case: str) -> None:
    operation, shape, arrays = MOVES[case]
    compare([operation], shape, arrays)


@pytest.mark.parametrize("mode", ["reflect", "edge", "wrap"])
@pytest.mark.parametrize("amounts", [(0, 0, 2, 1, 0, 0, 1, 3), (0, 1, 1, 0, 0, 0, 0, 2)])
def test_padding_with_elements(compare: Any, mode: str, amounts: tuple[int, ...]) -> None:
    nodes = [node("Pad", ["x", "p"], ["y"], mode=mode)]
    compare(nodes, ["N", 3, 3, 4], {"p": whole(*amounts)}, opset=19)


def test_padding_with_a_number(compare: Any) -> None:
    arrays = {"p": whole(0, 0, 2, 1, 0, 0, -1, 3), "v": np.float32(-0.5), "w": normal(2, 3, 2, 2)}
    pad = node("Pad", ["x", "p", "v"], ["h"])
    compare([pad, node("Conv", ["h", "w"], ["y"])], ["N", 3, 4, 4], arrays)
    arrays = {"p": whole(0, 0, 1, 1, 0, 0, 0, 0), "v": np.float32(-np.inf)}
    pool = node("MaxPool", ["h"], ["y"], kernel_shape=[2, 2])
    compare([pad, pool], ["N", 3, 4, 4], arrays)


def test_colours_in_the_other_order_are_one_slice(compare: Any) -> None:
    graph = compare([node("Gather", ["x", "i"], ["y"], axis=1)], ["N", 3, 4], {"i": whole(2, 1, 0)})
    assert [n.op.mnemonic for n in graph] == ["input", "slice"]


def test_upsampling_as_keras_writes_it(compare: Any) -> None:
    """An axis of length 1, repeated and merged: every element twice."""
    nodes = [
        node("Unsqueeze", ["x", "at"], ["u"]),
        node("Tile", ["u", "twice"], ["t"]),
        node("Reshape", ["t", "to"], ["y"]),
    ]
    arrays = {"at": whole(3), "twice": whole(1, 1, 1, 2, 1), "to": whole(-1, 2, 6, 4)}
    compare(nodes, ["N", 2, 3, 4], arrays)


@pytest.mark.parametrize("keepdims", [0, 1])
def test_a_maximum_over_space_is_a_pool(compare: Any, keepdims: int) -> None:
    nodes = [node("ReduceMax", ["x"], ["y"], axes=[2, 3], keepdims=keepdims)]
    graph = compare(nodes, ["N", 3, 4, 5], opset=11)
    assert graph.nodes[1].op.mnemonic == "maxpool"
    nodes = [node("ReduceMax", ["x", "axes"], ["y"], keepdims=keepdims)]
    compare(nodes, ["N", 3, 4, 5], {"axes": whole(-1)}, opset=18)


@pytest.mark.parametrize("op", ["ReduceMax", "ReduceMean", "ReduceSum"])
@pytest.mark.parametrize(("axes", "keepdims"), [([1], 0), ([1, -1], 1), ([1, 2, 3], 1)])
def test_reduction_of_channels(compare: Any, op: str, axes: list[int], keepdims: int) -> None:
    compare([node(op, ["x"], ["y"], axes=axes, keepdims=keepdims)], ["N", 3, 4, 5], opset=11)


def test_shapes_are_broadcast(compare: Any) -> None:
    nodes = [
        node("Transpose", ["x"], ["t"], perm=[0, 2, 1]),
        node("ReduceMean", ["t"], ["m"], axes=[2]),
        node("Sub", ["t", "m"], ["s"]),
        node("ReduceSum", ["x", "one"], ["r"]),
        node("Transpose", ["s"], ["u"], perm=[0, 2, 1]),
        node("Max", ["u", "r", "x", "zero"], ["y"]),
    ]
    compare(nodes, ["N", 3, 4], {"one": whole(1), "zero": np.float32(0)})


@pytest.mark.parametrize("op", ["Sum", "Mean", "Max", "Min"])
def test_of_one_input(compare: Any, op: str) -> None:
    compare([node("Relu", ["x"], ["h"]), node(op, ["h"], ["y"])], ["N", 3])


def test_of_several_inputs(compare: Any) -> None:
    parts = [node("Relu", ["x"], ["a"]), node("Neg", ["x"], ["b"])]
    compare([*parts, node("Mean", ["a", "b", "x"], ["y"])], ["N", 3])
    arrays = {"low": np.float32(-1), "zero": np.float32(0), "six": np.float32(6)}
    compare([node("Max", ["low", "x", "zero"], ["y"])], ["N", 3], arrays)
    lower = {"six": np.float32(6), "five": np.full((3, 1), 5, np.float32)}
    nodes = [node("Relu", ["x"], ["a"]), node("Min", ["six", "a", "five"], ["y"])]
    compare(nodes, ["N", 3, 2], lower)


def test_constants_are_repeated(compare: Any) -> None:
    nodes = [
        node("Tile", ["w", "n"], ["t"]),
        node("Sum", ["t", "t"], ["v"]),
        node("MatMul", ["x", "v"], ["y"]),
    ]
    compare(nodes, ["N", 4], {"w": normal(2, 3), "n": whole(2, 1)})


EVEN = {
    ("asymmetric", "floor"),
    ("half_pixel", "round_prefer_floor"),
    ("half_pixel", "round_prefer_ceil"),
    ("pytorch_half_pixel", "round_prefer_floor"),
    ("pytorch_half_pixel", "round_prefer_ceil"),
}
"""Ways to take a neighbour that repeat every element as often, for any whole factor."""


@pytest.mark.parametrize("mode", ["asymmetric", "half_pixel", "pytorch_half_pixel"])
@pytest.mark.parametrize("how", ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
def test_every_way_to_take_a_neighbour(compare: Any, mode: str, how: str) -> None:
    attributes = {"coordinate_transformation_mode": mode, "nearest_mode": how}
    nodes = [node("Resize", ["x", "", "s"], ["y"], mode="nearest", **attributes)]
    arrays = {"s": np.array([1, 1, 2, 3], np.float32)}
    if (mode, how) in EVEN:
        graph = compare(nodes, ["N", 2, 3, 4], arrays, opset=18)
        assert [n.op.mnemonic for n in graph] == ["input", "upsample"]
        return
    with pytest.raises(UnsupportedError, match="unevenly"):
        compare(nodes, ["N", 2, 3, 4], arrays, opset=18)
