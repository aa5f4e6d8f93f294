"""Every operation, in its spellings from opset 11 to 21, equals onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from snnc.ir import Relu

node = helper.make_node
RNG = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def whole(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


W = normal(4, 2, 3, 3)
CONVS: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "plain": ((4, 2, 3, 3), {}),
    "1d": ((4, 2, 3), {"pads": [2, 1], "strides": [2]}),
    "1d same": ((4, 2, 4), {"auto_pad": "SAME_UPPER"}),
    "uneven": ((4, 2, 3, 2), {"pads": [0, 1, 2, 1], "strides": [2, 1]}),
    "upper": ((4, 2, 3, 4), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    "lower": ((4, 2, 3, 4), {"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
    "valid": ((4, 2, 3, 3), {"auto_pad": "VALID"}),
    "dilated": ((4, 2, 3, 3), {"dilations": [2, 1], "pads": [2, 1, 2, 1]}),
    "depthwise": ((4, 1, 3, 3), {"group": 2}),
}


@pytest.mark.parametrize("case", CONVS)
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "bare"])
def test_conv(compare: Any, case: str, bias: bool) -> None:
    shape, attributes = CONVS[case]
    arrays = {"w": normal(*shape), "b": normal(4)}
    inputs = ["x", "w", "b"] if bias else ["x", "w"]
    size = [9] if len(shape) == 3 else [9, 8]
    compare([node("Conv", inputs, ["y"], **attributes)], ["N", 2, *size], arrays, opset=11)


POOLS: dict[str, dict[str, Any]] = {
    "plain": {"kernel_shape": [2, 2]},
    "strided": {"kernel_shape": [3, 2], "strides": [2, 2]},
    "uneven": {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 0, 0, 1]},
    "upper": {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
    "lower": {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_LOWER"},
    "ceil": {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1},
    "ceil padded": {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1],
                    "ceil_mode": 1},
    "ceil far": {"kernel_shape": [2, 2], "strides": [3, 3], "pads": [1, 1, 1, 1], "ceil_mode": 1},
}  # fmt: skip


@pytest.mark.parametrize("case", POOLS)
@pytest.mark.parametrize("opset", [11, 19])
def test_pools(compare: Any, case: str, opset: int) -> None:
    shape, kind = ["N", 2, 8, 7], POOLS[case]
    compare([node("MaxPool", ["x"], ["y"], **kind)], shape, opset=opset)
    compare([node("AveragePool", ["x"], ["y"], **kind)], shape, opset=opset)
    counted = node("AveragePool", ["x"], ["y"], count_include_pad=1, **kind)
    compare([counted], shape, opset=opset)


def test_pools_of_one_axis(compare: Any) -> None:
    compare([node("MaxPool", ["x"], ["y"], kernel_shape=[3], pads=[1, 0])], ["N", 2, 9])
    compare([node("AveragePool", ["x"], ["y"], kernel_shape=[3], strides=[2])], ["N", 2, 9])


@pytest.mark.parametrize("op", ["GlobalAveragePool", "GlobalMaxPool"])
def test_global_pools(compare: Any, op: str) -> None:
    compare([node(op, ["x"], ["y"])], ["N", 3, 4, 5])


@pytest.mark.parametrize("op", ["ReduceMean", "ReduceSum"])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_reductions(compare: Any, op: str, keepdims: int) -> None:
    as_input = node(op, ["x", "axes"], ["y"], keepdims=keepdims)
    compare([as_input], ["N", 3, 4, 5], {"axes": whole(-1, 2)}, opset=18)
    compare([node(op, ["x"], ["y"], axes=[3], keepdims=keepdims)], ["N", 3, 4, 5], opset=11)
    compare([node(op, ["x"], ["y"], axes=[1], keepdims=keepdims)], ["N", 3, 4, 5], opset=11)


@pytest.mark.parametrize(
    ("attributes", "weight", "bias"),
    [
        ({}, (6, 4), (4,)),
        ({"transB": 1}, (4, 6), None),
        ({"alpha": 0.5, "beta": 2.0, "transB": 1}, (4, 6), (1, 4)),
        ({"beta": 0.5}, (6, 4), (1,)),
        ({}, (6, 4), ()),
    ],
)
def test_gemm(compare: Any, attributes: Any, weight: Any, bias: Any) -> None:
    arrays = {"w": normal(*weight)} | ({} if bias is None else {"b": normal(*bias)})
    inputs = ["x", "w"] if bias is None else ["x", "w", "b"]
    compare([node("Gemm", inputs, ["y"], **attributes)], ["N", 6], arrays)


def test_a_bias_becomes_that_of_its_layer(compare: Any) -> None:
    nodes = [node("MatMul", ["x", "w"], ["h"]), node("Add", ["b", "h"], ["y"])]
    graph = compare(nodes, ["N", 6], {"w": normal(6, 4), "b": normal(4)})
    assert [n.op.mnemonic for n in graph] == ["input", "linear"]
    nodes = [node("Conv", ["x", "w"], ["h"]), node("Sub", ["h", "b"], ["y"])]
    graph = compare(nodes, ["N", 2, 5, 5], {"w": W, "b": normal(1, 4, 1, 1)})
    assert [n.op.mnemonic for n in graph] == ["input", "conv"]
    graph = compare(nodes, ["N", 2, 5, 6], {"w": W, "b": normal(4)})
    assert graph.nodes[-1].op.mnemonic == "scale", "per column, not per channel"
    twice = [*nodes[:1], node("Add", ["h", "b"], ["z"]), node("Add", ["z", "h"], ["y"])]
    graph = compare(twice, ["N", 2, 5, 5], {"w": W, "b": normal(1, 4, 1, 1)})
    assert "scale" in [n.op.mnemonic for n in graph], "the sum without the bias is used as well"


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div"])
@pytest.mark.parametrize("shape", [(), (1,), (3, 1, 1), (1, 3, 1, 1), (3, 4, 5), (5,)])
def test_arithmetic_with_constants(compare: Any, op: str, shape: Any) -> None:
    c = np.asarray(normal(*shape) + np.float32(3))
    compare([node(op, ["x", "c"], ["y"])], ["N", 3, 4, 5], {"c": c})
    if op != "Div":
        compare([node(op, ["c", "x"], ["y"])], ["N", 3, 4, 5], {"c": c})


def test_sums_of_activations(compare: Any) -> None:
    parts = [node("Relu", ["x"], ["a"]), node("Neg", ["x"], ["b"])]
    compare([*parts, node("Sub", ["a", "b"], ["y"])], ["N", 3])
    compare([*parts, node("Sum", ["a", "b", "x"], ["y"])], ["N", 3])
    compare([node("Add", ["x", "x"], ["y"])], ["N", 3])


def test_batch_norm(compare: Any) -> None:
    arrays = {name: normal(3) for name in "sbm"} | {"v": np.abs(normal(3)) + np.float32(0.1)}
    bn = node("BatchNormalization", ["x", *"sbmv"], ["y"], epsilon=1e-3)
    for opset in (11, 15):
        compare([bn], ["N", 3, 4], arrays, opset=opset)
        compare([bn], ["N", 3], arrays, opset=opset)


@pytest.mark.parametrize(
    "activation",
    [
        node("Relu", ["x"], ["y"]),
        node("Clip", ["x", "zero"], ["y"]),
        node("Max", ["zero", "x"], ["y"]),
        node("LeakyRelu", ["x"], ["y"], alpha=0.0),
        node("PRelu", ["x", "zero"], ["y"]),
    ],
    ids=lambda n: n.op_type,
)
def test_relu_in_all_its_spellings(compare: Any, activation: Any) -> None:
    graph = compare([activation], ["N", 3, 4], {"zero": np.float32(0)})
    assert [n.op.mnemonic for n in graph] == ["input", "relu"]


@pytest.mark.parametrize(
    ("nodes", "op"),
    [
        ([node("Clip", ["x", "zero", "six"], ["y"])], Relu(upper=6.0)),
        (
            [node("Relu", ["x"], ["a"]), node("Clip", ["a", "", "six"], ["y"])],
            Relu(upper=6.0),
        ),
        ([node("Relu", ["x"], ["a"]), node("Min", ["six", "a"], ["y"])], Relu(upper=6.0)),
        (
            [
                node("Clip", ["x", "zero", "six"], ["a"]),
                node("Add", ["a", "half"], ["b"]),
                node("Floor", ["b"], ["y"]),
            ],
            Relu(upper=1.0, levels=6),
        ),
        (
            [node("Clip", ["x", "zero", "six"], ["a"]), node("Round", ["a"], ["y"])],
            Relu(upper=1.0, levels=6),
        ),
    ],
)
def test_bounded_and_rounded_activations(compare: Any, nodes: Any, op: Relu) -> None:
    # of 6 x; a rounded activation takes the 6 into its threshold
    arrays = {"zero": np.float32(0), "six": np.float32(6), "half": np.float32(0.5)}
    graph = compare([node("Mul", ["x", "six"], ["m"]), *_fed(nodes)], ["N", 3, 4], arrays)
    assert [n.op for n in graph if isinstance(n.op, Relu)] == [op]


def _fed(nodes: Any) -> Any:
    """The nodes, with `m` in the place of `x`."""
    nodes[0].input[:] = ["m" if name == "x" else name for name in nodes[0].input]
    return nodes


@pytest.mark.parametrize(
    ("activation", "slope"),
    [
        (node("LeakyRelu", ["x"], ["y"], alpha=0.2), 0.2),
        (node("PRelu", ["x", "slope"], ["y"]), np.float32([0.3])),
        (node("PRelu", ["x", "slope"], ["y"]), np.float32([[[0.3]], [[-0.1]], [[0.5]]])),
    ],
)
def test_leaky_activations(compare: Any, activation: Any, slope: Any) -> None:
    graph = compare([activation], ["N", 3, 4, 4], {"slope": np.asarray(slope, np.float32)})
    assert [n.op.mnemonic for n in graph].count("relu") == 2


@pytest.mark.parametrize("op", ["Sigmoid", "Tanh"])
def test_a_squashed_output_is_kept(compare: Any, op: str) -> None:
    nodes = [node("Relu", ["x"], ["h"]), node(op, ["h"], ["s"]), node("Identity", ["s"], ["y"])]
    graph = compare(nodes, ["N", 3])
    assert graph.meta["output_functions"] == [op.lower()]


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("opset", [11, 13])
def test_a_final_softmax_is_dropped(write: Any, op: str, opset: int) -> None:
    from snnc.frontends import load

    nodes = [node("Relu", ["x"], ["h"]), node(op, ["h"], ["s"]), node("Identity", ["s"], ["y"])]
    graph = load(str(write(nodes, ["N", 5], opset=opset)))
    assert [n.op.mnemonic for n in graph] == ["input", "relu"]


MOVES: dict[str, tuple[Any, list[Any], dict[str, Any]]] = {
    "flatten": (node("Flatten", ["x"], ["y"]), ["N", 2, 3, 4], {}),
    "reshape": (node("Reshape", ["x", "s"], ["y"]), ["N", 2, 3, 4], {"s": whole(-1, 6, 4)}),
    "reshape 0": (node("Reshape", ["x", "s"], ["y"]), [-1, 2, 3, 4], {"s": whole(0, -1)}),
    "reshape 1": (node("Reshape", ["x", "s"], ["y"]), [1, 2, 3, 4], {"s": whole(1, -1)}),
    "squeeze": (node("Squeeze", ["x", "a"], ["y"]), ["N", 2, 1, 4], {"a": whole(2)}),
    "unsqueeze": (node("Unsqueeze", ["x", "a"], ["y"]), ["N", 2, 4], {"a": whole(-1, 1)}),
    "transpose": (node("Transpose", ["x"], ["y"], perm=[0, 2, 3, 1]), ["N", 2, 3, 4], {}),
    "concat": (node("Concat", ["x", "x"], ["y"], axis=-1), ["N", 2, 3], {}),
    "pad": (node("Pad", ["x", "p"], ["y"]), ["N", 2, 3], {"p": whole(0, 1, 2, 0, 0, -1)}),
    "slice": (
        node("Slice", ["x", "b", "e", "a", "s"], ["y"]), ["N", 6, 9],
        {"b": whole(1, -8), "e": whole(2**40, -1), "a": whole(1, 2), "s": whole(2, 3)},
    ),
    "gather one": (node("Gather", ["x", "i"], ["y"], axis=1), ["N", 4, 3], {"i": whole(-1)[0]}),
    "gather": (node("Gather", ["x", "i"], ["y"], axis=2), ["N", 4, 5], {"i": whole(0, 2, 4)}),
    "depth": (node("DepthToSpace", ["x"], ["y"], blocksize=2), ["N", 8, 3, 2], {}),
    "depth crd": (
        node("DepthToSpace", ["x"], ["y"], blocksize=2, mode="CRD"), ["N", 8, 3, 2], {}
    ),
    "space": (node("SpaceToDepth", ["x"], ["y"], blocksize=2), ["N", 2, 4, 6], {}),
    "cast": (node("Cast", ["x"], ["y"], to=TensorProto.FLOAT), ["N", 4], {}),
    "dropout": (node("Dropout", ["x"], ["y"]), ["N", 4], {}),
    "expand": (node("Expand", ["x", "s"], ["y"]), ["N", 4, 2], {"s": whole(1, 2)}),
}  # fmt: skip


@pytest.mark.parametrize("case", MOVES)
def test_moves(compare: Any, case: str) -> None:
    operation, shape, arrays = MOVES[case]
    compare([operation], shape, arrays)


def test_moves_as_they_were_spelled(compare: Any) -> None:
    compare([node("Squeeze", ["x"], ["y"], axes=[2])], ["N", 2, 1], opset=11)
    compare([node("Unsqueeze", ["x"], ["y"], axes=[1])], ["N", 2], opset=12)
    nodes = [node("Split", ["x"], ["a", "y"], axis=1, split=[1, 3])]
    compare(nodes, ["N", 4, 2], opset=11, outputs=["y", "a"])
    nodes = [node("Split", ["x", "n"], ["a", "y"], axis=-1)]
    compare(nodes, ["N", 4, 3], {"n": whole(2, 1)}, outputs=["a", "y"])
    nodes = [node("Split", ["x"], ["a", "y"], axis=1, num_outputs=2)]
    compare(nodes, ["N", 5], opset=18, outputs=["a", "y"])
    nodes = [node("Pad", ["x", "p", "", "a"], ["y"])]
    compare(nodes, ["N", 2, 3], {"p": whole(1, 2), "a": whole(-1)}, opset=18)


@pytest.mark.parametrize("mode", ["asymmetric", "half_pixel", "pytorch_half_pixel"])
def test_resize(compare: Any, mode: str) -> None:
    how = {"coordinate_transformation_mode": mode}
    if mode == "asymmetric":
        how["nearest_mode"] = "floor"
    scales = {"s": np.array([1, 1, 2, 3], np.float32)}
    compare([node("Resize", ["x", "", "s"], ["y"], **how)], ["N", 2, 3, 4], scales, opset=13)
    sizes = {"s": whole(1, 2, 6, 4)}
    compare([node("Resize", ["x", "", "", "s"], ["y"], **how)], [1, 2, 3, 4], sizes, opset=13)


def test_shapes_are_computed(compare: Any) -> None:
    """x.view(N, C // 2, 2, -1), as exporters write it, and an upsampling to a computed size."""
    view = [
        node("Shape", ["x"], ["s"]),
        node("Gather", ["s", "zero"], ["n"], axis=0),
        node("Gather", ["s", "one"], ["c"], axis=0),
        node("Div", ["c", "two"], ["half"]),
        node("Unsqueeze", ["n", "axis"], ["n1"]),
        node("Unsqueeze", ["half", "axis"], ["c1"]),
        node("Concat", ["n1", "c1", "pair"], ["to"], axis=0),
        node("Reshape", ["x", "to"], ["y"]),
    ]
    arrays = {"zero": whole(0)[0], "one": whole(1)[0], "two": whole(2)[0], "axis": whole(0)}
    for batch in ("N", 1):
        graph = compare(view, [batch, 6, 4], arrays | {"pair": whole(2, -1)})
        assert graph.type_of(graph.outputs[0]).shape == (3, 2, 4)
    enlarge = [
        node("Shape", ["x"], ["s"]),
        node("Mul", ["s", "factors"], ["to"]),
        node("Resize", ["x", "", "", "to"], ["y"], coordinate_transformation_mode="asymmetric",
             nearest_mode="floor"),
    ]  # fmt: skip
    compare(enlarge, ["N", 2, 3, 4], {"factors": whole(1, 1, 2, 2)})


def test_weights_that_are_computed(compare: Any) -> None:
    nodes = [
        node("Constant", [], ["w"], value=helper.make_tensor("w", 1, [3, 2], range(6))),
        node("Transpose", ["w"], ["t"]),
        node("Mul", ["t", "half"], ["h"]),
        node("MatMul", ["x", "v"], ["z"]),
        node("Add", ["z", "z"], ["y"]),
    ]
    nodes[3].input[1] = "h"
    nodes[2].input[1] = "half"
    swap = node("Transpose", ["h"], ["hh"])
    nodes[3].input[1] = "hh"
    compare([*nodes[:3], swap, *nodes[3:]], ["N", 3], {"half": np.float32(0.5)})


def test_half_precision_is_read_in_float32(write: Any) -> None:
    from snnc.frontends import load, reference

    nodes = [node("Gemm", ["x", "w"], ["h"]), node("Cast", ["h"], ["y"], to=TensorProto.FLOAT16)]
    arrays = {"w": normal(3, 2).astype(np.float16)}
    path = str(write(nodes, ["N", 3], arrays, kind=TensorProto.FLOAT16))
    x = normal(4, 3)
    (found,) = reference(path)(x)
    np.testing.assert_allclose(found, x @ arrays["w"].astype(np.float32), rtol=1e-5)
    assert load(path).params["w"].dtype == np.float32
